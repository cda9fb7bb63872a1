"""SpeechBrain's recognisers: ``asr.ckpt``, ``normalizer.ckpt``, ``tokenizer.ckpt`` and ``hyperparams.yaml``.

A Transformer or a CRDNN (``speechbrain_parts``) with CTC, a decoder, or both. Numbers are read from the
hyper-parameters, which build nothing here; shapes from the tensors. ``asr.ckpt`` holds its parts by their place in the
list of modules (``0.``, ``1.`` ...), the tokenizer is sentencepiece's (extra ``speechbrain``). The language model
(``lm.ckpt``) is not read.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.config import check_names
from unbabble.base.errors import InputError
from unbabble.base.extras import require
from unbabble.base.registry import Card
from unbabble.base.spans import Span, Transcript
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign import speechbrain_parts as parts
from unbabble.networks.foreign.reading import count, need, read_pickled, read_tensors, rename
from unbabble.networks.foreign.recognizer import ForeignRecognizer, in_one_sentence, need_files
from unbabble.networks.foreign.speechbrain import YAML, Hyperparameters, read_hyperparameters
from unbabble.nn.state import State
from unbabble.text.hypothesis import place, shares, transcript
from unbabble.text.search import END, joint_beam

WEIGHTS, NORMALIZER, TOKENIZER = "asr.ckpt", "normalizer.ckpt", "tokenizer.ckpt"
LEAST_SECONDS = 0.3
"""Shorter utterances are followed by silence: the front mirrors a few frames at both edges."""
BEAM, END_THRESHOLD, CTC_WEIGHT = 10, 1.5, 0.4
CARDS = {
    "transformer": Card(
        "speechbrain_transformer",
        "recognizer",
        "Writes pieces of words by attention and CTC, behind a Transformer.",
        "Ravanelli et al.: SpeechBrain, arXiv 2106.04624; Karita et al., ASRU 2019",
        network=True,
    ),
    "crdnn": Card(
        "speechbrain_crdnn",
        "recognizer",
        "Writes pieces of words by attention and CTC, behind convolutional, recurrent and dense layers.",
        "Ravanelli et al.: SpeechBrain, arXiv 2106.04624",
        network=True,
    ),
}
_FRONT = (
    (r"^convblock_", "front."),
    (r"\.convs\.conv_(\d+)\.", r".convolutions.\1."),
    (r"\.convs\.norm_(\d+)\.norm\.", r".norms.\1."),
    (r"\.reduce_conv\.conv\.", ".shortcut."),
    (r"\.reduce_conv\.norm\.norm\.", ".shortcut_norm."),
)
_LAYERS = (
    (r"\.self_att(n)?\.att\.in_proj_", ".own.ask."),
    (r"\.self_att(n)?\.att\.out_proj\.", ".own.out."),
    (r"\.multihead_attn\.att\.in_proj_", ".memory.ask."),
    (r"\.multihead_attn\.att\.out_proj\.", ".memory.out."),
    (r"\.pos_ffn\.ffn\.0\.", ".feed_in."),
    (r"\.pos_ffn\.ffn\.3\.", ".feed_out."),
    (r"^(encoder\.layers\.\d+|decoder\.layers\.\d+)\.norm1\.norm\.", r"\1.own_norm."),
    (r"^(encoder\.layers\.\d+)\.norm2\.norm\.", r"\1.feed_norm."),
    (r"^(decoder\.layers\.\d+)\.norm2\.norm\.", r"\1.memory_norm."),
    (r"^(decoder\.layers\.\d+)\.norm3\.norm\.", r"\1.feed_norm."),
    (r"^(encoder|decoder)\.norm\.norm\.", r"\1.norm."),
    (r"^custom_src_module\.layers\.0\.w\.", "encoder.join."),
    (r"^custom_tgt_module\.layers\.0\.emb\.Embedding\.", "decoder.embed."),
)
_CRDNN = (
    (r"^CNN\.block_(\d+)\.", r"blocks.\1."),
    (r"\.conv_1\.", ".first."),
    (r"\.conv_2\.", ".second."),
    (r"\.norm_1\.norm\.", ".first_norm."),
    (r"\.norm_2\.norm\.", ".second_norm."),
    (r"^projection\.linear\.w\.", "projection."),
    (r"^projection\.norm\.norm\.", "projection_norm."),
    (r"^RNN\.rnn\.", "recurrent."),
    (r"^DNN\.block_(\d+)\.linear\.w\.", r"dense.\1.linear."),
    (r"^DNN\.block_(\d+)\.norm\.norm\.", r"dense.\1.norm."),
)
_RECURRENT_DECODER = (
    (r"^proj\.", "join."),
    (r"^attn\.mlp_enc\.", "attention.keys."),
    (r"^attn\.mlp_dec\.", "attention.query."),
    (r"^attn\.conv_loc\.", "attention.convolution."),
    (r"^attn\.mlp_loc\.", "attention.before."),
    (r"^attn\.mlp_attn\.", "attention.score."),
    (r"^attn\.mlp_out\.", "attention.out."),
    (r"^rnn\.rnn_cells\.", "cells."),
)


def is_speechbrain_recognizer(folder: Path) -> bool:
    """Whether ``folder`` has the layout."""
    return (folder / WEIGHTS).is_file() and (folder / YAML).is_file()


def card_of(folder: Path) -> Card:
    """What a listing shows of the recogniser in ``folder``.

    Raises:
        InputError: neither a Transformer nor a CRDNN.
    """
    said = read_hyperparameters(folder / YAML)
    for kind, name in (("TransformerASR", "transformer"), ("CRDNN", "crdnn")):
        if said.has(kind):
            return CARDS[name]
    raise InputError(
        f"'{YAML}' describes neither a TransformerASR nor a CRDNN: Unbabble reads these recognisers."
    )


def load_speechbrain_recognizer(folder: Path, given: Mapping[str, Any]) -> ForeignRecognizer:
    """The recogniser in ``folder``.

    Args:
        folder: its files.
        given: ``beam`` and ``ctc_weight``.

    Raises:
        InputError: missing or damaged files; a network that is built in another way, and what differs.
        MissingExtraError: without the extra ``speechbrain``.
        UsageError: no such option.
    """
    check_names(given, ["beam", "ctc_weight"], f"Model '{folder}'")
    card = card_of(folder)
    need_files(folder, NORMALIZER, TOKENIZER)
    require("speechbrain")
    said = read_hyperparameters(folder / YAML)
    files = _parts(said, read_tensors(folder / WEIGHTS, read_pickled(folder / WEIGHTS)))
    build = _transformer if card is CARDS["transformer"] else _crdnn
    encoder, decoder, tensors = build(folder, said, files)
    features = _features(said)
    tensors |= {f"features.{name}": each for name, each in _normalizer(folder).items()}
    ctc = _linear(files.get("ctc"), "ctc.", tensors)
    if ctc is None and decoder is None:
        raise InputError(f"'{WEIGHTS}' in '{folder}' has neither CTC nor a decoder.")
    network = SpeechBrainRecognizer(
        features=features,
        encoder=encoder,
        decoder=decoder,
        ctc=ctc,
        inventory=_inventory(folder),
        marks=(said.index("bos_index"), said.index("eos_index")),
        card=card,
        sample_rate=int(said.number("sample_rate")),
        beam=int(given.get("beam", BEAM)),
        ctc_weight=float(given.get("ctc_weight", _ctc_weight(said))),
    )
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    theirs = {name: tuple(each.shape) for name, each in tensors.items()}
    if problem := describe_difference(str(folder), theirs, shapes):
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


class SpeechBrainRecognizer(ForeignRecognizer):
    """Features, an encoder, and a joint search of CTC and attention.

    Args:
        features: from a waveform to frames.
        encoder: from frames to places.
        decoder: writes tokens; None for CTC alone.
        ctc: from places to logits; None for attention alone.
        inventory: pieces by their number, the first of which is the blank.
        marks: tokens of beginning and end.
        card: what a listing shows of it.
        sample_rate: Hz.
        beam: hypotheses that are kept.
        ctc_weight: of CTC in the search; the rest to one is attention's.
    """

    def __init__(
        self,
        *,
        features: parts.StandardMel,
        encoder: nn.Module,
        decoder: "Decoder | None",
        ctc: nn.Linear | None,
        inventory: list[str],
        marks: tuple[int, int],
        card: Card,
        sample_rate: int,
        beam: int = BEAM,
        ctc_weight: float = CTC_WEIGHT,
    ) -> None:
        super().__init__(card=card, sample_rate=sample_rate, given={"beam": beam, "ctc_weight": ctc_weight})
        self.features, self.encoder, self.decoder, self.ctc = features, encoder, decoder, ctc
        self.inventory, self.marks, self.beam, self.ctc_weight = inventory, marks, beam, ctc_weight

    def transcript(self, samples: Float[np.ndarray, " time"]) -> Transcript:
        """Words by the joint search; without CTC, they share the time of the utterance by their pieces."""
        waveform = torch.from_numpy(samples).to(self.features.mean.device)
        short = max(0, round(LEAST_SECONDS * self.sample_rate) - len(samples))
        places = self.encoder(self.features(nn.functional.pad(waveform, (0, short))[None]))
        seconds = (len(samples) + short) / self.sample_rate / places.shape[1]
        log_probs = self.ctc(places)[0].log_softmax(-1).double().cpu().numpy() if self.ctc else None
        found = joint_beam(
            Written(self.decoder, places, self.marks) if self.decoder is not None else None,
            log_probs,
            self.inventory[1:],
            attention_weight=1 - self.ctc_weight,
            beam=self.beam,
            end_threshold=END_THRESHOLD,
            longest=places.shape[1],
        )
        best = found[0]
        if not best.words:
            return Transcript((), best.score)
        sure = shares(found)
        if log_probs is None:
            edges = np.cumsum([0, *best.lengths]) * places.shape[1] * seconds / sum(best.lengths)
            return Transcript(
                tuple(
                    Span(float(edges[number]), float(edges[number + 1]), word, score=sure[number])
                    for number, word in enumerate(best.words)
                ),
                best.score,
            )
        placed = place(log_probs, replace(best, posteriors=sure))
        return transcript(placed, seconds, best.score)


class Written:
    """A decoder with its memory, as the search knows one: tokens of beginning and end are 0.

    Args:
        decoder: of SpeechBrain.
        memory: one utterance's places.
        marks: its tokens of beginning and end.
    """

    def __init__(
        self, decoder: "Decoder", memory: Float[Tensor, "1 place width"], marks: tuple[int, int]
    ) -> None:
        self.decoder, self.memory, (self.begin, self.end) = decoder, memory, marks

    def start(self, batch: int) -> State:
        """The state before the first token."""
        return self.decoder.start(self.memory.expand(batch, -1, -1))

    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch token"], State]:
        """Log-probabilities of the tokens after ``x``, and the state then."""
        x = torch.where(x == END, self.begin, x).to(self.memory.device)
        logits, state = self.decoder.step(x, state)
        log_probs = logits.log_softmax(-1)
        ends = log_probs[:, self.end].clone()
        log_probs[:, [self.begin, self.end]] = -torch.inf
        log_probs[:, END] = ends
        return log_probs, state


Decoder = parts.TransformerDecoder | parts.RecurrentDecoder


def _parts(said: Hyperparameters, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part, by what the list of modules calls it or what it is.

    Raises:
        InputError: no such list.
    """
    lists = [value[0] for value in said.content.values() if isinstance(value, list) and value]
    for names in lists:
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            continue
        kinds = [_kind(said, each.strip("<>")) for each in names]
        if {"TransformerASR", "CRDNN"} & set(kinds):
            return {
                kind: {
                    name.partition(".")[2]: tensor
                    for name, tensor in tensors.items()
                    if name.partition(".")[0] == str(number)
                }
                for number, kind in enumerate(kinds)
            }
    raise InputError(f"'{YAML}' has no list of the modules in '{WEIGHTS}'.")


def _kind(said: Hyperparameters, name: str) -> str:
    """What a module is: its class, or of linear layers ``ctc`` or ``seq``, by their names."""
    kind = said.class_of(said.content.get(name))
    return name.partition("_")[0] if kind == "Linear" else kind


def _transformer(
    folder: Path, said: Hyperparameters, files: dict[str, dict[str, Tensor]]
) -> tuple[nn.Module, "Decoder | None", dict[str, Tensor]]:
    about, front = said.tagged("TransformerASR"), said.tagged("ConvolutionFrontEnd")
    for name, wanted, default in (
        ("encoder_module", "transformer", "transformer"),
        ("attention_type", "regularMHA", "regularMHA"),
        ("positional_encoding", "fixed_abs_sine", "fixed_abs_sine"),
        ("causal", False, True),
    ):
        if (value := said.resolve(about.get(name), default)) != wanted:
            raise InputError(
                f"'{YAML}' says {name}: {value}, but Unbabble reads Transformers with {wanted} there."
            )
    ours = {
        rename(name, _LAYERS): each for name, each in files["TransformerASR"].items() if ".pe" not in name
    }
    ours |= {f"encoder.{rename(name, _FRONT)}": each for name, each in files["ConvolutionFrontEnd"].items()}
    width = len(need(ours, "encoder.norm.weight", folder, 1))
    heads, before = (
        int(said.resolve(about.get("nhead"), 8)),
        said.resolve(about.get("normalize_before"), False),
    )
    activation = _activation(said, about, "ReLU")

    def layers(which: str) -> list[parts.Layer]:
        first = f"{which}.layers.0.feed_in.weight"
        hidden = len(need(ours, first, folder, 2))
        decodes = which == "decoder"
        number = count(ours, f"{which}.layers.")
        return [parts.Layer(width, heads, hidden, activation, before, decodes) for _ in range(number)]

    blocks = _front(folder, said, front, ours)
    inputs = need(ours, "encoder.join.weight", folder, 2).shape[1]
    encoder = parts.TransformerEncoder(blocks, inputs, width, layers("encoder"))
    seq = files.get("seq")
    if "decoder.embed.weight" not in ours or not seq:
        return encoder, None, {name: each for name, each in ours.items() if not name.startswith("decoder.")}
    ours |= {f"decoder.out.{name.removeprefix('w.')}": each for name, each in seq.items()}
    return (
        encoder,
        parts.TransformerDecoder(len(ours["decoder.embed.weight"]), width, layers("decoder")),
        ours,
    )


def _front(
    folder: Path, said: Hyperparameters, front: dict[str, Any], ours: dict[str, Tensor]
) -> list[parts.FrontBlock]:
    """The blocks of convolutions, whose strides the hyper-parameters alone know."""
    if (activation := _activation(said, front, "LeakyReLU")) != "LeakyReLU":
        raise InputError(f"'{YAML}' has a front with {activation}: Unbabble reads those with LeakyReLU.")
    strides = said.row(front.get("strides"), (1, 2, 2))
    bands, blocks = int(said.number("n_mels")), []
    for number in range(count(ours, "encoder.front.")):
        prefix = f"encoder.front.{number}."
        weight = need(ours, f"{prefix}convolutions.0.conv.weight", folder, 4)
        stride = int(strides[number]) if number < len(strides) else 1
        blocks.append(
            parts.FrontBlock(
                weight.shape[1],
                len(weight),
                weight.shape[2],
                stride,
                count(ours, f"{prefix}convolutions."),
                bands,
                f"{prefix}shortcut.conv.weight" in ours,
            )
        )
        bands = blocks[-1].after
    return blocks


def _crdnn(
    folder: Path, said: Hyperparameters, files: dict[str, dict[str, Tensor]]
) -> tuple[nn.Module, "Decoder | None", dict[str, Tensor]]:
    about = said.tagged("CRDNN")
    ours = {f"encoder.{rename(name, _CRDNN)}": each for name, each in files["CRDNN"].items()}
    kind = said.class_of(said.resolve(about.get("rnn_class"), "LiGRU"))
    if kind not in ("LSTM", "GRU"):
        raise InputError(
            f"'{YAML}' says rnn_class: {kind}, but Unbabble reads CRDNNs with LSTM or GRU there."
        )
    for name in ("using_2d_pooling", "use_rnnp"):
        if said.resolve(about.get(name), False):
            raise InputError(f"'{YAML}' says {name}: True, but Unbabble reads CRDNNs without that.")
    activation = _activation(said, about, "LeakyReLU")
    pooled = said.row(about.get("inter_layer_pooling_size"), (2, 2))
    bands, blocks = int(said.number("n_mels")), []
    for number in range(count(ours, "encoder.blocks.")):
        weight = need(ours, f"encoder.blocks.{number}.first.conv.weight", folder, 4)
        size = int(pooled[number]) if number < len(pooled) else 2
        blocks.append(
            parts.ConvolutionalBlock(weight.shape[1], len(weight), weight.shape[2], bands, size, activation)
        )
        bands //= size
    projection = ours.get("encoder.projection.weight")
    first = need(ours, "encoder.recurrent.weight_ih_l0", folder, 2)
    recurrent = getattr(nn, kind)(
        first.shape[1],
        need(ours, "encoder.recurrent.weight_hh_l0", folder, 2).shape[1],
        len({name for name in ours if re.fullmatch(r"encoder\.recurrent\.weight_ih_l\d+", name)}),
        batch_first=True,
        bidirectional="encoder.recurrent.weight_ih_l0_reverse" in ours,
    )
    dense = [
        parts.Dense(weight.shape[1], len(weight), activation)
        for number in range(count(ours, "encoder.dense."))
        for weight in [need(ours, f"encoder.dense.{number}.linear.weight", folder, 2)]
    ]
    frames = int(said.resolve(about.get("time_pooling_size"), 2))
    encoder = parts.CRDNN(
        blocks,
        frames if said.resolve(about.get("time_pooling"), False) else 1,
        None if projection is None else (projection.shape[1], len(projection)),
        recurrent,
        dense,
        activation,
    )
    if not {"AttentionalRNNDecoder", "Embedding", "seq"} <= files.keys():
        return encoder, None, ours
    return encoder, _recurrent_decoder(folder, said, files, ours), ours


def _recurrent_decoder(
    folder: Path, said: Hyperparameters, files: dict[str, dict[str, Tensor]], ours: dict[str, Tensor]
) -> parts.RecurrentDecoder:
    """The decoder of a CRDNN; its tensors are added to ``ours``."""
    about = said.tagged("AttentionalRNNDecoder")
    for name, wanted in (("rnn_type", "gru"), ("attn_type", "location")):
        if (value := said.resolve(about.get(name), wanted)) != wanted:
            raise InputError(
                f"'{YAML}' says {name}: {value}, but Unbabble reads decoders with {wanted} there."
            )
    theirs = files["AttentionalRNNDecoder"]
    ours |= {f"decoder.{rename(name, _RECURRENT_DECODER)}": each for name, each in theirs.items()}
    ours |= {f"decoder.out.{name.removeprefix('w.')}": each for name, each in files["seq"].items()}
    ours["decoder.embed.weight"] = need(files["Embedding"], "Embedding.weight", folder, 2)
    keys = need(ours, "decoder.attention.keys.weight", folder, 2)
    before = need(ours, "decoder.attention.convolution.weight", folder, 3)
    width = len(need(ours, "decoder.join.weight", folder, 2))
    attention = parts.PlacesAttention(
        keys.shape[1],
        width,
        len(keys),
        len(before),
        before.shape[2] // 2,
        float(said.resolve(about.get("scaling"), 1.0)),
    )
    tokens, embedding = ours["decoder.embed.weight"].shape
    return parts.RecurrentDecoder(tokens, embedding, width, attention, count(ours, "decoder.cells."))


def _features(said: Hyperparameters) -> parts.StandardMel:
    about = said.tagged("Fbank")
    for name, wanted in (("deltas", False), ("context", False), ("f_min", 0), ("filter_shape", "triangular")):
        if (value := said.resolve(about.get(name), wanted)) != wanted:
            raise InputError(f"'{YAML}' says {name}: {value}, but Unbabble's log mel has {wanted} there.")
    norm = said.resolve(said.tagged("InputNormalization").get("norm_type"), "global")
    if norm != "global":
        raise InputError(
            f"'{YAML}' says norm_type: {norm}, but Unbabble reads recognisers with global there."
        )
    return parts.StandardMel(
        int(said.number("n_mels")),
        int(said.number("sample_rate")),
        points=int(said.resolve(about.get("n_fft"), 400)),
        window_seconds=float(said.resolve(about.get("win_length"), 25)) / 1000,
        hop_seconds=float(said.resolve(about.get("hop_length"), 10)) / 1000,
    )


def _normalizer(folder: Path) -> dict[str, Tensor]:
    content = read_pickled(folder / NORMALIZER)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), Tensor) for name in ("glob_mean", "glob_std")
    ):
        raise InputError(f"'{NORMALIZER}' does not hold the mean and the deviation of the training data.")
    return {"mean": content["glob_mean"].float(), "deviation": content["glob_std"].float()}


def _linear(content: dict[str, Tensor] | None, prefix: str, ours: dict[str, Tensor]) -> nn.Linear | None:
    """A linear layer for these tensors, which are added to ``ours``; None where there are none."""
    if not content or "w.weight" not in content:
        return None
    ours |= {prefix + name.removeprefix("w."): each for name, each in content.items()}
    return nn.Linear(content["w.weight"].shape[1], len(content["w.weight"]))


def _inventory(folder: Path) -> list[str]:
    """The pieces of sentencepiece's model, by their number."""
    with in_one_sentence("sentencepiece", folder / TOKENIZER):
        from sentencepiece import SentencePieceProcessor

        model = SentencePieceProcessor(model_file=str(folder / TOKENIZER))
        return [model.IdToPiece(number) for number in range(model.GetPieceSize())]


def _activation(said: Hyperparameters, about: dict[str, Any], default: str) -> str:
    name = said.class_of(said.resolve(about.get("activation"), default))
    if name not in parts.ACTIVATIONS:
        raise InputError(f"'{YAML}' says activation: {name}, which Unbabble does not have there.")
    return name


def _ctc_weight(said: Hyperparameters) -> float:
    value = said.resolve(said.content.get("ctc_weight_decode"), CTC_WEIGHT)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else CTC_WEIGHT
