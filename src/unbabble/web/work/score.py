"""Score voices, without the true ones and, where they are there, against them.

Inputs: ``mixture``, ``estimate`` (any number; where there is none, the mixture is taken for a voice) and perhaps
``reference``. Parameter: ``channel`` (1). Result: ``scores`` in the order of the estimates, ``scorer``, ``warnings``,
``audio_seconds``; with references also ``metrics``: ``voices`` (for each reference: ``estimate``, ``si_sdr`` ...),
``mean``, ``mixture``, as ``unbabble score --references`` has them.
"""

from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError
from unbabble.web.work.kind import Files, Kind, Result, only


class Score(Kind):
    """See the module."""

    name, stage = "score", "Listening"

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Score."""
        from unbabble.verbs.score import score

        (mixture,) = files["mixture"]
        estimates, channel = files.get("estimate") or [mixture], parameters.get("channel", 1)
        result: dict[str, Any] = {"scores": None, "warnings": []}
        if references := files.get("reference"):
            report = score(
                mixture=mixture, references=references, estimates=estimates, channel=channel, quiet=True
            )
            file = only(report)
            kept = ("voices", "mean", "mixture", "unused_estimates", "sample_rate")
            result["metrics"] = {name: file.details[name] for name in kept}
            result["warnings"] += file.warnings
        try:
            file = only(score(mixture=mixture, estimates=estimates, channel=channel, quiet=True))
        except InputError as error:
            if not references:
                raise
            result["warnings"].append(str(error))
        else:
            result |= {"scorer": file.model, "audio_seconds": file.audio_seconds}
            result["warnings"] += file.warnings
            keys = ("si_snr_db", "low_db", "high_db", "verdict")
            result["scores"] = [{key: voice[key] for key in keys} for voice in file.details["voices"]]
        return result, []
