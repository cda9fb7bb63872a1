"""Hear every voice in a real recording, and know how well it went.

>>> import unbabble
>>> "auxiva.iss" in unbabble.models()
True

``import unbabble`` imports neither torch nor numpy; what is used is imported when it is used.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError, MissingExtraError, OutputError, UnbabbleError, UsageError

if TYPE_CHECKING:
    from unbabble.base.audio import Audio
    from unbabble.base.registry import models
    from unbabble.pipelines.choose import load
    from unbabble.pipelines.separate import Separation
    from unbabble.verbs.prepare import prepare
    from unbabble.verbs.pull import pull
    from unbabble.verbs.push import push
    from unbabble.verbs.score import score
    from unbabble.verbs.separate import separate
    from unbabble.verbs.simulate import simulate

__all__ = [
    "Audio",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "Separation",
    "UnbabbleError",
    "UsageError",
    "load",
    "models",
    "prepare",
    "pull",
    "push",
    "score",
    "separate",
    "simulate",
]

# Threads that wait for one another sleep. Spinning gains nothing on an idle machine, and takes many times the work on a
# busy one. (OpenMP reads this when torch is loaded, not later.)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("unbabble")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

_PLACES = {
    "Audio": "unbabble.base.audio",
    "Separation": "unbabble.pipelines.separate",
    "load": "unbabble.pipelines.choose",
    "models": "unbabble.base.registry",
    "pull": "unbabble.verbs.pull",
    "push": "unbabble.verbs.push",
    "prepare": "unbabble.verbs.prepare",
    "score": "unbabble.verbs.score",
    "separate": "unbabble.verbs.separate",
    "simulate": "unbabble.verbs.simulate",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'unbabble' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
