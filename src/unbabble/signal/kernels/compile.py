"""How Unbabble compiles its kernels for CPUs, and where it keeps them."""

import hashlib
from pathlib import Path

import numba

from unbabble.base.files import user_cache


def cache_folder() -> Path:
    """Where compiled kernels go unless ``NUMBA_CACHE_DIR`` says otherwise: one folder per version of their sources.

    Numba renews a kernel when its own file changes, not when a function does that it calls from another file.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return user_cache() / f"kernels-{digest.hexdigest()[:16]}"


if not numba.config.CACHE_DIR:  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


def are_compiled() -> bool:
    """Whether an earlier run has left compiled kernels behind."""
    return Path(numba.config.CACHE_DIR).is_dir()  # type: ignore[attr-defined]


jit = numba.njit(
    nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "afn", "reassoc"}, error_model="numpy"
)
"""Compile at first use, without the interpreter lock; infinities and NaN keep their meaning."""
