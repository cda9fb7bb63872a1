"""SpeechBrain's CRDNNs that recognise: from its tensors and hyper-parameters to ``speechbrain_parts``."""

import re
from pathlib import Path

from torch import Tensor, nn

from unbabble.networks.foreign import speechbrain_parts as parts
from unbabble.networks.foreign.reading import count, need, rename
from unbabble.networks.foreign.speechbrain import Hyperparameters

_NAMES = (
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
_DECODER_NAMES = (
    (r"^proj\.", "join."),
    (r"^attn\.mlp_enc\.", "attention.keys."),
    (r"^attn\.mlp_dec\.", "attention.query."),
    (r"^attn\.conv_loc\.", "attention.convolution."),
    (r"^attn\.mlp_loc\.", "attention.before."),
    (r"^attn\.mlp_attn\.", "attention.score."),
    (r"^attn\.mlp_out\.", "attention.out."),
    (r"^rnn\.rnn_cells\.", "cells."),
)


def open_crdnn(
    folder: Path, said: Hyperparameters, files: dict[str, dict[str, Tensor]]
) -> tuple[parts.CRDNN, parts.RecurrentDecoder | None, dict[str, Tensor]]:
    """The encoder, the decoder if there is one, and the tensors of both; arguments as of ``open_transformer``.

    Raises:
        InputError: it is built in another way, and what differs.
    """
    about = said.tagged("CRDNN")
    ours = {f"encoder.{rename(name, _NAMES)}": each for name, each in files["CRDNN"].items()}
    kind = said.class_among(about, "rnn_class", "LiGRU", ["LSTM", "GRU"])
    for name in ("using_2d_pooling", "use_rnnp"):
        said.expect(about, name, False, False, "CRDNNs")
    activation = said.class_among(about, "activation", "LeakyReLU", parts.ACTIVATIONS)
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
        said.expect(about, name, wanted, wanted, "decoders")
    theirs = files["AttentionalRNNDecoder"]
    ours |= {f"decoder.{rename(name, _DECODER_NAMES)}": each for name, each in theirs.items()}
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
