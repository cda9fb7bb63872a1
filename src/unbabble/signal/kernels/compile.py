"""How Unbabble compiles its kernels for CPUs, and what it says while somebody waits for it."""

import contextlib
import logging
from typing import Any

import numba
from numba.core import event

from unbabble.signal.kernels.cache import cache_folder, mark

logger = logging.getLogger(__name__)


if not numba.config.CACHE_DIR:  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


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
