"""Arrays that take long to make and are asked for again, such as separated voices that several recognisers read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np


def kept(folder: Path | None, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What ``make`` returns, or what it returned before.

    Args:
        folder: where the arrays are kept; None: nowhere.
        name: of these arrays; what they depend on is in it.
    """
    if folder is None:
        return make()
    path = folder / f"{name}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        np.savez(part, allow_pickle=False, **make())
        part.replace(path)
    with np.load(path) as arrays:
        return dict(arrays)
