"""Make a tiny enhancer for one person.

Inputs: ``recording``, one or more, and perhaps ``clean``. Parameter: ``steps``. Result: ``kept``, ``gain_db`` (mean,
low, high), ``reason``, ``warnings``. Output: me.unbabble.zip
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from unbabble.web.work.kind import CLEAN, NOISY, Asked, Files, Result, StudioKind

ADAPTED = "me.unbabble"
"""Folder of an adapted model, in its zip."""
MOST_STEPS = 1000


class AdaptRequest(Asked):
    """What to learn from, and for how long."""

    steps: int = Field(default=200, ge=1, le=MOST_STEPS)


class Adapt(StudioKind):
    """See the module."""

    name, stage = "adapt", "Learning from the recordings"
    title, text = "Adapt to one person", "A tiny enhancer for one voice, learnt from its recordings."
    outcome, past = "Adapted model", "adapted"
    auto = "the largest small network that is installed"
    Request = AdaptRequest
    inputs = (NOISY, CLEAN)
    several = True
    voices = False

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Adapt."""
        from unbabble.verbs.adapt import adapt

        with _cache(folder / "cache"):  # what is kept of recordings goes with the folder
            adapted = adapt(
                *files["recording"],
                out=folder / ADAPTED,
                clean=files.get("clean"),
                steps=parameters.get("steps", 200),
                quiet=True,
            )
        packed = folder / f"{ADAPTED}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / ADAPTED).iterdir()):
                archive.write(path, f"{ADAPTED}/{path.name}")
        known = ("student", "method", "steps", "reason", "warnings")
        result = {name: adapted.details[name] for name in known if name in adapted.details}
        seconds = sum(each["seconds"] for each in adapted.details["sources"])
        return result | {"kept": adapted.kept, "gain_db": adapted.gain_db, "audio_seconds": seconds}, [packed]


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Where the verbs keep what can be made again, meanwhile."""
    before = os.environ.get("UNBABBLE_CACHE")
    os.environ["UNBABBLE_CACHE"] = os.fspath(folder)
    try:
        yield
    finally:
        os.environ.pop("UNBABBLE_CACHE")
        if before is not None:
            os.environ["UNBABBLE_CACHE"] = before
