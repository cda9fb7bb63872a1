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
from unbabble.verbs import VERBS

if TYPE_CHECKING:
    from unbabble.base.audio import Audio
    from unbabble.base.registry import models
    from unbabble.pipelines.open import load
    from unbabble.pipelines.separate import Separation
    from unbabble.verbs.adapt import adapt, forget
    from unbabble.verbs.assess import assess
    from unbabble.verbs.bench import bench
    from unbabble.verbs.diarize import diarize
    from unbabble.verbs.doctor import doctor
    from unbabble.verbs.embed import embed
    from unbabble.verbs.enhance import enhance
    from unbabble.verbs.export import export
    from unbabble.verbs.extract import extract
    from unbabble.verbs.find import find
    from unbabble.verbs.identify import identify
    from unbabble.verbs.label import label
    from unbabble.verbs.language_model import language_model
    from unbabble.verbs.prepare import prepare
    from unbabble.verbs.pull import pull
    from unbabble.verbs.push import push
    from unbabble.verbs.score import score
    from unbabble.verbs.separate import separate
    from unbabble.verbs.simulate import simulate
    from unbabble.verbs.stream import stream
    from unbabble.verbs.train import train
    from unbabble.verbs.transcribe import transcribe
    from unbabble.verbs.verify import verify
    from unbabble.web.collected import collected
    from unbabble.web.fill import fill
    from unbabble.web.serve import administrator, serve

__all__ = [
    "Audio",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "Separation",
    "UnbabbleError",
    "UsageError",
    "adapt",
    "administrator",
    "assess",
    "bench",
    "collected",
    "diarize",
    "doctor",
    "embed",
    "enhance",
    "export",
    "extract",
    "fill",
    "find",
    "forget",
    "identify",
    "label",
    "language_model",
    "load",
    "models",
    "prepare",
    "pull",
    "push",
    "score",
    "separate",
    "serve",
    "simulate",
    "stream",
    "train",
    "transcribe",
    "verify",
]

# Threads that wait for one another sleep. Spinning gains nothing on an idle machine, and takes many times the work on a
# busy one. (OpenMP reads this when torch is loaded, not later.)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    __version__ = version("unbabble")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

_PLACES = {verb.name: verb.module for verb in VERBS} | {
    "Audio": "unbabble.base.audio",
    "Separation": "unbabble.pipelines.separate",
    "load": "unbabble.pipelines.open",
    "models": "unbabble.base.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'unbabble' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
