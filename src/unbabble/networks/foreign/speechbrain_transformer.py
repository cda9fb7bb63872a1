"""SpeechBrain's Transformers that recognise: from its tensors and hyper-parameters to ``speechbrain_parts``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from unbabble.networks.foreign import speechbrain_parts as parts
from unbabble.networks.foreign.reading import count, need, rename
from unbabble.networks.foreign.speechbrain import Hyperparameters

_FRONT = (
    (r"^convblock_", "front."),
    (r"\.convs\.conv_(\d+)\.", r".convolutions.\1."),
    (r"\.convs\.norm_(\d+)\.norm\.", r".norms.\1."),
    (r"\.reduce_conv\.conv\.", ".shortcut."),
    (r"\.reduce_conv\.norm\.norm\.", ".shortcut_norm."),
)
LAYERS = (
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


def open_transformer(
    folder: Path, said: Hyperparameters, files: dict[str, dict[str, Tensor]]
) -> tuple[parts.TransformerEncoder, parts.TransformerDecoder | None, dict[str, Tensor]]:
    """The encoder, the decoder if there is one, and the tensors of both.

    Args:
        folder: where it lies, for errors.
        said: hyper-parameters.
        files: tensors of each part of ``asr.ckpt``.

    Raises:
        InputError: it is built in another way, and what differs.
    """
    about = said.tagged("TransformerASR")
    check(said, about, "Transformers")
    said.expect(about, "causal", False, True, "Transformers")
    ours = {rename(name, LAYERS): each for name, each in files["TransformerASR"].items() if ".pe" not in name}
    ours |= {f"encoder.{rename(name, _FRONT)}": each for name, each in files["ConvolutionFrontEnd"].items()}
    width = len(need(ours, "encoder.norm.weight", folder, 1))
    blocks = _front(folder, said, ours)
    inputs = need(ours, "encoder.join.weight", folder, 2).shape[1]
    encoder = parts.TransformerEncoder(blocks, inputs, width, layers(folder, said, about, ours, "encoder."))
    seq = files.get("seq")
    if "decoder.embed.weight" not in ours or not seq:
        return encoder, None, {name: each for name, each in ours.items() if not name.startswith("decoder.")}
    ours |= {f"decoder.out.{name.removeprefix('w.')}": each for name, each in seq.items()}
    written = layers(folder, said, about, ours, "decoder.")
    return encoder, parts.TransformerDecoder(len(ours["decoder.embed.weight"]), width, written), ours


def check(said: Hyperparameters, about: Mapping[str, Any], whose: str) -> None:
    """Refuse what these Transformers have not, language models or recognisers.

    Raises:
        InputError: naming it.
    """
    for name, wanted in (
        ("encoder_module", "transformer"),
        ("attention_type", "regularMHA"),
        ("positional_encoding", "fixed_abs_sine"),
    ):
        said.expect(about, name, wanted, wanted, whose)


def layers(
    folder: Path, said: Hyperparameters, about: Mapping[str, Any], ours: dict[str, Tensor], prefix: str
) -> list[parts.Layer]:
    """As many layers of attention as there are tensors for, behind ``prefix`` in ``ours``."""
    feed = need(ours, f"{prefix}layers.0.feed_in.weight", folder, 2)
    heads, before = said.resolve(about.get("nhead"), 8), said.resolve(about.get("normalize_before"), False)
    activation = said.class_among(about, "activation", "ReLU", parts.ACTIVATIONS)
    decodes = f"{prefix}layers.0.memory.ask.weight" in ours
    return [
        parts.Layer(feed.shape[1], int(heads), len(feed), activation, before, decodes)
        for _ in range(count(ours, f"{prefix}layers."))
    ]


def _front(folder: Path, said: Hyperparameters, ours: dict[str, Tensor]) -> list[parts.FrontBlock]:
    """The blocks of convolutions, whose strides the hyper-parameters alone know."""
    front = said.tagged("ConvolutionFrontEnd")
    said.class_among(front, "activation", "LeakyReLU", ["LeakyReLU"])
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
