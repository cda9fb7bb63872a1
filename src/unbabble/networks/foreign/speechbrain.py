"""SpeechBrain's SepFormer: ``encoder.ckpt``, ``masknet.ckpt``, ``decoder.ckpt`` and ``hyperparams.yaml``."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.networks.foreign.reading import Foreign, count, matrix, need, read_pickled, read_tensors, rename

PARTS = ("encoder.ckpt", "masknet.ckpt", "decoder.ckpt")
YAML = "hyperparams.yaml"
_NAMES = (
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
ESTIMATOR_PARTS = ("encoder.ckpt", "encoder_out.ckpt")
"""Of REAL-M's SI-SNR estimator."""
_ESTIMATOR_NAMES = (
    (r"^encoder\.cnn(\d)\.(?:conv\.)?", lambda found: f"encoder.{int(found[1]) - 1}."),
    (r"^encoder_out\.layer1\.(?:w\.)?", "hidden."),
    (r"^encoder_out\.layer2\.(?:w\.)?", "output."),
)


def is_speechbrain(folder: Path) -> bool:
    """Whether ``folder`` has the layout of SpeechBrain's separators."""
    return (folder / PARTS[1]).is_file()


def open_speechbrain(folder: Path) -> Foreign:
    """The SepFormer in ``folder``.

    Raises:
        InputError: damaged, unsafe, or another network, and what differs.
    """
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        path = folder / part
        for name, tensor in read_tensors(path, read_pickled(path)).items():
            tensors[f"{path.stem}.{name}"] = tensor
    said = read_hyperparameters(folder / YAML)
    network = said.tagged("Dual_Path_Model")
    intra, inter = (said.resolve(network.get(f"{which}_model"), {}) for which in ("intra", "inter"))
    for where, name, wanted, default in (
        (network, "skip_around_intra", True, True),
        (intra, "norm_before", True, False),
        (inter, "norm_before", True, False),
        (intra, "activation", "relu", "relu"),
        (inter, "nhead", said.resolve(intra.get("nhead"), 8), 8),
    ):
        value = said.resolve(where.get(name), default)
        if value != wanted:
            raise InputError(f"'{YAML}' says {name}: {value}, but Unbabble's SepFormer has {wanted} there.")
    if not any(name.endswith(_POSITIONS) for name in tensors):
        raise InputError("'masknet.ckpt' has no positions, which Unbabble's SepFormer needs.")
    ours = {
        rename(name, _NAMES): matrix(tensor) if name.startswith("masknet.") else tensor
        for name, tensor in tensors.items()
        if not name.endswith(_POSITIONS)
    }
    encoder = need(ours, "encoder.weight", folder, 3)
    feed = need(ours, "masknet.blocks.0.intra.layers.0.feed_in.weight", folder, 2)
    split = need(ours, "masknet.split.weight", folder, 2)
    return Foreign(
        "sepformer",
        {
            "sources": max(1, len(split) // len(encoder)),
            "sample_rate": int(said.number("sample_rate")),
            "width": len(encoder),
            "kernel": encoder.shape[-1],
            "stride": encoder.shape[-1] // 2,
            "chunk": int(said.resolve(network.get("K"), 200)),
            "layers": count(ours, "masknet.blocks.0.intra.layers."),
            "inter_layers": count(ours, "masknet.blocks.0.inter.layers."),
            "heads": int(said.resolve(intra.get("nhead"), 8)),
            "hidden": len(feed),
            "repeats": count(ours, "masknet.blocks."),
            "levels": "fitted",
        },
        ours,
        str(folder),
    )


def is_estimator(folder: Path) -> bool:
    """Whether ``folder`` has the layout of REAL-M's estimator."""
    return (folder / ESTIMATOR_PARTS[1]).is_file()


def open_estimator(folder: Path) -> Foreign:
    """REAL-M's SI-SNR estimator in ``folder``.

    Raises:
        InputError: damaged, unsafe, or another network.
    """
    ours: dict[str, Tensor] = {}
    for part in ESTIMATOR_PARTS:
        path = folder / part
        for name, tensor in read_tensors(path, read_pickled(path)).items():
            ours[rename(f"{path.stem}.{name}", _ESTIMATOR_NAMES)] = tensor
    said = read_hyperparameters(folder / YAML)
    norm = said.content.get("separation_norm_type", "stnorm")
    if norm != "stnorm":
        raise InputError(
            f"'{YAML}' says separation_norm_type: {norm}, but Unbabble's estimator has stnorm there."
        )
    low, high = (
        float(said.resolve(said.content.get(name), given)) for name, given in (("snrmin", 0), ("snrmax", 10))
    )
    first = need(ours, "encoder.0.weight", folder, 3)
    options = {"channels": len(first), "low_db": low, "high_db": high}
    return Foreign(
        "blind_sisnr", options | {"sample_rate": int(said.number("sample_rate"))}, ours, str(folder)
    )


class _PlainLoader(yaml.SafeLoader):
    """Reads every tag as plain data: ``!new:module.Class`` over a mapping is that mapping, with its tag in it."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_TAG: node.tag, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    text = loader.construct_scalar(node)  # type: ignore[arg-type]
    return text or (node.tag if node.tag.startswith(_NAME) else text)


_TAG, _NAME = "!", "!name:"
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

    def index(self, name: str) -> int:
        """The number of a token; 0 where none is said."""
        value = self.resolve(self.content.get(name), 0)
        return value if isinstance(value, int) else 0

    def row(self, value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
        """Numbers that stand in a list, or in a text like one: ``(2, 2, 1)``."""
        value = self.resolve(value, default)
        if isinstance(value, str):
            return tuple(float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", value))
        if isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value):
            return tuple(value)
        return default

    def expect(self, about: Mapping[str, Any], name: str, wanted: Any, default: Any, whose: str) -> None:
        """Refuse an option with which a network would be another one.

        Args:
            about: the mapping that it stands in.
            name: of the option.
            wanted: the only value that is read.
            default: SpeechBrain's, where nothing is said.
            whose: what has it, in the plural.

        Raises:
            InputError: it has another value.
        """
        if (value := self.resolve(about.get(name), default)) != wanted:
            raise InputError(
                f"'{self.name}' says {name}: {value}, but Unbabble reads {whose} with {wanted} there."
            )

    def class_among(self, about: Mapping[str, Any], name: str, default: str, known: Collection[str]) -> str:
        """The class that an option names.

        Raises:
            InputError: it is none of those that are known.
        """
        kind = self.class_of(self.resolve(about.get(name), default))
        if kind not in known:
            raise InputError(
                f"'{self.name}' says {name}: {kind}, but Unbabble reads networks with {' or '.join(known)} there."
            )
        return kind

    @staticmethod
    def class_of(value: Any) -> str:
        """The name of a class that a tag stands for, without its modules; empty for what is none.

        >>> Hyperparameters.class_of("!name:torch.nn.GELU")
        'GELU'
        """
        tag = value.get(_TAG, "") if isinstance(value, dict) else value
        return tag.rpartition(".")[2].rpartition(":")[2] if isinstance(tag, str) else ""

    def has(self, kind: str) -> bool:
        """Whether a mapping stands for an object of class ``kind``."""
        return any(
            isinstance(value, dict) and self.class_of(value) == kind for value in self.content.values()
        )

    def tagged(self, kind: str) -> dict[str, Any]:
        """The mapping that stands for an object of class ``kind``."""
        for value in reversed(self.content.values()):
            if isinstance(value, dict) and self.class_of(value) == kind:
                return value
        raise InputError(
            f"'{self.name}' describes no {kind}: of SpeechBrain's networks, Unbabble reads SepFormer, recognisers that "
            "are a TransformerASR or a CRDNN, and embedders that are an ECAPA_TDNN or an Xvector."
        )


def read_hyperparameters(path: Path) -> Hyperparameters:
    """SpeechBrain's YAML; nothing that its tags name is imported or built.

    Raises:
        InputError: missing, or not YAML.
    """
    try:
        # As safe as safe_load: ``_PlainLoader`` is a SafeLoader that turns tags into text.
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except OSError:
        raise InputError(f"There is no file '{path}', which says what the network looks like.") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        raise InputError(f"'{path.name}' is not a valid YAML file.") from None
    if not isinstance(content, dict):
        raise InputError(f"'{path.name}' does not hold options by name.")
    return Hyperparameters(path.name, content)
