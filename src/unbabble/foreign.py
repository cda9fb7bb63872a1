"""Networks that other toolkits trained: read from their files, as networks of ours.

- SpeechBrain's SepFormer: ``encoder.ckpt``, ``masknet.ckpt``, ``decoder.ckpt`` and ``hyperparams.yaml``.
- Asteroid's ConvTasNet and DPRNNTasNet: ``pytorch_model.bin``, or a single such file under any name.

Files of tensors are read with an unpickler that makes tensors, numbers, text and containers of these, and refuses
everything else; YAML as plain data, whatever its tags ask for. Nothing in them is ever executed.
"""

import os
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.torch_version import TorchVersion

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.errors import InputError
from unbabble.base.weights import describe_difference
from unbabble.nn.separator import NeuralSeparator

SPEECHBRAIN_PARTS = ("encoder.ckpt", "masknet.ckpt", "decoder.ckpt")
SPEECHBRAIN_YAML = "hyperparams.yaml"
ASTEROID_FILE = "pytorch_model.bin"
_SCALAR = np.float64(0).__reduce__()[0]
HARMLESS: list[Any] = [
    TorchVersion,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("?", "i4", "i8", "f4", "f8", "U")),
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
"""Numbers and version texts that published files hold beside tensors."""


class Foreign(NamedTuple):
    """A network of another toolkit in our terms: ``registry.create(method, **options)`` takes ``tensors``."""

    method: str
    options: dict[str, Any]
    tensors: dict[str, Tensor]
    source: str


def is_foreign(place: str | os.PathLike[str]) -> bool:
    """Whether ``place`` is a folder in one of the layouts, or a file of tensors that is not safetensors."""
    path = Path(place)
    if path.is_dir():
        return (path / SPEECHBRAIN_PARTS[1]).is_file() or (path / ASTEROID_FILE).is_file()
    return path.is_file() and path.suffix in (".bin", ".pth", ".pt", ".ckpt")


def load_foreign(place: str | os.PathLike[str], **options: Any) -> NeuralSeparator:
    """The network in ``place``, ready for use.

    Args:
        place: a folder or file, see ``is_foreign``.
        options: of our network, in place of those that its files imply: ``precision="bfloat16"``, ``levels="kept"``.

    Raises:
        InputError: damaged, unsafe, or a network that Unbabble does not have, and what differs.
        UsageError: no such option.
    """
    method, implied, tensors, source = open_foreign(place)
    implied |= check_arguments(registry.method(method), options, f"Model '{place}'")
    network: NeuralSeparator = registry.create(method, **implied)
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    problem = describe_difference(source, {name: tuple(each.shape) for name, each in tensors.items()}, shapes)
    if problem:
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


def open_foreign(place: str | os.PathLike[str]) -> Foreign:
    """What is in ``place``, in our terms.

    Raises:
        InputError: damaged, unsafe, or a kind of network that Unbabble does not have.
    """
    path = Path(place)
    if path.is_dir() and (path / SPEECHBRAIN_PARTS[1]).is_file():
        return _speechbrain(path)
    return _asteroid(path / ASTEROID_FILE if path.is_dir() else path)


def read_pickled(path: Path) -> Any:
    """Tensors and plain data from a file of ``torch.save``.

    Raises:
        InputError: missing, damaged, or with objects that could do anything.
    """
    try:
        with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no file '{path}'.") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found:
            raise InputError(
                f"'{path.name}' holds more than tensors and plain data ('{found[1]}'), and is not read: such a file "
                "could do anything."
            ) from None
        raise InputError(f"'{path.name}' is damaged, or no file of tensors.") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InputError(f"'{path.name}' is damaged, or no file of tensors.") from None


def read_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """``content`` if it is tensors by name.

    Raises:
        InputError: it is not.
    """
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise InputError(f"'{path.name}' does not hold tensors by name.")
    return {str(name): tensor.float() for name, tensor in content.items()}


# SpeechBrain ----------------------------------------------------------------------------------------------------------

_SPEECHBRAIN_NAMES = (
    (r"^encoder\.conv1d\.", "encoder."),
    (r"^masknet\.conv1d\.", "masknet.bottleneck."),
    (r"^masknet\.dual_mdl\.(\d+)\.", r"masknet.blocks.\1."),
    (r"\.(intra|inter)_mdl\.mdl\.norm\.norm\.", r".\1.norm."),
    (r"\.(intra|inter)_mdl\.mdl\.layers\.", r".\1.layers."),
    (r"\.self_att\.att\.in_proj_", ".attention_in."),
    (r"\.self_att\.att\.out_proj\.", ".attention_out."),
    (r"\.pos_ffn\.ffn\.0\.", ".feed_in."),
    (r"\.pos_ffn\.ffn\.3\.", ".feed_out."),
    (r"\.norm1\.norm\.", ".attention_norm."),
    (r"\.norm2\.norm\.", ".feed_norm."),
    (r"^masknet\.conv2d\.", "masknet.split."),
    (r"^masknet\.prelu\.", "masknet.activation."),
    (r"^masknet\.output\.0\.", "masknet.output."),
    (r"^masknet\.output_gate\.0\.", "masknet.gate."),
    (r"^masknet\.end_conv1x1\.", "masknet.last."),
)
_POSITIONS = ".pos_enc.pe"


def _speechbrain(folder: Path) -> Foreign:
    tensors: dict[str, Tensor] = {}
    for part in SPEECHBRAIN_PARTS:
        path = folder / part
        for name, tensor in read_tensors(path, read_pickled(path)).items():
            tensors[f"{path.stem}.{name}"] = tensor
    said = read_hyperparameters(folder / SPEECHBRAIN_YAML)
    network = said.tagged("Dual_Path_Model")
    intra, inter = (said.resolve(network.get(f"{which}_model"), {}) for which in ("intra", "inter"))
    for where, name, wanted, default in (
        (network, "skip_around_intra", True, True),
        (intra, "norm_before", True, False),
        (inter, "norm_before", True, False),
        (intra, "activation", "relu", "relu"),
        (inter, "nhead", said.resolve(intra.get("nhead"), 8), 8),
    ):
        found = said.resolve(where.get(name), default)
        if found != wanted:
            raise InputError(
                f"'{SPEECHBRAIN_YAML}' says {name}: {found}, but Unbabble's SepFormer has {wanted} there."
            )
    if not any(name.endswith(_POSITIONS) for name in tensors):
        raise InputError("'masknet.ckpt' has no positions, which Unbabble's SepFormer needs.")
    ours = {
        _rename(name, _SPEECHBRAIN_NAMES): _matrix(tensor) if name.startswith("masknet.") else tensor
        for name, tensor in tensors.items()
        if not name.endswith(_POSITIONS)
    }
    encoder = _need(ours, "encoder.weight", folder, 3)
    feed = _need(ours, "masknet.blocks.0.intra.layers.0.feed_in.weight", folder, 2)
    split = _need(ours, "masknet.split.weight", folder, 2)
    return Foreign(
        "sepformer",
        {
            "sources": max(1, len(split) // len(encoder)),
            "sample_rate": int(said.number("sample_rate")),
            "width": len(encoder),
            "kernel": encoder.shape[-1],
            "stride": encoder.shape[-1] // 2,
            "chunk": int(said.resolve(network.get("K"), 200)),
            "layers": _count(ours, "masknet.blocks.0.intra.layers."),
            "inter_layers": _count(ours, "masknet.blocks.0.inter.layers."),
            "heads": int(said.resolve(intra.get("nhead"), 8)),
            "hidden": len(feed),
            "repeats": _count(ours, "masknet.blocks."),
            "levels": "fitted",
        },
        ours,
        str(folder),
    )


class _PlainLoader(yaml.SafeLoader):
    """Reads every tag as plain data: ``!new:module.Class`` over a mapping is that mapping, with its tag in it."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_TAG: node.tag, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_TAG = "!"
_PlainLoader.add_multi_constructor("", _plain)


class Hyperparameters:
    """A hyper-parameter file as plain data, in which ``<name>`` refers to another entry."""

    def __init__(self, name: str, content: dict[str, Any]) -> None:
        self.name, self.content = name, content

    def resolve(self, value: Any, default: Any) -> Any:
        """``value``, or what it refers to; ``default`` for None."""
        for _ in range(len(self.content)):
            reference = re.fullmatch(r"<([\w.]+)>", value) if isinstance(value, str) else None
            if reference is None:
                break
            value = self.content.get(reference[1])
        if isinstance(default, dict) and not isinstance(value, dict):
            return default
        return default if value is None else value

    def number(self, name: str) -> float:
        """A number that must be there."""
        value = self.resolve(self.content.get(name), None)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
            raise InputError(f"'{self.name}' does not say the {name.replace('_', ' ')}.")
        return value

    def tagged(self, kind: str) -> dict[str, Any]:
        """The mapping that stands for an object of class ``kind``."""
        kinds = {}
        for value in self.content.values():
            if isinstance(value, dict):
                kinds[str(value.get(_TAG, "")).rpartition(".")[2]] = value
        if kind not in kinds:
            raise InputError(
                f"'{self.name}' describes no {kind}: of SpeechBrain's networks, Unbabble reads SepFormer."
            )
        return kinds[kind]


def read_hyperparameters(path: Path) -> Hyperparameters:
    """SpeechBrain's YAML; nothing that its tags name is imported or built.

    Raises:
        InputError: missing, or not YAML.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except OSError:
        raise InputError(f"There is no file '{path}', which says what the network looks like.") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        raise InputError(f"'{path.name}' is not a valid YAML file.") from None
    if not isinstance(content, dict):
        raise InputError(f"'{path.name}' does not hold options by name.")
    return Hyperparameters(path.name, content)


# Asteroid -------------------------------------------------------------------------------------------------------------

_ASTEROID_COMMON = (
    (r"^(encoder|decoder)\.filterbank\._filters$", r"\1.weight"),
    (r"^masker\.", ""),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
_CONV_TASNET_NAMES = (
    *_ASTEROID_COMMON,
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
    *_ASTEROID_COMMON,
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


def _asteroid(path: Path) -> Foreign:
    content = read_pickled(path)
    if not isinstance(content, dict) or not {"model_name", "model_args", "state_dict"} <= content.keys():
        raise InputError(
            f"'{path.name}' is no network of Asteroid: it has no model_name, model_args and state_dict."
        )
    kind, said = content["model_name"], dict(content["model_args"])
    tensors = read_tensors(path, content["state_dict"])
    readers: dict[Any, Callable[..., Foreign]] = {
        "ConvTasNet": _asteroid_conv_tasnet,
        "DPRNNTasNet": _asteroid_dprnn,
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


def _asteroid_common(path: Path, said: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    filters = _need(tensors, "encoder.weight", path, 3)
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


def _asteroid_conv_tasnet(path: Path, said: dict[str, Any], theirs: dict[str, Tensor]) -> Foreign:
    ours = {_rename(name, _CONV_TASNET_NAMES): tensor for name, tensor in theirs.items()}
    options = _asteroid_common(path, said, ours)
    expand = _need(ours, "blocks.0.expand.weight", path, 3)
    depthwise = _need(ours, "blocks.0.depthwise.weight", path, 3)
    repeats = int(said.get("n_repeats", 3))
    blocks = _count(ours, "blocks.")
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


def _asteroid_dprnn(path: Path, said: dict[str, Any], theirs: dict[str, Tensor]) -> Foreign:
    ours = {_rename(name, _DPRNN_NAMES): tensor for name, tensor in theirs.items()}
    options = _asteroid_common(path, said, ours)
    chunk = int(said.get("chunk_size", 100))
    hop = said.get("hop_size") or chunk // 2
    if 2 * hop != chunk:
        raise InputError(
            f"'{path.name}' has chunks of {chunk} frames every {hop}: Unbabble's overlap by half."
        )
    for name in ("bottleneck.1.weight", "to_sources.1.weight"):
        ours[name] = _matrix(_need(ours, name, path, 2))
    options |= {
        "bottleneck": len(_need(ours, "bottleneck.1.weight", path, 2)),
        "hidden": _need(ours, "blocks.0.0.lstm.weight_hh_l0", path, 2).shape[1],
        "chunk": chunk,
        "blocks": _count(ours, "blocks."),
        "bidirectional": bool(said.get("bidirectional", True)),
        "padding": "full",
    }
    return Foreign("dprnn", options, ours, path.name)


# Both -----------------------------------------------------------------------------------------------------------------


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _matrix(tensor: Tensor) -> Tensor:
    """A convolution over single frames as the matrix it is."""
    return tensor.flatten(1) if tensor.ndim > 2 and tensor[0, 0].numel() == 1 else tensor


def _need(tensors: dict[str, Tensor], name: str, path: Path, dimensions: int) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim < dimensions or not tensor.numel():
        raise InputError(
            f"'{path.name}' lacks what becomes '{name}' in Unbabble's network, or it has another shape."
        )
    return tensor


def _count(tensors: dict[str, Tensor], prefix: str) -> int:
    """How many numbered parts there are."""
    return len({name[len(prefix) :].partition(".")[0] for name in tensors if name.startswith(prefix)})
