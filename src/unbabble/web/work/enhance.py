"""Take the noise off a recording of one person, perhaps by a model that was adapted to that person.

Inputs: ``mixture``, and perhaps ``model``, the zip of an adapted one. Parameters: ``model``, ``strength`` (dB or
"auto"). Result: as of ``separate``, with one score, and ``before``, ``strength_db``. Output: enhanced.flac
"""

import zipfile
from pathlib import Path
from typing import Any, Literal

from unbabble.web.work.adapt import ADAPTED
from unbabble.web.work.kind import Asked, Files, Result, StudioKind, between, option, reported

MOST_STRENGTH_DB = 100.0
STRENGTHS = [
    ("auto", "as much as does no harm"),
    ("6", "a little: 6 dB"),
    ("12", "much: 12 dB"),
    ("20", "very much: 20 dB"),
    ("100", "all of it"),
]


class EnhanceRequest(Asked):
    """What to enhance, and how strongly."""

    strength: Literal["auto"] | float = option("auto", "How much noise goes", STRENGTHS)

    def check(self) -> None:
        """Refuse a strength that cannot be."""
        between(self.strength, 0, MOST_STRENGTH_DB, f"the strength is between 0 and {MOST_STRENGTH_DB:g} dB")


class Enhance(StudioKind):
    """See the module."""

    name, stage = "enhance", "Taking off noise"
    title, text = "Take off noise", "One person, without what is around."
    outcome, past = "Noise taken off", "noise taken off"
    auto = "the best that is installed"
    Request = EnhanceRequest
    takes_adapted = True

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Enhance."""
        from unbabble.verbs.enhance import enhance

        model = parameters.get("model", "auto")
        for path in files.get("model", ()):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder / "model")
            model = str(folder / "model" / ADAPTED)
        report = enhance(
            *files["mixture"],
            out=folder / "out",
            model=model,
            strength=parameters.get("strength", "auto"),
            format="flac",
            quiet=True,
        )
        result, outputs = reported(report)
        return result | ({"model": ADAPTED} if "model" in files else {}), outputs
