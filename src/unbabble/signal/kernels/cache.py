"""Where compiled kernels are kept, and what is known of them; asked before anything is compiled, without Numba."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from unbabble.base.files import user_cache


def digest() -> str:
    """Of all that decides what is compiled: the files of this folder, and Numba.

    Numba renews a kernel when its own file changes, not when a function does that it calls from another file.
    """
    sources = hashlib.sha256(version("numba").encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    return sources.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels go unless ``NUMBA_CACHE_DIR`` says otherwise: one folder per version of their sources."""
    return user_cache() / f"kernels-{digest()}"


def mark(name: str) -> Path:
    """A file in the cache that says something of this version of the kernels: ``compiled``, ``announced`` ..."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder()) / f"{digest()}.{name}"
