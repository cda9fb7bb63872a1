"""Voices that are known by name: whose they are, what a meeting gets of them, and how they are deleted.

They are an account's, in whatever browser it has logged in; of who has no account, the browser's, until its visit is
over. Nobody else sees or uses them. All that is kept of a voice are the outputs of its job (``web/work/enroll.py``),
with which it goes; a recording that was sent for it is deleted as soon as the job has ended.
"""

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, select
from sqlalchemy.orm import Session

from unbabble.text import rttm
from unbabble.web.database import Database
from unbabble.web.queue import queue
from unbabble.web.queue.expiry import remove_inputs
from unbabble.web.tables.enrolled import EnrolledVoice
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import User, Visit
from unbabble.web.work.enroll import NOT_SOUGHT, PERSON, PRINT

ENDED = ("done", "failed")
MOST_SETTLED = 500
"""At a time."""


def owned_by(visit: Visit) -> ColumnElement[bool]:
    """The voices of who is there."""
    if visit.user_id is not None:
        return EnrolledVoice.user_id == visit.user_id
    return EnrolledVoice.visit_id == visit.id


def voices(session: Session, visit: Visit) -> list[tuple[EnrolledVoice, Job]]:
    """Of who is there, in the order in which they were enrolled, with the jobs that hold what is kept of them."""
    rows = select(EnrolledVoice, Job).join(Job, EnrolledVoice.job_id == Job.id).where(owned_by(visit))
    return [
        (voice, job) for voice, job in session.execute(rows.order_by(EnrolledVoice.created, EnrolledVoice.id))
    ]


def as_inputs(session: Session, visit: Visit) -> list[dict[str, Any]]:
    """All that is kept of a visitor's voices, as inputs of a meeting: of each the print, then the recordings."""
    return [
        {"role": PERSON, "name": voice.name, "key": each["key"], "voice": voice.id}
        for voice, job in voices(session, visit)
        if job.state == "done"
        for each in sorted(job.outputs, key=lambda each: each["name"] != PRINT)
    ]


def people(inputs: Iterable[dict[str, Any]]) -> list[str]:
    """The names of those whose voices are among the inputs of a meeting, in this order."""
    return [each["name"] for each in inputs if each["role"] == PERSON and each["key"].endswith(f"/{PRINT}")]


def folded(name: str) -> str:
    """What names have in common that cannot be told apart in a file: RTTM has no spaces.

    >>> folded("Anna  Berg") == folded("anna_berg"), folded("<NA>") == folded("na")
    (True, True)
    """
    return re.sub(r"[\s_]+", "_", rttm.name(name)).casefold()


def remove(session: Session, voice: EnrolledVoice) -> None:
    """Delete a voice, and all that is kept of it; no meeting looks for it any more, or knows that it did."""
    about = cast(Job.inputs, Text).contains(voice.id, autoescape=True)
    for job in session.scalars(select(Job).where(about).with_for_update()).all():
        sought = {
            NOT_SOUGHT.format(name=each["name"]) for each in job.inputs if each.get("voice") == voice.id
        }
        if warnings := (job.result or {}).get("warnings"):
            job.result = job.result | {"warnings": [each for each in warnings if each not in sought]}
        job.inputs = [each for each in job.inputs if each.get("voice") != voice.id]
        job.parameters = job.parameters | {"people": people(job.inputs)}
    job = session.get(Job, voice.job_id)
    session.delete(voice)
    session.flush()
    if job is not None:
        queue.remove(session, job.id)
        remove_inputs(session, job)


def remove_all(session: Session, visit: Visit) -> None:
    """Delete all voices of who is there."""
    for voice in session.scalars(select(EnrolledVoice).where(owned_by(visit))).all():
        remove(session, voice)


def hand_over(session: Session, before: Visit, after: Visit, user: User) -> None:
    """What a visitor without an account has enrolled is the account's after logging in; no name is there twice."""
    taken = {folded(voice.name) for voice, _ in voices(session, after)}
    for voice, job in voices(session, before) if before.user_id is None else []:
        name, number = voice.name, 1
        while folded(voice.name) in taken:
            number += 1
            voice.name = f"{name} {number}"
        taken.add(folded(voice.name))
        voice.user_id, voice.visit_id = user.id, None
        job.visit_id = after.id


def settle(database: Database) -> bool:
    """Delete recordings whose prints are made, and voices that are nobody's; True where there were any, whose files
    ``disposal.sweep`` deletes."""
    ended = (
        select(EnrolledVoice, Job)
        .join(Job, EnrolledVoice.job_id == Job.id)
        .where(EnrolledVoice.settled.is_(False), Job.state.in_(ENDED))
        .limit(MOST_SETTLED)
    )
    nobodys = (
        select(EnrolledVoice)
        .where(EnrolledVoice.user_id.is_(None), EnrolledVoice.visit_id.is_(None))
        .limit(MOST_SETTLED)
    )
    with database.reading() as session:  # mostly there is nothing, and nobody needs to wait
        if session.execute(ended.limit(1)).first() is None and session.scalar(nobodys.limit(1)) is None:
            return False
    with database.writing() as session:
        for voice in session.scalars(nobodys.with_for_update(skip_locked=True)).all():
            remove(session, voice)
        for voice, job in session.execute(ended.with_for_update(of=EnrolledVoice, skip_locked=True)).all():
            remove_inputs(session, job)
            job.inputs, voice.settled = [], True
    return True
