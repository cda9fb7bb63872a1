"""Whether both sentences of a pair were read in a contributor's recording.

Input: ``mixture``. Parameter: ``sentences``, what was to be read. Result: ``evidence`` for each of them (nats a phone,
see ``pipelines.read_aloud``; None where the recording is too short), and ``read``, whether that is enough.
"""

from pathlib import Path
from typing import Any

from unbabble.web.collect.prompts import english
from unbabble.web.work.kind import Files, Kind, Result


class Read(Kind):
    """See the module."""

    name, stage = "read", "Reading along"

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Read along."""
        import numpy as np

        from unbabble.pipelines.read_aloud import LEAST_EVIDENCE, load_reader
        from unbabble.pipelines.recording import Recording

        (path,) = files["mixture"]
        found = load_reader()(Recording.open(path), parameters["sentences"], english())
        evidence = [each if np.isfinite(each) else None for each in found]
        return {"evidence": evidence, "read": [bool(each >= LEAST_EVIDENCE) for each in found]}, []
