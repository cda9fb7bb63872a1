"""SpeechBrain's language models of tokens: ``lm.ckpt`` beside ``hyperparams.yaml``, a TransformerLM or an RNNLM.

Its recognisers are published with the one with which they are searched. What is computed is what its library computes;
the hyper-parameters also say how much the model counts (``lm_weight``), and how sure it is to be (``temperature_lm``).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import InputError
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign import speechbrain_parts as parts
from unbabble.networks.foreign.reading import count, need, read_pickled, read_tensors, rename
from unbabble.networks.foreign.speechbrain import YAML, Hyperparameters, read_hyperparameters
from unbabble.networks.foreign.speechbrain_marks import Marked
from unbabble.networks.foreign.speechbrain_transformer import LAYERS, check, layers
from unbabble.nn.state import State

FILE = "lm.ckpt"
WEIGHT = 0.5
"""Where the hyper-parameters do not say how much it counts; a usual value."""
_TRANSFORMER = (
    (r"^custom_src_module\.emb\.Embedding\.", "embed."),
    (r"^embedding_proj\.w\.", "join."),
    (r"^output_proj\.layers\.0\.w\.", "hidden."),
    (r"^output_proj\.layers\.1\.norm\.", "hidden_norm."),
    (r"^output_proj\.layers\.2\.w\.", "out."),
    *LAYERS,
    (r"^encoder\.", ""),
)
_RECURRENT = (
    (r"^embedding\.Embedding\.", "embed."),
    (r"^rnn\.rnn\.", "recurrent."),
    (r"^dnn\.(linear|norm)\.(?:w|norm)\.", r"dense.0.\1."),
    (r"^dnn\.(linear|norm)_(\d+)\.(?:w|norm)\.", lambda found: f"dense.{int(found[2]) + 1}.{found[1]}."),
    (r"^out\.w\.", "out."),
)


class TransformerPredictor(nn.Module):
    """Layers of attention over all tokens so far.

    Args:
        tokens: how many there are.
        embedding: numbers of a token.
        width: numbers of a place.
        layers: one after another.
        joins: has a layer from ``embedding`` to ``width``.
    """

    def __init__(
        self, tokens: int, embedding: int, width: int, layers: Sequence[parts.Layer], joins: bool
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, embedding)
        self.join = nn.Linear(embedding, width) if joins else None
        self.layers = nn.ModuleList(layers)
        self.norm, self.hidden_norm = (nn.LayerNorm(width, eps=parts.LAYER_EPS) for _ in range(2))
        self.hidden, self.out = nn.Linear(width, width), nn.Linear(width, tokens)

    def start(self, batch: int) -> State:
        """Keys and values of no places."""
        width = self.out.in_features
        state: State = {}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, parts.Layer)
            empty = self.out.weight.new_zeros(batch, layer.own.heads, 0, width // layer.own.heads)
            state |= {f"{number}.key": empty, f"{number}.value": empty}
        return state

    def step(self, tokens: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Logits of what follows ``tokens``, and the next state."""
        x = self.embed(tokens)[:, None] * math.sqrt(self.embed.embedding_dim)
        x = x if self.join is None else self.join(x)
        x = x + parts.positions(state["0.key"].shape[2], 1, x.shape[2], x)
        after: State = {}
        for number, layer in enumerate(self.layers):
            past = state[f"{number}.key"], state[f"{number}.value"]
            x, (after[f"{number}.key"], after[f"{number}.value"]) = layer(x, past=past)
        return self.out(self.hidden_norm(self.hidden(self.norm(x))))[:, 0], after


class DenseNormed(nn.Module):
    """A fully connected layer, normalised."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.LayerNorm(outputs)
        self.activation = parts.ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """The next layer's input."""
        return self.activation(self.norm(self.linear(x)))


class RecurrentPredictor(nn.Module):
    """An LSTM or GRU, and fully connected layers.

    Args:
        tokens: how many there are.
        recurrent: batch first.
        dense: layers behind it, one at least.
    """

    def __init__(self, tokens: int, recurrent: nn.RNNBase, dense: Sequence[DenseNormed]) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, recurrent.input_size)
        self.recurrent, self.dense = recurrent, nn.ModuleList(dense)
        self.out = nn.Linear(dense[-1].linear.out_features, tokens)

    def start(self, batch: int) -> State:
        """``hidden``, and ``cell`` of an LSTM: zeros, (batch, layer, width)."""
        zeros = self.out.weight.new_zeros(batch, self.recurrent.num_layers, self.recurrent.hidden_size)
        names = ("hidden", "cell") if isinstance(self.recurrent, nn.LSTM) else ("hidden",)
        return dict.fromkeys(names, zeros)

    def step(self, tokens: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Logits of what follows ``tokens``, and the next state."""
        before = [each.transpose(0, 1).contiguous() for each in state.values()]
        x, after = self.recurrent(
            self.embed(tokens)[:, None], tuple(before) if len(before) > 1 else before[0]
        )
        for layer in self.dense:
            x = layer(x)
        kept = after if isinstance(after, tuple) else (after,)
        return self.out(x)[:, 0], {name: each.transpose(0, 1) for name, each in zip(state, kept, strict=True)}


class SpeechBrainLanguageModel(Marked):
    """A language model of SpeechBrain's tokens.

    Args:
        network: predicts the next one.
        marks: tokens of beginning and end.
        weight: how much it counts in the search.
        temperature: as of ``Marked``.
    """

    def __init__(
        self,
        network: TransformerPredictor | RecurrentPredictor,
        marks: tuple[int, int],
        weight: float,
        temperature: float,
    ) -> None:
        super().__init__(marks, network.out.weight.device, temperature)
        self.network, self.weight = network, weight

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self.network.embed.num_embeddings

    def start(self, batch: int) -> State:
        """The state before the first token."""
        return self.network.start(batch)

    def logits(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """What the network says."""
        return self.network.step(x, state)


def load_speechbrain_language_model(file: Path, device: torch.device) -> SpeechBrainLanguageModel:
    """The language model in ``file``, with its hyper-parameters in the same folder.

    Raises:
        InputError: missing or damaged files; a network that is built in another way, and what differs.
    """
    said = read_hyperparameters(file.parent / YAML)
    tensors = read_tensors(file, read_pickled(file))
    if said.has("TransformerLM"):
        network, ours = _transformer(file, said, tensors)
    elif said.has("RNNLM"):
        network, ours = _recurrent(file, said, tensors)
    else:
        raise InputError(
            f"'{YAML}' beside '{file}' describes neither a TransformerLM nor an RNNLM: Unbabble reads these language "
            "models of SpeechBrain."
        )
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    theirs = {name: tuple(each.shape) for name, each in ours.items()}
    if problem := describe_difference(str(file), theirs, shapes):
        raise InputError(problem)
    network.load_state_dict(ours)
    marks = said.index("bos_index"), said.index("eos_index")
    weight = _number(said, ("transformerlm", "rnnlm", "lm_weight"), WEIGHT)
    return SpeechBrainLanguageModel(network.to(device).eval(), marks, weight, _temperature(said))


def _transformer(
    file: Path, said: Hyperparameters, tensors: dict[str, Tensor]
) -> tuple[TransformerPredictor, dict[str, Tensor]]:
    about = said.tagged("TransformerLM")
    check(said, about, "language models")
    said.expect(about, "num_decoder_layers", 0, 0, "language models")
    ours = {rename(name, _TRANSFORMER): each for name, each in tensors.items() if ".pe" not in name}
    embed, out = need(ours, "embed.weight", file, 2), need(ours, "out.weight", file, 2)
    stack = layers(file, said, about, ours, "")
    return TransformerPredictor(len(embed), embed.shape[1], out.shape[1], stack, "join.weight" in ours), ours


def _recurrent(
    file: Path, said: Hyperparameters, tensors: dict[str, Tensor]
) -> tuple[RecurrentPredictor, dict[str, Tensor]]:
    about = said.tagged("RNNLM")
    kind = said.class_among(about, "rnn_class", "LSTM", ["LSTM", "GRU"])
    activation = said.class_among(about, "activation", "LeakyReLU", parts.ACTIVATIONS)
    ours = {rename(name, _RECURRENT): each for name, each in tensors.items()}
    embed = need(ours, "embed.weight", file, 2)
    hidden = need(ours, "recurrent.weight_hh_l0", file, 2)
    stacked = sum(name.startswith("recurrent.weight_hh_l") for name in ours)
    recurrent = getattr(nn, kind)(embed.shape[1], hidden.shape[1], stacked, batch_first=True)
    need(ours, "dense.0.linear.weight", file, 2)
    dense = [
        DenseNormed(weight.shape[1], len(weight), activation)
        for number in range(count(ours, "dense."))
        for weight in [need(ours, f"dense.{number}.linear.weight", file, 2)]
    ]
    return RecurrentPredictor(len(embed), recurrent, dense), ours


def _temperature(said: Hyperparameters) -> float:
    for kind in ("TransformerLMScorer", "RNNLMScorer"):
        if said.has(kind):
            return float(said.resolve(said.tagged(kind).get("temperature"), 1.0))
    return _number(said, ("temperature_lm",), 1.0)


def _number(said: Hyperparameters, names: Sequence[str], default: float) -> float:
    """What the hyper-parameters, or the options of a search, or the weights of its scorers say."""
    mappings: list[dict[str, Any]] = [said.content]
    mappings += [each for each in said.content.values() if isinstance(each, dict)]
    mappings += [each["weights"] for each in mappings if isinstance(each.get("weights"), dict)]
    for about in reversed(mappings):
        for name in names:
            value = said.resolve(about.get(name), None)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
    return default
