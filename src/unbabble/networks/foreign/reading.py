"""What readers of other toolkits' files share: tensors without objects, renaming, what must be there."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from unbabble.base.errors import InputError

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


class Inert:
    """What stands for an object that nobody needs: it takes whatever it is built from, and does nothing with it."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def read_pickled(path: Path, inert: tuple[str, ...] = ()) -> Any:
    """Tensors and plain data from a file of ``torch.save``.

    Args:
        path: the file.
        inert: modules whose objects are not needed; ``Inert`` stands for each, and nothing of theirs is imported.

    Raises:
        InputError: missing, damaged, or with objects that could do anything.
    """
    try:
        stand_ins: list[Any] = []
        if inert and zipfile.is_zipfile(path):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            stand_ins = [(type("Inert", (Inert,), {}), name) for name in names if name.startswith(inert)]
        with (
            torch.serialization.safe_globals([*HARMLESS, *stand_ins]),
            warnings.catch_warnings(action="ignore"),
        ):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"There is no file '{path}'.") from None
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL ([\w.]+)", str(error))
        if match:
            raise InputError(
                f"'{path.name}' holds more than tensors and plain data ('{match[1]}'), and is not read: such a file "
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


def rename(name: str, rules: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]) -> str:
    """``name`` after every rule, a pattern and what replaces it, in turn."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def matrix(tensor: Tensor) -> Tensor:
    """A convolution over single frames as the matrix it is."""
    return tensor.flatten(1) if tensor.ndim > 2 and tensor[0, 0].numel() == 1 else tensor


def need(tensors: dict[str, Tensor], name: str, path: Path, dimensions: int) -> Tensor:
    """The tensor of that name.

    Raises:
        InputError: it is missing, or has fewer dimensions.
    """
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim < dimensions or not tensor.numel():
        raise InputError(
            f"'{path.name}' lacks what becomes '{name}' in Unbabble's network, or it has another shape."
        )
    return tensor


def count(tensors: dict[str, Tensor], prefix: str) -> int:
    """How many numbered parts there are."""
    return len({name[len(prefix) :].partition(".")[0] for name in tensors if name.startswith(prefix)})
