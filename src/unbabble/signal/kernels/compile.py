"""How Unbabble compiles its kernels for CPUs, where it keeps them, and what it says while somebody waits for it."""

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Any

import numba
from numba.core import event

from unbabble.base.files import user_cache

logger = logging.getLogger(__name__)


def digest() -> str:
    """Of all that decides what is compiled: the files of this folder, and Numba.

    Numba renews a kernel when its own file changes, not when a function does that it calls from another file.
    """
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    return sources.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels go unless ``NUMBA_CACHE_DIR`` says otherwise: one folder per version of their sources."""
    return user_cache() / f"kernels-{digest()}"


if not numba.config.CACHE_DIR:  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


def mark(name: str) -> Path:
    """A file in the cache that says something of this version of the kernels: ``compiled``, ``announced`` ..."""
    return Path(numba.config.CACHE_DIR) / f"{digest()}.{name}"  # type: ignore[attr-defined]


class _Announcement(event.Listener):
    """Says what is waited for when a kernel is compiled before it is used; once, where the cache can be written to."""

    due = True

    def on_start(self, event: Any) -> None:
        if not self.due:
            return
        self.due = False
        announced = mark("announced")
        if not announced.exists():
            logger.warning("First run: compiling the inner loops, which takes ten to twenty seconds, once.")
            with contextlib.suppress(OSError):
                announced.parent.mkdir(parents=True, exist_ok=True)
                announced.touch()

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())

jit = numba.njit(
    nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "afn", "reassoc"}, error_model="numpy"
)
"""Compile at first use, without the interpreter lock; infinities and NaN keep their meaning."""
