"""The queue of long work, in the database: whatever is killed, each job is finished exactly once.

A room calls ``enqueue`` in its own transaction and reads the job later (``state``, ``result``, ``outputs``); a worker
calls ``claim``, ``keep`` now and then while it works, and in the end ``finish``, ``refuse`` or ``retry``. A worker that
is silent for ``LEASE_SECONDS`` has lost the job: another takes it, and the late one's word counts no more. Turns
are fair: a visitor's second job comes after everybody's first (start-time fair queueing; Goyal, Vin and Cheng,
SIGCOMM 1996, with jobs of equal cost).

``inputs`` is a list of ``{"role", "name", "key"}``, and ``"upload"`` of one (``as_input``): ``key`` is where it
is stored. What the kinds take, and leave in ``result`` and ``outputs``, a list of ``{"name", "key", "bytes"}``: see
``web.work``, a file for each.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from unbabble.web.database import Database, now
from unbabble.web.queue.disposal import doom, spare
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload
from unbabble.web.work import KINDS

LEASE_SECONDS = 60.0
MOST_ATTEMPTS = 3
RETRY_SECONDS = 10.0
"""Before the second attempt; twice as long before the third."""
STORING_HOURS = 24.0
"""After which files of an attempt that never finished are deleted."""


@dataclass(frozen=True)
class Claim:
    """A job in the hands of a worker."""

    id: str
    lease: str
    kind: str
    attempt: int
    parameters: dict[str, Any]
    inputs: list[dict[str, Any]]


def as_input(upload: Upload, role: str = "mixture") -> dict[str, Any]:
    """An upload as an input of a job.

    Raises:
        ValueError: it has not been stored.
    """
    if upload.heard_key is None:
        raise ValueError(f"upload {upload.id} is not stored")
    named = {"role": role, "name": upload.name, "key": upload.heard_key, "upload": upload.id}
    return named | {"warnings": upload.details.get("warnings", [])}


def enqueue(
    session: Session,
    kind: str,
    visit_id: str | None,
    parameters: dict[str, Any],
    inputs: Sequence[dict[str, Any]],
    expires: datetime | None = None,
    of: Job | None = None,
) -> Job:
    """Ask for work; it may begin when this transaction is committed.

    Args:
        session: a writing one.
        kind: one of ``web.work.KINDS``.
        visit_id: whose turn it is, and who may see it in the studio; None for the site itself.
        parameters: of the kind.
        inputs: files, see above.
        expires: when the job and its outputs are deleted; None if the room does it (``remove``).
        of: the job whose outputs it is about, with which it goes.
    """
    if kind not in KINDS:
        raise ValueError(f"no such kind of job: {kind!r}")
    own = session.scalar(select(func.max(Job.turn)).where(Job.visit_id == visit_id, Job.state == "waiting"))
    begun = session.scalar(select(func.max(Job.turn)).where(Job.state != "waiting"))
    next_one = session.scalar(select(func.min(Job.turn)).where(Job.state == "waiting"))
    turn = max(begun or 0, next_one or 0, 0 if own is None else own + 1)
    job = Job(
        kind=kind,
        visit_id=visit_id,
        parameters=parameters,
        inputs=list(inputs),
        expires=expires,
        of_id=of.id if of is not None else None,
        turn=turn,
    )
    session.add(job)
    session.flush()
    return job


def position(session: Session, job: Job) -> int:
    """How many waiting jobs come before this one; 0 for the next, and for one that is not waiting."""
    if job.state != "waiting":
        return 0
    before = tuple_(Job.turn, Job.created, Job.id) < (job.turn, job.created, job.id)
    return session.scalar(select(func.count()).where(Job.state == "waiting", before)) or 0


def claim(database: Database, worker: str) -> Claim | None:
    """Take the next job; None if there is none.

    Raises:
        OperationalError: the database does not answer.
    """
    due = (or_(Job.state == "waiting", Job.state == "running"), Job.due <= now())
    with database.reading() as session:  # so that idle workers do not hold up who writes
        if session.scalar(select(Job.id).where(*due).limit(1)) is None:
            return None
    with database.writing() as session:
        order = (Job.turn, Job.created, Job.id)
        first = select(Job).where(*due).order_by(*order).limit(1).with_for_update(skip_locked=True)
        while (job := session.scalar(first)) is not None:
            if job.attempts >= MOST_ATTEMPTS:  # it ended every worker that took it
                _fail(job, "What worked on this ended every time, perhaps for lack of memory.")
                session.flush()
                continue
            job.state, job.attempts, job.worker = "running", job.attempts + 1, worker
            job.lease = lease = secrets.token_urlsafe(16)
            job.started, job.due = now(), now() + timedelta(seconds=LEASE_SECONDS)
            job.progress, job.stage = None, ""
            return Claim(job.id, lease, job.kind, job.attempts, job.parameters, job.inputs)
    return None


def keep(database: Database, claimed: Claim, progress: float | None = None, stage: str = "") -> bool:
    """Say that the work goes on, and how far it is (0 to 1); False where the job is no longer this worker's."""
    changes = {"due": now() + timedelta(seconds=LEASE_SECONDS), "progress": progress, "stage": stage}
    return _changed(database, claimed, changes)


def about_to_store(database: Database, claimed: Claim, keys: Sequence[str]) -> bool:
    """To be called before results are stored under ``keys``; False where the job is no longer this worker's."""
    with database.writing() as session:
        if _held(session, claimed) is None:
            return False
        doom(session, keys, now() + timedelta(hours=STORING_HOURS))
    return True


def finish(
    database: Database, claimed: Claim, result: dict[str, Any], outputs: Sequence[dict[str, Any]]
) -> bool:
    """The work is done: from now on its outputs can be seen. Said again, it tells the same.

    Returns:
        False where the job is no longer this worker's; then its outputs will be deleted.
    """
    keys = [each["key"] for each in outputs]
    with database.writing() as session:
        job = session.scalar(
            select(Job).where(Job.id == claimed.id, Job.lease == claimed.lease).with_for_update()
        )
        if job is not None and job.state == "done":
            return True
        if job is None or job.state != "running":
            doom(session, keys)
            return False
        job.state, job.finished, job.progress, job.error = "done", now(), 1.0, None
        job.result, job.outputs = result, list(outputs)
        spare(session, keys)
    return True


def refuse(database: Database, claimed: Claim, sentence: str) -> bool:
    """The work cannot be done, and why; False where the job is no longer this worker's."""
    with database.writing() as session:
        if (job := _held(session, claimed)) is None:
            return False
        _fail(job, sentence)
    return True


def retry(database: Database, claimed: Claim, sentence: str) -> bool:
    """This attempt failed by no fault of the job's: later again, or, after the last attempt, never."""
    with database.writing() as session:
        if (job := _held(session, claimed)) is None:
            return False
        if job.attempts >= MOST_ATTEMPTS:
            _fail(job, sentence)
        else:
            job.state, job.lease, job.progress, job.stage = "waiting", None, None, ""
            job.due = now() + timedelta(seconds=RETRY_SECONDS * 2 ** (job.attempts - 1))
    return True


def hand_back(database: Database, claimed: Claim) -> bool:
    """The worker is asked to stop: the next worker takes the job at once, and this attempt does not count."""
    with database.writing() as session:
        if (job := _held(session, claimed)) is None:
            return False
        job.state, job.lease, job.progress, job.stage = "waiting", None, None, ""
        job.attempts, job.due = job.attempts - 1, now()
    return True


def remove(session: Session, key: str) -> None:
    """Delete a job with its outputs and the jobs about them, if it is there; a worker that is at it stops
    (``disposal.sweep`` afterwards)."""
    if (job := session.get(Job, key, with_for_update=True, populate_existing=True)) is not None:
        for about in session.scalars(select(Job.id).where(Job.of_id == key)).all():
            remove(session, about)
        doom(session, [each["key"] for each in job.outputs])
        session.execute(delete(Job).where(Job.id == key))


def _held(session: Session, claimed: Claim) -> Job | None:
    held = (Job.id == claimed.id, Job.lease == claimed.lease, Job.state == "running")
    return session.scalar(select(Job).where(*held).with_for_update())


def _changed(database: Database, claimed: Claim, changes: dict[str, Any]) -> bool:
    held = (Job.id == claimed.id, Job.lease == claimed.lease, Job.state == "running")
    with database.writing() as session:
        done = session.execute(update(Job).where(*held).values(**changes))
        assert isinstance(done, CursorResult)
        return done.rowcount == 1


def _fail(job: Job, sentence: str) -> None:
    job.state, job.error, job.finished, job.progress = "failed", sentence, now(), None
