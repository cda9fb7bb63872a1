"""Write down what is said in a recording, or in each voice that another job has made of one.

Inputs: ``mixture``, or ``voice``, one or more. Parameter: ``model``. Result: ``model``, ``language`` (None if unknown),
``left_out`` (words that were too unsure), ``warnings``, ``audio_seconds``, ``seconds``. Output: words.json, for each
voice the list of its words, each with ``start``, ``end``, ``text`` and ``score``, which is absent where nobody knows.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unbabble.base import notes
from unbabble.jobs.progress import report_progress
from unbabble.web.work.choices import AUTO
from unbabble.web.work.kind import Asked, Files, Result, StudioKind

WORDS = "words.json"


class TranscribeRequest(Asked):
    """What to write down."""


class Transcribe(StudioKind):
    """See the module."""

    name, stage = "transcribe", "Writing down what is said"
    title, text = "Write it down", "English words, one person at a time, as text and captions."
    outcome, past = "Written down", "written down"
    auto = "the best that is installed"
    Request = TranscribeRequest

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Transcribe."""
        from unbabble.pipelines.recognize import load_recognizer, recognizer_name
        from unbabble.pipelines.recording import Recording
        from unbabble.pipelines.transcribe import transcribe

        began, name = time.monotonic(), recognizer_name(parameters.get("model", AUTO))
        recognizer = load_recognizer(name)
        voices = files.get("voice") or files["mixture"]
        made = [
            transcribe(recognizer, Recording.open(path), progress=_share_of(number, len(voices)))
            for number, path in enumerate(voices)
        ]
        path = folder / WORDS
        path.write_text(json.dumps([[word.to_dict() for word in each.words] for each in made]))
        warnings: list[str] = []
        notes.add(warnings, (text for each in made for text in each.warnings))
        result = {
            "model": name,
            "language": recognizer.language,
            "left_out": sum(each.left_out for each in made),
            "warnings": warnings,
            "audio_seconds": max(each.audio_seconds for each in made),
            "seconds": time.monotonic() - began,
        }
        return result, [path]


def _share_of(number: int, count: int) -> Callable[[float, float | None], None]:
    """How far the whole is, by how far one voice of several is."""

    def progress(done: float, total: float | None) -> None:
        if total:
            report_progress(number + min(1.0, done / total), count)

    return progress
