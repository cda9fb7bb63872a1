"""Asteroid's ConvTasNet and DPRNNTasNet: ``pytorch_model.bin``, or a single such file under any name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.networks.foreign.reading import Foreign, count, matrix, need, read_pickled, read_tensors, rename

FILE = "pytorch_model.bin"
_NAMES = (
    (r"^(encoder|decoder)\.filterbank\._filters$", r"\1.weight"),
    (r"^masker\.", ""),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
_CONV_TASNET_NAMES = (
    *_NAMES,
    (r"^TCN\.", "blocks."),
    (r"\.shared_block\.0\.", ".expand."),
    (r"\.shared_block\.1\.", ".act1."),
    (r"\.shared_block\.2\.", ".norm1."),
    (r"\.shared_block\.3\.(0\.)?", ".depthwise."),
    (r"\.shared_block\.4\.", ".act2."),
    (r"\.shared_block\.5\.", ".norm2."),
    (r"\.res_conv\.", ".residual."),
    (r"\.skip_conv\.", ".skip."),
    (r"^mask_net\.", "to_masks."),
)
_DPRNN_NAMES = (
    *_NAMES,
    (r"^net\.(\d+)\.intra_RNN\.rnn\.", r"blocks.\1.0.lstm."),
    (r"^net\.(\d+)\.inter_RNN\.rnn\.", r"blocks.\1.1.lstm."),
    (r"^net\.(\d+)\.intra_linear\.", r"blocks.\1.0.project."),
    (r"^net\.(\d+)\.inter_linear\.", r"blocks.\1.1.project."),
    (r"^net\.(\d+)\.intra_norm\.", r"blocks.\1.0.norm."),
    (r"^net\.(\d+)\.inter_norm\.", r"blocks.\1.1.norm."),
    (r"^first_out\.", "to_sources."),
    (r"^net_out\.0\.", "output."),
    (r"^net_gate\.0\.", "gate."),
    (r"^mask_net\.", "to_masks."),
)
_NORMS = {"gLN": "global", "cLN": "channel", "cgLN": "cumulative", "bN": "batch", "BN": "batch"}
_UNKNOWN_RATE = 8000
"""Hz of Asteroid's published networks that do not say: all of them but one enhancer of masked speech."""


def open_asteroid(path: Path) -> Foreign:
    """The Conv-TasNet or DPRNN in the file ``path``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
    """
    content = read_pickled(path)
    if not isinstance(content, dict) or not {"model_name", "model_args", "state_dict"} <= content.keys():
        raise InputError(
            f"'{path.name}' is no network of Asteroid: it has no model_name, model_args and state_dict."
        )
    kind, said = content["model_name"], dict(content["model_args"])
    tensors = read_tensors(path, content["state_dict"])
    readers: dict[Any, Callable[..., Foreign]] = {
        "ConvTasNet": _conv_tasnet,
        "DPRNNTasNet": _dprnn,
    }
    if kind not in readers:
        raise InputError(
            f"'{path.name}' is a {kind}: of Asteroid's networks, Unbabble reads {' and '.join(readers)}."
        )
    for name, wanted in (
        ("fb_name", ("free", "FreeFB")),
        ("encoder_activation", (None, "linear", "relu")),
        ("out_chan", (None, said.get("n_filters"))),
        ("rnn_type", ("LSTM", "lstm")),
        ("num_layers", (1,)),
        ("use_mulcat", (False,)),
    ):
        if name in said and said[name] not in wanted:
            raise InputError(f"'{path.name}' has {name}={said[name]}, which Unbabble's {kind} does not have.")
    return readers[kind](path, said, tensors)


def _common(path: Path, said: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    filters = need(tensors, "encoder.weight", path, 3)
    norm = _NORMS.get(said.get("norm_type", "gLN"))
    stride = said.get("stride") or filters.shape[-1] // 2
    if norm is None or 2 * stride != filters.shape[-1]:
        raise InputError(
            f"'{path.name}' has norm {said.get('norm_type')} and stride {stride}: Unbabble's network has global, "
            "channel or cumulative norms, and a stride of half a kernel."
        )
    return {
        "sources": int(said["n_src"]) if "n_src" in said else 2,
        "sample_rate": int(said.get("sample_rate") or _UNKNOWN_RATE),
        "levels": "fitted",
        "filters": len(filters),
        "kernel": filters.shape[-1],
        "norm": norm,
        "mask": said.get("mask_act", "sigmoid"),
        "encoder_relu": said.get("encoder_activation") == "relu",
    }


def _conv_tasnet(path: Path, said: dict[str, Any], theirs: dict[str, Tensor]) -> Foreign:
    ours = {rename(name, _CONV_TASNET_NAMES): tensor for name, tensor in theirs.items()}
    options = _common(path, said, ours)
    expand = need(ours, "blocks.0.expand.weight", path, 3)
    depthwise = need(ours, "blocks.0.depthwise.weight", path, 3)
    repeats = int(said.get("n_repeats", 3))
    blocks = count(ours, "blocks.")
    skip = len(ours["blocks.0.skip.weight"]) if "blocks.0.skip.weight" in ours else 0
    if skip:  # nothing follows the last block but its skip
        for name in ("weight", "bias"):
            ours.pop(f"blocks.{blocks - 1}.residual.{name}", None)
    options |= {
        "bottleneck": expand.shape[1],
        "hidden": len(expand),
        "skip": skip,
        "conv_kernel": depthwise.shape[-1],
        "blocks": blocks // max(1, repeats),
        "repeats": repeats,
        "causal": bool(said.get("causal", False)),
    }
    return Foreign("conv_tasnet", options, ours, path.name)


def _dprnn(path: Path, said: dict[str, Any], theirs: dict[str, Tensor]) -> Foreign:
    ours = {rename(name, _DPRNN_NAMES): tensor for name, tensor in theirs.items()}
    options = _common(path, said, ours)
    chunk = int(said.get("chunk_size", 100))
    hop = said.get("hop_size") or chunk // 2
    if 2 * hop != chunk:
        raise InputError(
            f"'{path.name}' has chunks of {chunk} frames every {hop}: Unbabble's overlap by half."
        )
    for name in ("bottleneck.1.weight", "to_sources.1.weight"):
        ours[name] = matrix(need(ours, name, path, 2))
    options |= {
        "bottleneck": len(need(ours, "bottleneck.1.weight", path, 2)),
        "hidden": need(ours, "blocks.0.0.lstm.weight_hh_l0", path, 2).shape[1],
        "chunk": chunk,
        "blocks": count(ours, "blocks."),
        "bidirectional": bool(said.get("bidirectional", True)),
        "padding": "full",
    }
    return Foreign("dprnn", options, ours, path.name)
