"""Parts of SpeechBrain's recognisers, as its library computes them, of utterances one by one and without training.

    log mel in dB -> mean 0, deviation 1 by the training data -> encoder -> places -> CTC, and a decoder with attention

M. Ravanelli et al., "SpeechBrain: a general-purpose speech toolkit", arXiv 2106.04624: CRDNN, convolutions, recurrent
and fully connected layers, with a GRU that attends by place; and a Transformer behind a front of convolutions.
Shapes are (batch, frame, band, channel) in convolutions, and (batch, place, width) behind them.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import gelu, leaky_relu, pad, relu, scaled_dot_product_attention

from unbabble.nn.decibel_mel import FLOOR, DecibelMel
from unbabble.nn.state import State

LAYER_EPS = 1e-6
ACTIVATIONS = {"ReLU": relu, "GELU": gelu, "LeakyReLU": leaky_relu}
"""Those that its hyper-parameters name and that are known here."""


class StandardMel(DecibelMel):
    """Log mel in dB, less the mean of the training data, over its deviation; options as of ``DecibelMel``."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, bands: int, sample_rate: int, **options: Any) -> None:
        super().__init__(bands, sample_rate, **options)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("deviation", torch.ones(bands))

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Frames, the first and the last in the middle of silence and sound."""
        return (super().forward(waveform) - self.mean) / self.deviation.clamp(min=FLOOR)


class Convolution(nn.Module):
    """Over frames and bands, as if the sound were mirrored at its edges."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(
        self, x: Float[Tensor, "batch frame band inputs"]
    ) -> Float[Tensor, "batch frame band outputs"]:
        """As many frames and bands, over the stride."""
        x = pad(x.transpose(1, 3), (self.kernel // 2,) * 4, mode="reflect")
        return self.conv(x).transpose(1, 3)


class FrontBlock(nn.Module):
    """Convolutions, each normalised over bands and channels; the last one has the stride.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: frames, and bands.
        stride: in frames, and in bands.
        layers: one after another.
        bands: of the input.
        residual: add the input, as a convolution of single places has it.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, layers: int, bands: int, residual: bool
    ) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        self.after = -(-bands // stride)
        for layer in range(layers):
            last = layer == layers - 1
            self.convolutions.append(
                Convolution(outputs if layer else inputs, outputs, kernel, stride if last else 1)
            )
            self.norms.append(nn.LayerNorm([self.after if last else bands, outputs]))
        self.shortcut = Convolution(inputs, outputs, 1, stride) if residual else None
        self.shortcut_norm = nn.LayerNorm([self.after, outputs]) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """The next block's input."""
        y = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = leaky_relu(norm(convolution(y)))
        if self.shortcut is not None and self.shortcut_norm is not None:
            y = y + self.shortcut_norm(self.shortcut(x))
        return y


class Attention(nn.Module):
    """By several heads (A. Vaswani et al., NeurIPS 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def queries(self, x: Tensor) -> Tensor:
        """Of the places that look."""
        width = x.shape[-1]
        return self._apart(nn.functional.linear(x, self.ask.weight[:width], self.ask.bias[:width]))

    def answers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the places that are looked at."""
        width = x.shape[-1]
        both = nn.functional.linear(x, self.ask.weight[width:], self.ask.bias[width:])
        return self._apart(both[..., :width]), self._apart(both[..., width:])

    def forward(self, x: Tensor, answers: tuple[Tensor, Tensor], causal: bool = False) -> Tensor:
        """What the places of ``x`` see."""
        seen = scaled_dot_product_attention(self.queries(x), *answers, is_causal=causal)
        return self.out(seen.transpose(1, 2).flatten(2))

    def _apart(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Of a Transformer: attention to its own row, in decoders to the memory, and a feed-forward part.

    Args:
        width: numbers of a place.
        heads: of attentions.
        hidden: of the feed-forward part.
        activation: of it.
        before: normalise before each part, else after adding it.
        remembers: whether there is a memory to look at.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, activation: str, before: bool, remembers: bool = False
    ) -> None:
        super().__init__()
        self.before, self.activation = before, ACTIVATIONS[activation]
        self.own = Attention(width, heads)
        self.own_norm = nn.LayerNorm(width, eps=LAYER_EPS)
        self.memory = Attention(width, heads) if remembers else None
        self.memory_norm = nn.LayerNorm(width, eps=LAYER_EPS) if remembers else None
        self.feed_in, self.feed_out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.feed_norm = nn.LayerNorm(width, eps=LAYER_EPS)

    def forward(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor] | None = None,
        past: tuple[Tensor, Tensor] | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The next layer's input, and keys and values of its own row so far.

        Args:
            x: places.
            memory: keys and values of the memory.
            past: keys and values of the places before ``x``.
            causal: no place sees those after it.
        """
        y = self.own_norm(x) if self.before else x
        kept = self.own.answers(y)
        if past is not None:
            kept = torch.cat([past[0], kept[0]], 2), torch.cat([past[1], kept[1]], 2)
        x = self._added(x, self.own(y, kept, causal), self.own_norm)
        if self.memory is not None and self.memory_norm is not None and memory is not None:
            y = self.memory_norm(x) if self.before else x
            x = self._added(x, self.memory(y, memory), self.memory_norm)
        y = self.feed_norm(x) if self.before else x
        return self._added(x, self.feed_out(self.activation(self.feed_in(y))), self.feed_norm), kept

    def _added(self, x: Tensor, y: Tensor, norm: nn.Module) -> Tensor:
        return x + y if self.before else norm(x + y)


def positions(first: int, count: int, width: int, like: Tensor) -> Float[Tensor, "place width"]:
    """Sines and cosines by turns (A. Vaswani et al., section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * -(math.log(10000.0) / width))
    angles = torch.arange(first, first + count, device=like.device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class TransformerEncoder(nn.Module):
    """A front of convolutions and layers of attention: from frames to places.

    Args:
        front: its blocks.
        inputs: numbers of a place behind the front.
        width: numbers of a place.
        layers: one after another.
    """

    def __init__(self, front: Sequence[FrontBlock], inputs: int, width: int, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.front = nn.ModuleList(front)
        self.join = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width, eps=LAYER_EPS)

    def forward(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch place width"]:
        """What is heard, place by place."""
        x = bands[..., None]
        for block in self.front:
            x = block(x)
        x = self.join(x.flatten(2))
        x = x + positions(0, x.shape[1], x.shape[2], x)
        for layer in self.layers:
            x, _ = layer(x)
        return self.norm(x)


class TransformerDecoder(nn.Module):
    """Writes one token after another; ``text.search.TokenModel``, once it has a memory.

    Args:
        tokens: how many there are.
        width: numbers of a place.
        layers: one after another.
    """

    def __init__(self, tokens: int, width: int, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width, eps=LAYER_EPS)
        self.out = nn.Linear(width, tokens)

    def start(self, memory: Float[Tensor, "batch place width"]) -> State:
        """The state before the first token."""
        state: State = {"written": torch.zeros(len(memory), 1, device=memory.device)}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            assert layer.memory is not None
            state[f"{number}.key"], state[f"{number}.value"] = layer.memory.answers(memory)
            empty = state[f"{number}.key"][:, :, :0]
            state[f"{number}.past_key"], state[f"{number}.past_value"] = empty, empty
        return state

    def step(self, tokens: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Logits of what follows ``tokens``, and the next state."""
        width = self.embed.embedding_dim
        x = self.embed(tokens)[:, None] * math.sqrt(width)
        x = x + positions(state["0.past_key"].shape[2], 1, width, x)
        state = dict(state)
        for number, layer in enumerate(self.layers):
            memory = state[f"{number}.key"], state[f"{number}.value"]
            past = state[f"{number}.past_key"], state[f"{number}.past_value"]
            x, (state[f"{number}.past_key"], state[f"{number}.past_value"]) = layer(x, memory, past)
        return self.out(self.norm(x))[:, 0], state


class ConvolutionalBlock(nn.Module):
    """Of a CRDNN: two convolutions, and the largest of some neighbouring bands."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, bands: int, pooled: int, activation: str
    ) -> None:
        super().__init__()
        self.first, self.second = Convolution(inputs, outputs, kernel), Convolution(outputs, outputs, kernel)
        self.first_norm, self.second_norm = nn.LayerNorm([bands, outputs]), nn.LayerNorm([bands, outputs])
        self.pooled, self.activation = pooled, ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """The next block's input."""
        x = self.activation(self.first_norm(self.first(x)))
        x = self.activation(self.second_norm(self.second(x)))
        return nn.functional.max_pool3d(x, (1, self.pooled, 1))


class Dense(nn.Module):
    """Of a CRDNN: a fully connected layer, normalised by what was seen in training."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "batch place inputs"]) -> Float[Tensor, "batch place outputs"]:
        """The next layer's input."""
        return self.activation(self.norm(self.linear(x).mT).mT)


class CRDNN(nn.Module):
    """Convolutions, recurrent and fully connected layers: from frames to places.

    Args:
        blocks: of convolutions.
        pooled_frames: of which the largest becomes a place.
        projection: from what the blocks make of a frame to the recurrent layers' input, and its norm; None for none.
        recurrent: LSTM or GRU.
        dense: fully connected layers.
        activation: of the projection.
    """

    def __init__(
        self,
        blocks: Sequence[ConvolutionalBlock],
        pooled_frames: int,
        projection: tuple[int, int] | None,
        recurrent: nn.RNNBase,
        dense: Sequence[Dense],
        activation: str,
    ) -> None:
        super().__init__()
        self.blocks, self.pooled_frames = nn.ModuleList(blocks), pooled_frames
        self.projection = nn.Linear(*projection) if projection else None
        self.projection_norm = nn.LayerNorm(projection[1]) if projection else None
        self.recurrent, self.dense = recurrent, nn.ModuleList(dense)
        self.activation = ACTIVATIONS[activation]

    def forward(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch place width"]:
        """What is heard, place by place."""
        x = bands[..., None]
        for block in self.blocks:
            x = block(x)
        if self.pooled_frames > 1:
            x = nn.functional.max_pool3d(x, (self.pooled_frames, 1, 1))
        x = x.flatten(2)
        if self.projection is not None and self.projection_norm is not None:
            x = self.activation(self.projection_norm(self.projection(x)))
        x = self.recurrent(x)[0]
        for layer in self.dense:
            x = layer(x)
        return x


class PlacesAttention(nn.Module):
    """Looks at a memory by what it holds, and by where it looked before (J. Chorowski et al., NeurIPS 2015)."""

    def __init__(
        self, memory: int, asking: int, width: int, channels: int, reach: int, scaling: float
    ) -> None:
        super().__init__()
        self.keys, self.query = nn.Linear(memory, width), nn.Linear(asking, width)
        self.convolution = nn.Conv1d(1, channels, 2 * reach + 1, padding=reach, bias=False)
        self.before = nn.Linear(channels, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.out, self.scaling = nn.Linear(memory, width), scaling

    def forward(
        self,
        x: Float[Tensor, "batch asking"],
        memory: Tensor,
        keys: Tensor,
        looked: Float[Tensor, "batch place"],
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch place"]]:
        """What it sees, and where it looked."""
        before = self.before(self.convolution(looked[:, None]).mT)
        scores = self.score(torch.tanh(keys + self.query(x)[:, None] + before))[..., 0]
        looks = (scores * self.scaling).softmax(-1)
        return self.out((looks[:, None] @ memory)[:, 0]), looks


class RecurrentDecoder(nn.Module):
    """Writes one token after another: GRUs whose last one asks the memory.

    Args:
        tokens: how many there are.
        embedding: numbers of a token.
        width: of the GRUs.
        attention: looks at the memory.
        layers: of GRUs.
    """

    def __init__(
        self, tokens: int, embedding: int, width: int, attention: PlacesAttention, layers: int
    ) -> None:
        super().__init__()
        seen = attention.query.out_features
        self.embed = nn.Embedding(tokens, embedding)
        self.cells = nn.ModuleList(
            nn.GRUCell(width if layer else embedding + seen, width) for layer in range(layers)
        )
        self.attention = attention
        self.join, self.out = nn.Linear(width + seen, width), nn.Linear(width, tokens)

    def start(self, memory: Float[Tensor, "batch place width"]) -> State:
        """The state before the first token."""
        batch, places, _ = memory.shape
        state = {
            "memory": memory,
            "keys": self.attention.keys(memory),
            "looked": memory.new_full((batch, places), 1 / places),
            "seen": memory.new_zeros(batch, self.attention.query.out_features),
        }
        return state | {
            f"{layer}.hidden": memory.new_zeros(batch, self.join.out_features)
            for layer in range(len(self.cells))
        }

    def step(self, tokens: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Logits of what follows ``tokens``, and the next state."""
        state = dict(state)
        x = torch.cat([self.embed(tokens), state["seen"]], -1)
        for layer, cell in enumerate(self.cells):
            x = state[f"{layer}.hidden"] = cell(x, state[f"{layer}.hidden"])
        state["seen"], state["looked"] = self.attention(x, state["memory"], state["keys"], state["looked"])
        return self.out(self.join(torch.cat([state["seen"], x], -1))), state
