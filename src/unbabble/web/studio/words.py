"""What is said in a job's voices: asked for, shown by voices and lines, corrected by hand, and written as captions.

A recording that was to be written down has its words from its own job; the voices of any other job from a job about
that one (``Job.of_id``). What was recognised is a file and never changes; what people make of it stands in
``Correction``, a row for each word, so that it can be taken back word by word.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.base.files import as_utf8
from unbabble.base.spans import Span
from unbabble.text import captions
from unbabble.web.queue import queue
from unbabble.web.studio import talkers
from unbabble.web.studio.studio_jobs import voice_files
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.words import Correction
from unbabble.web.work import STUDIO_KINDS
from unbabble.web.work.transcribe import WORDS, Transcribe

KIND = Transcribe.name
MOST_LETTERS = 200
"""Of what a word is corrected to."""
Corrections = dict[tuple[int, int], str]
"""What is really said, by voice and word."""


class Word(BaseModel):
    """A word of a voice.

    Attributes:
        number: among the words of its voice, from 0.
        start: seconds.
        end: seconds.
        text: as it was recognised or corrected; empty where somebody says that nothing was said.
        score: how sure the recogniser was, from 0 to 1, if that is known.
        recognised: what was recognised, where it was corrected.
    """

    number: int
    start: float
    end: float
    text: str
    score: float | None = None
    recognised: str | None = None


class Words(BaseModel):
    """Whether the words of a job are there, and what they are: of each voice its lines, of each line its words."""

    state: Literal["none", "waiting", "running", "done", "failed"] = "none"
    progress: float | None = None
    error: str | None = None
    model: str | None = None
    left_out: int = 0
    voices: list[list[list[Word]]] = []


def ask(request: Request, job: Job) -> None:
    """Have the voices of a finished job written down, unless they are or are going to be; what failed is tried again.

    Raises:
        HTTPException: 409, there are no voices.
    """
    with request.app.state.database.writing() as session:
        job = _again(session, job.id)
        if job.state != "done" or not STUDIO_KINDS[job.kind].voices:
            raise HTTPException(409, "Voices can be written down, once they are there.")
        writer = _writer(session, job)
        if writer is not None and writer.state != "failed":
            return
        if writer is not None:
            queue.remove(session, writer.id)
        names = ("seconds", "sample_rate", "channels")
        known = {"model": "auto"} | {name: job.parameters[name] for name in names}
        inputs = [{"role": "voice", "name": each["name"], "key": each["key"]} for each in voice_files(job)]
        queue.enqueue(session, KIND, job.visit_id, known, inputs, job.expires, of=job)


def shown(request: Request, job: Job) -> Words:
    """What is known of a job's words."""
    with request.app.state.database.reading() as session:
        writer = _writer(session, job)
        if writer is None:
            return Words()
        corrections = _corrections(session, writer)
    if writer.state != "done":
        return Words.model_validate(
            {"state": writer.state, "progress": writer.progress, "error": writer.error}
        )
    voices = [
        _lines(words, {number: text for (each, number), text in corrections.items() if each == voice})
        for voice, words in enumerate(_recognised(request, writer))
    ]
    result = writer.result
    model = result.get("recognizer", result["model"])
    return Words(state="done", model=model, left_out=result["left_out"], voices=voices)


def correct(request: Request, job: Job, voice: int, word: int, text: str | None) -> Word:
    """Correct a word, or take back what it was corrected to.

    Args:
        request: whose site it is.
        job: whose words they are.
        voice: from 0.
        word: of that voice, from 0.
        text: what is said instead: a word, several, or none; None for what was recognised.

    Raises:
        HTTPException: 404, there is no such word; 422, the text is too long.
    """
    with request.app.state.database.reading() as session:
        writer = _writer(session, job)
    voices = _recognised(request, writer) if writer is not None and writer.state == "done" else []
    if writer is None or not (0 <= voice < len(voices) and 0 <= word < len(voices[voice])):
        raise HTTPException(404, "There is no such word.")
    recognised = voices[voice][word]
    if text is not None:
        text = talkers.one_line(text)
        if len(text) > MOST_LETTERS:
            raise HTTPException(422, f"A word is corrected by at most {MOST_LETTERS} letters.")
        text = None if text == recognised.text else text
    with request.app.state.database.writing() as session:
        _again(session, writer.id)
        before = session.get(Correction, (writer.id, voice, word))
        if text is not None:
            session.merge(Correction(job_id=writer.id, voice=voice, word=word, text=text))
        elif before is not None:
            session.delete(before)
    return _word(word, recognised, text)


def written(request: Request, job: Job, format: captions.CaptionFormat) -> bytes:
    """The words of a job as a file, as they were corrected; several voices have their numbers.

    Raises:
        HTTPException: 404, they are not there.
    """
    if (content := texts(request, job, "", (format,))) == {}:
        raise HTTPException(404, "There are no words yet.")
    return content[f".{format}"]


def texts(
    request: Request, job: Job, stem: str, formats: Sequence[captions.CaptionFormat] = captions.FORMATS
) -> dict[str, bytes]:
    """All files of a job's words, by their names; none where the words are not there.

    Args:
        request: whose site it is.
        job: whose words they are.
        stem: of the names.
        formats: of the files.
    """
    if (spoken := said(request, job)) is None:
        return {}
    language, spans = spoken
    return {
        f"{stem}.{each}": as_utf8(captions.written(spans, each, language=language, word_times=True))
        for each in formats
    }


def said(request: Request, job: Job) -> tuple[str | None, list[Span]] | None:
    """The language of a job's words, and the words as they were corrected, in the order of their beginnings.

    Talkers of a meeting have their names, several voices of any other job their numbers, and one has none.

    Returns:
        None where the words are not there.
    """
    with request.app.state.database.reading() as session:
        writer = _writer(session, job)
        if writer is None or writer.state != "done":
            return None
        corrections, names = _corrections(session, writer), talkers.names(session, job)
    voices = _recognised(request, writer)
    if not names:
        names = [f"Voice {voice + 1}" for voice in range(len(voices))] if len(voices) > 1 else [None]
    spans = [
        part
        for voice, (words, name) in enumerate(zip(voices, names, strict=True))
        for number, span in enumerate(words)
        for part in _corrected(span, corrections.get((voice, number), span.text), name)
    ]
    return writer.result["language"], sorted(spans, key=lambda span: span.start)


def _again(session: Session, key: str) -> Job:
    """A job that nobody deletes while this transaction lasts."""
    if (job := session.get(Job, key, with_for_update=True, populate_existing=True)) is None:
        raise HTTPException(404, "This recording was deleted.")
    return job


def _writer(session: Session, job: Job) -> Job | None:
    """The job that writes down what is said in another's voices."""
    if job.kind == KIND or any(each["name"] == WORDS for each in job.outputs):
        return job
    return session.scalar(select(Job).where(Job.of_id == job.id))


def _recognised(request: Request, writer: Job) -> list[list[Span]]:
    """Of each voice the words, as they were recognised.

    Raises:
        InputError: the file is no longer there.
    """
    (key,) = [each["key"] for each in writer.outputs if each["name"] == WORDS]
    with request.app.state.storage.open(key) as file:
        return [[Span(**word) for word in voice] for voice in json.load(file)]


def _corrections(session: Session, writer: Job) -> Corrections:
    rows = session.scalars(select(Correction).where(Correction.job_id == writer.id)).all()
    return {(row.voice, row.word): row.text for row in rows}


def _lines(words: list[Span], corrections: dict[int, str]) -> list[list[Word]]:
    """Words by pauses, as captions have them, whatever they were corrected to."""
    every = iter([_word(number, word, corrections.get(number)) for number, word in enumerate(words)])
    return [[next(every) for _ in segment.words] for segment in captions.segments(words)]


def _word(number: int, recognised: Span, text: str | None) -> Word:
    known: dict[str, Any] = {"number": number, "start": recognised.start, "end": recognised.end}
    if text is not None:
        return Word(**known, text=text, recognised=recognised.text)
    return Word(**known, text=recognised.text, score=recognised.score)


def _corrected(recognised: Span, text: str, speaker: str | None) -> list[Span]:
    """The words of a text in place of one that was recognised, whose time they share by their letters."""
    start, seconds = recognised.start, recognised.seconds / max(1, len("".join(text.split())))
    score = recognised.score if text == recognised.text else 1.0
    parts = []
    for word in text.split():
        end = start + seconds * len(word)
        parts.append(Span(start, end, word, speaker, score))
        start = end
    return parts
