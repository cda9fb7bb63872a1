"""Trained weights: one safetensors file that also says what it is; nothing in it is ever executed.

A weights file holds tensors and, in its header, a card as JSON: the method and its options (enough to build the
network), and where the weights come from (data, licence, command, seed, scores, limits). Packaged ones lie in
``unbabble/weights/<method>.<tag>.safetensors``. Listing them reads headers alone, and imports no torch.
"""

import json
import os
import struct
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError
from unbabble.base.files import as_utf8, atomic
from unbabble.base.report import plain

if TYPE_CHECKING:
    from torch import Tensor

PACKAGED_FOLDER = Path(__file__).parent.parent / "weights"
SUFFIX = ".safetensors"
CARD_KEY = "unbabble"
LONGEST_HEADER_BYTES = 100_000_000
"""As in the safetensors library: what claims more is no header."""


@dataclass(frozen=True)
class WeightsCard:
    """What a weights file says of itself.

    Attributes:
        method: name in the registry.
        options: all of the constructor's.
        summary: one line for a newcomer.
        data: what it was trained on.
        licence: of the weights, as follows from the data.
        command: what trained it.
        seed: of the training.
        scores: test set to metric to value.
        typical_errors: of a recogniser of phones: share of each phone that it has wrong of typical speakers, and of
            ``all`` together.
        confidence: of a recogniser: by search (``pipelines.recognize``), what makes a probability of what that search
            knows of a word (``text.confidence.Calibration``).
        verification: of an embedder: ``calibration``, what makes a probability of a likeness
            (``signal.calibration.Calibration``), and ``errors``, how often answers by it were wrong.
        limits: what it cannot do.
        training: steps, hours of audio, machine, anything else worth knowing.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    data: str = ""
    licence: str = ""
    command: str = ""
    seed: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    typical_errors: dict[str, float] = field(default_factory=dict)
    confidence: dict[str, dict[str, float]] = field(default_factory=dict)
    verification: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return plain(asdict(self))


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of a safetensors file: name to shape, type and place, and ``__metadata__``.

    Raises:
        InputError: no such file, or not safetensors.
    """
    name = Path(path).name
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > LONGEST_HEADER_BYTES:
                raise ValueError
            header = json.loads(file.read(size))
    except FileNotFoundError:
        raise InputError(f"There is no file '{path}'.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from None
    except (ValueError, struct.error):
        raise InputError(f"'{name}' is not a file of weights (safetensors), or it is cut short.") from None
    if not isinstance(header, dict):
        raise InputError(f"'{name}' is not a file of weights (safetensors).")
    return header


def read_card(path: str | os.PathLike[str]) -> WeightsCard:
    """What the weights in ``path`` are.

    Raises:
        InputError: not a weights file, or not one that Unbabble saved.
    """
    text = (read_header(path).get("__metadata__") or {}).get(CARD_KEY)
    if text is None:
        raise InputError(f"'{Path(path).name}' does not say which network its weights belong to.")
    try:
        content = json.loads(text)
        known = WeightsCard.__dataclass_fields__
        return WeightsCard(**{name: value for name, value in content.items() if name in known})
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"The card in '{Path(path).name}' cannot be read.") from None


def read_tensors(path: str | os.PathLike[str]) -> "dict[str, Tensor]":
    """The tensors by name, half precision as float32.

    Raises:
        InputError: not a weights file, or cut short.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    read_header(path)
    try:
        tensors = load(Path(path).read_bytes())  # not by its name, which need not be UTF-8
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{Path(path).name}' is damaged: {error}.") from None
    return {
        name: t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for name, t in tensors.items()
    }


def save(
    path: str | os.PathLike[str], tensors: "dict[str, Tensor]", card: WeightsCard, half: bool = False
) -> None:
    """Write a weights file, atomically.

    Args:
        path: ``.safetensors``.
        tensors: a ``state_dict``.
        card: what it is.
        half: store floating-point tensors in 16 bits.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.torch import save as to_bytes

    stored = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous().clone()
        stored[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    with atomic(path) as temporary:
        metadata = {CARD_KEY: as_utf8(json.dumps(card.to_dict(), ensure_ascii=False)).decode()}
        temporary.write_bytes(to_bytes(stored, metadata))


@cache
def packaged() -> dict[str, Path]:
    """Model name to file, of the weights that came with this installation."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(PACKAGED_FOLDER.glob(f"*{SUFFIX}"))}


def describe_mismatch(path: str | os.PathLike[str], wanted: "dict[str, Tensor]") -> str | None:
    """How the tensors in ``path`` differ from those of a network, in one sentence; None if they do not."""
    shapes = {
        name: tuple(each["shape"]) for name, each in read_header(path).items() if name != "__metadata__"
    }
    return describe_difference(
        Path(path).name, shapes, {name: tuple(each.shape) for name, each in wanted.items()}
    )


def describe_difference(
    file: str, shapes: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> str | None:
    """How the shapes that ``file`` has differ from those of a network, in one sentence; None if they do not."""
    for what, names in (
        ("lacks", sorted(wanted.keys() - shapes.keys())),
        ("has, which the network lacks,", sorted(shapes.keys() - wanted.keys())),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"'{file}' {what} '{names[0]}'{more}."
    for name, shape in wanted.items():
        if shapes[name] != shape:
            return f"'{name}' has shape {shapes[name]} in '{file}', but the network needs {shape}."
    return None
