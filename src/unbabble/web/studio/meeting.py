"""A meeting: who speaks when, as a page shows it and as files hold it, with the names that people gave.

Turns of one person that overlap or touch are one turn, as are those of talkers who were merged.
"""

import json
from collections.abc import Iterable
from typing import Literal, get_args

from fastapi import Request
from pydantic import BaseModel

from unbabble.base.files import as_utf8
from unbabble.base.spans import Span
from unbabble.text import captions, rttm
from unbabble.web.pages import templates
from unbabble.web.studio import talkers, words
from unbabble.web.studio.studio_jobs import stem, title
from unbabble.web.tables.jobs import Job
from unbabble.web.work.diarize import TURNS, Diarize

MeetingFormat = Literal["rttm", "json", "html"]
FORMATS: tuple[MeetingFormat, ...] = get_args(MeetingFormat)
COLOURS = 4
"""Of the design, after which they come again, with stripes."""


class Talker(BaseModel):
    """Somebody who speaks.

    Attributes:
        number: from 0, who talks most first, as the voices are decided to be.
        name: what they are called.
        original: what the job calls them.
        person: the number of the talker with whom they are one person, in the end; their own for most.
        same_as: with whom they were merged, None for nobody.
        probability: that they are whom their name says, by an enrolled voice; None where nobody was recognised, or
            where they are called otherwise.
        seconds: how long that person talks.
        voice: the file of their voice.
    """

    number: int
    name: str
    original: str
    person: int
    same_as: int | None
    probability: float | None = None
    seconds: float
    voice: str


class Turn(BaseModel):
    """From when to when, in seconds, a person speaks; how sure that is, from 0 to 1, if that is known."""

    start: float
    end: float
    person: int
    score: float | None = None


class Meeting(BaseModel):
    """Who speaks when.

    Attributes:
        seconds: duration of the recording.
        levels: the highest magnitude in equal parts of it, the highest of all being 1.
        talkers: all that the job told apart.
        turns: in the order of their beginnings.
    """

    seconds: float
    levels: list[float]
    talkers: list[Talker]
    turns: list[Turn]

    @property
    def names(self) -> dict[int, str]:
        """What each person is called."""
        return {each.person: each.name for each in self.talkers}


def shown(request: Request, job: Job) -> Meeting | None:
    """A finished job's meeting; None of jobs that are no meetings, or are not done.

    Raises:
        InputError: the file of the turns is no longer there.
    """
    keys = [each["key"] for each in job.outputs if each["name"] == TURNS]
    if job.kind != Diarize.name or not keys:
        return None
    with request.app.state.storage.open(keys[0]) as file:
        known = json.load(file)
    original = talkers.original_names(job)
    with request.app.state.database.reading() as session:
        names, persons = talkers.names(session, job), talkers.persons(session, job)
        same_as = talkers.merged(session, job)
    identities = talkers.identities(job)
    numbers = {name: number for number, name in enumerate(original)}
    turns = _joined(
        Turn(
            start=each["start"],
            end=each["end"],
            person=persons[numbers[each["speaker"]]],
            score=each.get("score"),
        )
        for each in known["turns"]
    )
    seconds = dict.fromkeys(persons, 0.0)
    for turn in turns:
        seconds[turn.person] += turn.end - turn.start
    everybody = [
        Talker(
            number=number,
            name=names[number],
            original=original[number],
            person=person,
            same_as=same_as.get(number),
            probability=known_as.probability
            if (known_as := identities.get(person)) and known_as.name == names[number]
            else None,
            seconds=seconds[person],
            voice=file["name"],
        )
        for number, (person, file) in enumerate(zip(persons, talkers.voice_files(job), strict=True))
    ]
    return Meeting(seconds=known["audio_seconds"], levels=known["levels"], talkers=everybody, turns=turns)


def texts(
    request: Request, job: Job, name: str, formats: Iterable[MeetingFormat] = FORMATS
) -> dict[str, bytes]:
    """All files of a meeting, by their names; none of a job that is no meeting.

    Args:
        request: whose site it is.
        job: whose meeting it is.
        name: of the files, without suffix.
        formats: of the files.
    """
    if (meeting := shown(request, job)) is None:
        return {}
    said = words.said(request, job)
    writers = {"rttm": _rttm, "json": _json, "html": _html}
    return {f"{name}.{each}": as_utf8(writers[each](job, meeting, said)) for each in formats}


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    latest: dict[int, Turn] = {}
    result: list[Turn] = []
    for turn in sorted(turns, key=lambda each: (each.start, each.end)):
        before = latest.get(turn.person)
        if before is not None and turn.start <= before.end:
            before.end = max(before.end, turn.end)
            scores = [each for each in (before.score, turn.score) if each is not None]
            before.score = min(scores, default=None)
        else:
            latest[turn.person] = turn
            result.append(turn)
    return result


Said = tuple[str | None, list[Span]] | None


def _spans(meeting: Meeting) -> list[Span]:
    names = meeting.names
    return [Span(each.start, each.end, "", names[each.person], each.score) for each in meeting.turns]


def _rttm(job: Job, meeting: Meeting, said: Said) -> str:
    return rttm.written({stem(job): _spans(meeting)})


def _json(job: Job, meeting: Meeting, said: Said) -> str:
    """As the words alone have it, with ``speakers``, the seconds that each talks, ``recognised``, how probable the
    names are that enrolled voices gave, and ``turns``."""
    content = {} if said is None else captions.to_dict(said[1], said[0], word_times=True)
    content |= {
        "speakers": {each.name: round(each.seconds, 3) for each in _persons(meeting)},
        "recognised": {
            each.name: round(each.probability, 3)
            for each in _persons(meeting)
            if each.probability is not None
        },
        "turns": [
            each.to_dict() | {"start": round(each.start, 3), "end": round(each.end, 3)}
            for each in _spans(meeting)
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _html(job: Job, meeting: Meeting, said: Said) -> str:
    """One page that needs nothing else: a picture of the turns, and what is said by whom."""
    spans = [] if said is None else said[1]
    return templates.get_template("studio/minutes.html").render(
        title=title(job), meeting=meeting, persons=_persons(meeting), spoken=_spoken(spans), colours=COLOURS
    )


def _persons(meeting: Meeting) -> list[Talker]:
    return [each for each in meeting.talkers if each.person == each.number]


def _spoken(spans: list[Span]) -> list[tuple[str | None, list[captions.Segment]]]:
    """What is said in the order of time: who, and what they say until somebody else does."""
    result: list[tuple[str | None, list[captions.Segment]]] = []
    for segment in captions.segments(spans):
        if result and result[-1][0] == segment.speaker:
            result[-1][1].append(segment)
        else:
            result.append((segment.speaker, [segment]))
    return result
