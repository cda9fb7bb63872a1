"""The talkers of a meeting: what they are called, and who of them are one person.

The job gave each a number, a voice and a name (``speaker1`` ..., or that of an enrolled voice); these never change.
What people say about them stands in ``Talker``, so that it can be taken back, and holds wherever a talker is named: on
the page, in the words and in every file. Talkers who are one person are called as the one with whom the others were
merged.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from fastapi import HTTPException, Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.web.studio.enrolled import folded
from unbabble.web.studio.studio_jobs import voice_files
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.talkers import Talker
from unbabble.web.work.diarize import NAMED, Diarize

KIND = Diarize.name
MOST_LETTERS = 60
"""Of a name."""
ONE_ALREADY = "These two are one talker already."


@dataclass(frozen=True)
class Identity:
    """Who a talker is likely to be, of those whose voices are enrolled; how probable that is, if it is known."""

    name: str
    probability: float | None


def identities(job: Job) -> dict[int, Identity]:
    """Of each talker who was recognised, who that is."""
    named = job.result.get(NAMED, {})
    return {
        number: Identity(**named[name]) for number, name in enumerate(original_names(job)) if name in named
    }


def original_names(job: Job) -> list[str]:
    """By which the job calls the talkers: those of their files."""
    return [PurePath(each["name"]).stem for each in voice_files(job)] if job.kind == KIND else []


def names(session: Session, job: Job) -> list[str]:
    """What each talker of a meeting is called; none of other jobs."""
    rows = _rows(session, job)
    return called(_first_names(job), _given(rows), _merged(rows))


def persons(session: Session, job: Job) -> list[int]:
    """Of each talker the number of the one whose name they have: their own, but for those who are merged."""
    return people(len(original_names(job)), _merged(_rows(session, job)))


def merged(session: Session, job: Job) -> dict[int, int]:
    """With whom those talkers are one person who were merged with another."""
    return _merged(_rows(session, job))


def file_names(session: Session, job: Job) -> dict[str, str]:
    """What the files of the talkers' voices are called when they leave the site, by what they are called here.

    The voices of one person are several files, with numbers.
    """
    taken: set[str] = set()
    result = {}
    for file, name in zip(voice_files(job), names(session, job), strict=False):
        stem, number = re.sub(r"[^\w.-]+", "_", name).strip("._") or "talker", 1
        while (free := f"{stem}_{number}" if number > 1 else stem).casefold() in taken:
            number += 1
        taken.add(free.casefold())
        result[file["name"]] = free + PurePath(file["name"]).suffix
    return result


def people(count: int, same_as: Mapping[int, int]) -> list[int]:
    """Of each talker with whom they are one person, in the end.

    >>> people(4, {2: 1, 1: 0})
    [0, 0, 0, 3]
    """

    def end(number: int) -> int:
        while number in same_as:
            number = same_as[number]
        return number

    return [end(number) for number in range(count)]


def called(original: Sequence[str], given: Mapping[int, str], same_as: Mapping[int, int]) -> list[str]:
    """What each talker is called.

    >>> called(["speaker1", "speaker2", "speaker3"], {0: "Anna", 2: "Ben"}, {2: 1})
    ['Anna', 'speaker2', 'speaker2']
    """
    return [given.get(person, original[person]) for person in people(len(original), same_as)]


def one_line(text: str) -> str:
    """What somebody typed, without what cannot be seen.

    >>> one_line(" Anna\\n  Berg \\u202e")
    'Anna Berg'
    """
    return " ".join("".join(letter for letter in text if letter.isprintable() or letter.isspace()).split())


def rename(request: Request, job: Job, number: int, name: str) -> None:
    """Call a talker by another name; by an empty one, as the job did.

    Raises:
        HTTPException: 404, there is no such talker; 409, another has that name; 422, it is too long.
    """
    name = one_line(name)
    if len(name) > MOST_LETTERS:
        raise HTTPException(422, f"A name has at most {MOST_LETTERS} letters.")
    with request.app.state.database.writing() as session:
        row = _row(session, job, number)
        row.name = name if name and name != _first_names(job)[number] else None
        _settle(session, job)


def merge(request: Request, job: Job, number: int, other: int | None) -> None:
    """Say that a talker is the same person as another, whose name they get; with None, that they are themselves again.

    Raises:
        HTTPException: 404, there is no such talker; 409, they are one already, or would have another's name.
    """
    with request.app.state.database.writing() as session:
        row = _row(session, job, number)
        if other is not None:
            _row(session, job, other)
            of = persons(session, job)
            if of[number] == of[other]:
                raise HTTPException(409, ONE_ALREADY)
            row, other = _row(session, job, of[number]), of[other]
        row.same_as = other
        _settle(session, job)


def _row(session: Session, job: Job, number: int) -> Talker:
    """What is known of a talker, for changing it; nobody deletes the job meanwhile."""
    if session.get(Job, job.id, with_for_update=True) is None or number >= len(original_names(job)):
        raise HTTPException(404, "There is no such talker.")
    if (row := session.get(Talker, (job.id, number))) is None:
        row = Talker(job_id=job.id, talker=number)
        session.add(row)
    return row


def _settle(session: Session, job: Job) -> None:
    """Refuse names by which two persons could not be told apart, in RTTM either; forget rows that say nothing."""
    session.flush()
    rows = _rows(session, job)
    owners: dict[str, int] = {}
    of = people(len(original_names(job)), _merged(rows))
    for person, name in zip(of, names(session, job), strict=True):
        if owners.setdefault(folded(name), person) != person:
            raise HTTPException(
                409, f"Another talker is called {name}: merge the two if they are one person."
            )
    for row in rows:
        if row.name is None and row.same_as is None:
            session.delete(row)


def _first_names(job: Job) -> list[str]:
    """What talkers are called as long as nobody says otherwise."""
    known = identities(job)
    return [
        known[number].name if number in known else name for number, name in enumerate(original_names(job))
    ]


def _rows(session: Session, job: Job) -> Sequence[Talker]:
    return session.scalars(select(Talker).where(Talker.job_id == job.id).order_by(Talker.talker)).all()


def _given(rows: Sequence[Talker]) -> dict[int, str]:
    return {row.talker: row.name for row in rows if row.name is not None}


def _merged(rows: Sequence[Talker]) -> dict[int, int]:
    return {row.talker: row.same_as for row in rows if row.same_as is not None}
