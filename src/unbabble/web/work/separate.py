"""Separate the talkers of a recording.

Parameters: ``model``, ``sources`` (a number or "auto"), ``iterations``. Result: ``model``, ``sources``, ``scores``
(one for each voice: ``si_snr_db``, ``low_db``, ``high_db``, ``verdict``; None where it cannot be scored), ``warnings``,
``candidates``, ``audio_seconds``, ``seconds``. Outputs: source1.flac, source2.flac ...
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unbabble.web.work.kind import Asked, Files, Result, StudioKind, between, option, reported

MOST_SOURCES, MOST_ITERATIONS = 8, 1000
TALKERS = [("auto", "count them"), *((str(count), str(count)) for count in range(2, MOST_SOURCES + 1))]


class SeparateRequest(Asked):
    """What to separate, and how."""

    sources: Literal["auto"] | int = option("auto", "Talkers", TALKERS)
    iterations: int | None = Field(default=None, ge=1, le=MOST_ITERATIONS)

    def check(self) -> None:
        """Refuse a number of talkers that cannot be."""
        between(self.sources, 1, MOST_SOURCES, f"the number of talkers is between 1 and {MOST_SOURCES}")


class Separate(StudioKind):
    """See the module."""

    name, stage = "separate", "Separating"
    title, text = "Separate the talkers", "Each voice on its own."
    outcome, past = "Separation", "separated"
    auto = "tries all that fit the recording, and keeps the best by blind score"
    Request = SeparateRequest

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Separate."""
        from unbabble.verbs.separate import separate

        report = separate(
            *files["mixture"],
            out=folder / "out",
            model=parameters.get("model", "auto"),
            sources=parameters.get("sources", "auto"),
            iterations=parameters.get("iterations"),
            format="flac",
            quiet=True,
        )
        return reported(report)
