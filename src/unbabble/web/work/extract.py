"""Keep one person's voice, who is known by recordings of that person alone.

Inputs: ``mixture`` and ``enrollment``, one or more. Parameter: ``model``. Result: as of ``separate``.
Output: voice.flac
"""

from pathlib import Path
from typing import Any

from unbabble.web.work.kind import ENROLLMENTS, MIXTURE, Asked, Files, Result, StudioKind, reported


class ExtractRequest(Asked):
    """Where to look for whom."""


class Extract(StudioKind):
    """See the module."""

    name, stage = "extract", "Looking for the voice"
    title, text = "Find one person", "By a recording of that person alone."
    outcome, past = "One person's voice", "one person"
    auto = "the best that is installed"
    Request = ExtractRequest
    inputs = (MIXTURE, ENROLLMENTS)

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Extract."""
        from unbabble.verbs.extract import extract

        report = extract(
            *files["mixture"],
            enroll=files["enrollment"],
            out=folder / "out",
            model=parameters.get("model", "auto"),
            format="flac",
            quiet=True,
        )
        return reported(report)
