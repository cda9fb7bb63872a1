"""Say who speaks when in a recording, and what each talker says.

Inputs: ``mixture``; ``person``, the files of those who are enrolled (``enroll``). Parameters: ``model``, ``talkers`` (a
number or "auto"), ``words`` ("yes" or "no"), ``people``, the names of those who are enrolled. Result: as of the command
``diarize``, but without names, which people change (``sources``, ``speech_seconds``, ``overlap_share`` ...); with
words also ``recognizer``, ``language`` and ``left_out``; with people ``NAMED``, who is likely to be one of them: by
talker ``name`` and ``probability``. Outputs: a file of each talker's voice, speaker1.flac ..., who talks most first;
turns.json, which has ``audio_seconds``, ``turns`` as the command writes them, and ``levels`` for
a picture; with words words.json, as of ``transcribe``, the voices in the order of their files.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from unbabble.base.errors import InputError
from unbabble.web.work.choices import AUTO
from unbabble.web.work.enroll import PERSON, recognized
from unbabble.web.work.kind import Asked, Files, Result, StudioKind, between, option, reported
from unbabble.web.work.transcribe import Transcribe

TURNS = "turns.json"
NAMED = "named"
"""In the result, who of the talkers is enrolled."""
MOST_TALKERS = 12
TALKERS = [(AUTO, "count them"), *((str(count), str(count)) for count in range(1, MOST_TALKERS + 1))]
LEVELS = 1200
"""Parts of the recording whose loudness is known."""


class DiarizeRequest(Asked):
    """Whose turns."""

    talkers: Literal["auto"] | int = option(AUTO, "Talkers", TALKERS)
    words: Literal["yes", "no"] = option(
        "yes", "Words", [("yes", "write down what is said"), ("no", "only who speaks when")]
    )

    def check(self) -> None:
        """Refuse a number of talkers that cannot be."""
        between(self.talkers, 1, MOST_TALKERS, f"the number of talkers is between 1 and {MOST_TALKERS}")


class Diarize(StudioKind):
    """See the module."""

    name, stage = "diarize", "Finding out who speaks when"
    title, text = "Who speaks when", "A meeting by its talkers: their turns, their voices, and what they say."
    outcome, past = "Who speaks when", "told apart by talkers"
    auto = "the one that is installed"
    Request = DiarizeRequest
    takes_enrolled = True

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Diarize, and transcribe."""
        from unbabble.verbs.diarize import diarize

        (mixture,) = files["mixture"]
        report = diarize(
            mixture,
            out=folder / "out",
            model=parameters.get("model", AUTO),
            talkers=parameters.get("talkers", AUTO),
            format="flac",
            quiet=True,
        )
        result, outputs = reported(report)
        del result["speakers"]
        (table,) = [path for path in outputs if path.suffix == ".json"]
        voices = [path for path in outputs if path.suffix == ".flac"]
        if not voices:
            raise InputError("Nobody speaks in the recording.")
        if people := parameters.get("people"):
            result[NAMED], warnings = recognized(voices, people, files[PERSON])
            result["warnings"] = [*result["warnings"], *warnings]
        turns = folder / TURNS
        known = {name: json.loads(table.read_text())[name] for name in ("turns", "audio_seconds")}
        turns.write_text(json.dumps(known | {"levels": levels(mixture)}))
        if parameters.get("words", "yes") == "no":
            return result, [*voices, turns]
        said, words = Transcribe().do(folder, {}, {"voice": voices})
        result |= {
            "language": said["language"],
            "left_out": said["left_out"],
            "recognizer": said["model"],
            "seconds": result["seconds"] + said["seconds"],
        }
        return result, [*voices, turns, *words]


def levels(path: Path, count: int = LEVELS) -> list[float]:
    """The highest magnitude in each of ``count`` equal parts of a recording, the highest of all being 1."""
    import numpy as np
    import soundfile

    with soundfile.SoundFile(path) as file:
        edges = np.linspace(0, file.frames, min(count, max(1, file.frames)) + 1).round().astype(int)
        peaks = [
            float(np.abs(file.read(end - start, dtype="float32")).max(initial=0.0))
            for start, end in pairwise(edges)
        ]
    highest = max(peaks) or 1.0
    return [round(peak / highest, 3) for peak in peaks]
