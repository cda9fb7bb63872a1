"""Who says what: the talkers of a recording told apart, named where they are enrolled, and each recognised by itself.

    recording -> turns (``diarize``) -> names of who is enrolled -> a voice of each (``talker_voices``) -> words of each

Where one talks alone, words are recognised from the recording; where two do, from the voices that were separated there.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from unbabble.base.contracts import Recognizer
from unbabble.base.spans import Span
from unbabble.jobs.progress import report_stage
from unbabble.pipelines.diarize import Diarization, Progress, diarize
from unbabble.pipelines.embed import Voice
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talker_voices import write_voices
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.transcribe import Transcription, transcribe
from unbabble.pipelines.verify import LIKELY, Comparison, Verifier

WIDENED_SECONDS = 0.2
"""Before and after a turn that a recogniser hears, too, as far as nobody else speaks there."""
LIKE = 0.5
"""Likeness from which a talker is somebody who is enrolled, by an embedder that nobody has calibrated."""


def named(made: Diarization, people: Mapping[str, Voice], verifier: Verifier) -> Diarization:
    """The same with the names of those who are enrolled; who is none of them keeps a number.

    Args:
        made: whose ``voices`` are compared.
        people: voices by name.
        verifier: the embedder that made both, and what likeness means.
    """
    return renamed(
        made, {talker: name for talker, (name, _) in matched(made.voices, people, verifier).items()}
    )


def renamed(made: Diarization, names: Mapping[str, str]) -> Diarization:
    """The same with new names of talkers; who has none keeps the old one."""
    return replace(
        made,
        turns=[replace(turn, speaker=names.get(turn.speaker or "", turn.speaker)) for turn in made.turns],
        separated=[
            replace(part, speakers=tuple(names.get(each or "", each) for each in part.speakers))
            for part in made.separated
        ],
        voices={names.get(talker, talker): voice for talker, voice in made.voices.items()},
    )


def matched(
    voices: Mapping[str, Voice], people: Mapping[str, Voice], verifier: Verifier
) -> dict[str, tuple[str, Comparison]]:
    """Which talkers are somebody who is enrolled: by talker that person's name, and how alike the two voices are.

    Each talker is one person at most and each person one talker, so that all together are likest; who is likely to be
    nobody of them is left out.

    Args:
        voices: of the talkers, by name.
        people: voices by name.
        verifier: the embedder that made both, and what likeness means.
    """
    if not voices or not people:
        return {}
    talkers, names, result = list(voices), list(people), {}
    compared = [[verifier.compare(voices[talker], people[name]) for name in names] for talker in talkers]
    likeness = np.array([[each.likeness for each in row] for row in compared])
    for row, column in zip(*linear_sum_assignment(likeness, maximize=True), strict=True):
        one = compared[row][column]
        if one.likeness >= LIKE if one.probability is None else one.probability >= LIKELY:
            result[talkers[row]] = names[column], one
    return result


def transcribe_talkers(
    recognizer: Recognizer,
    recording: Recording,
    ears: Ears,
    *,
    talkers: tuple[int, int | None] = (1, None),
    enrolled: tuple[Mapping[str, Voice], Verifier] | None = None,
    progress: Progress | None = None,
) -> Transcription:
    """What each talker of a recording says; nothing where nobody speaks.

    Args:
        recognizer: a network that is ready, or whatever keeps the contract.
        recording: of any length.
        ears: the networks that tell talkers apart.
        talkers: how many there are at least and at most; None for any number.
        enrolled: voices by name, and what compares them.
        progress: called after each window with the seconds that are done, and those of the recording if known.

    Returns:
        The words of ``speaker1``, who talks most, or of whoever that is by name, then those of ``speaker2`` ...

    Raises:
        InputError: the recording cannot be read, or has too little speech for so many talkers.
    """
    with tempfile.TemporaryDirectory(prefix="unbabble-") as kept:
        folder = Path(kept)
        report_stage("who speaks when")
        made = diarize(recording, ears, talkers=talkers, folder=folder, progress=progress)
        if enrolled is not None:
            made = named(made, *enrolled)
        # names of people may be no names of files
        numbers = {name: str(number) for number, name in enumerate(made.speakers)}
        numbered = renamed(made, numbers)
        files = write_voices(
            recording,
            widened(numbered.turns),
            numbered.separated,
            folder / "voices",
            speakers=list(numbers.values()),
            warnings=[],
        )
        said = []
        for name, file in zip(numbers, files, strict=True):
            report_stage(f"{name}, {len(said) + 1} of {len(files)}")
            said.append(transcribe(recognizer, Recording.open(file), speaker=name, progress=progress))
    result = Transcription([word for each in said for word in each.words], made.audio_seconds)
    result.speech_seconds, result.warnings = made.speech_seconds, made.warnings
    result.left_out = sum(each.left_out for each in said)
    return result


def widened(turns: Sequence[Span], seconds: float = WIDENED_SECONDS) -> list[Span]:
    """Turns with some of what is before and after them, at most half of the way to another one.

    >>> widened([Span(1.0, 2.0), Span(2.1, 3.0), Span(2.5, 5.0)])[0]
    Span(start=0.8, end=2.05, text='', speaker=None, score=None)
    """
    result = []
    for turn in turns:
        before = max((each.end for each in turns if each.end <= turn.start), default=-np.inf)
        after = min((each.start for each in turns if each.start >= turn.end), default=np.inf)
        start = max(0.0, turn.start - min(seconds, (turn.start - before) / 2))
        result.append(replace(turn, start=start, end=turn.end + min(seconds, (after - turn.end) / 2)))
    return result
