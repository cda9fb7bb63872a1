"""What is kept for a while only: uploads and jobs of the studio, visits; and whatever a visitor wants deleted."""

import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from unbabble.web.database import Database, now
from unbabble.web.queue import queue
from unbabble.web.queue.disposal import doom
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.people import Visit
from unbabble.web.tables.uploads import Upload

PURPOSES = ("studio", "enrollment", "archive")
"""Uploads that expire; those of other rooms do so only while they are open. Archives that a room has taken never do."""
COLLECT = "collect"
"""As long as they are no contribution, uploads for the room "Collect" expire, too; after that they have no end."""
PARTIAL_DAYS = 2.0
AT_ONCE = 500


def purge(database: Database, data: Path) -> int:
    """Let go of what has expired (``disposal.sweep`` deletes its files). Returns how many uploads and jobs are gone."""
    gone = 0
    while True:
        with database.writing() as session:
            passing = Upload.purpose.in_((*PURPOSES, COLLECT))
            expired = (Upload.expires <= now(), or_(passing, Upload.state == "open"))
            uploads = session.scalars(select(Upload.id).where(*expired).limit(AT_ONCE)).all()
            jobs = session.scalars(select(Job.id).where(Job.expires <= now()).limit(AT_ONCE)).all()
            for key in jobs:
                queue.remove(session, key)
            for key in uploads:
                remove_upload(session, key)
        gone += len(uploads) + len(jobs)
        if not uploads and not jobs:
            break
    with database.writing() as session:
        session.execute(delete(Visit).where(Visit.expires <= now()))
    oldest = time.time() - 86400 * PARTIAL_DAYS
    for path in (data / "partial").glob("*"):
        with suppress(FileNotFoundError):  # it has just been finished
            if path.stat().st_mtime < oldest:
                path.unlink()
    return gone


def remove_upload(session: Session, key: str) -> None:
    """Delete an upload with its files, if it is there."""
    if (upload := session.get(Upload, key, with_for_update=True, populate_existing=True)) is not None:
        doom(session, [upload.key, upload.heard_key])
        session.execute(delete(Upload).where(Upload.id == key))


def remove_job(session: Session, job: Job) -> None:
    """Delete a job, and the studio's uploads that no other job of the same visitor is about."""
    queue.remove(session, job.id)
    remove_inputs(session, job)


def remove_inputs(session: Session, job: Job) -> None:
    """Delete the studio's uploads that a job is about, and no other job of the same visitor."""
    others = session.scalars(select(Job).where(Job.visit_id == job.visit_id, Job.id != job.id)).all()
    used = {each.get("upload") for other in others for each in other.inputs}
    for key in {each.get("upload") for each in job.inputs} - used - {None}:
        upload = session.get(Upload, key)
        if upload is not None and upload.purpose in PURPOSES and upload.visit_id == job.visit_id:
            remove_upload(session, key)


def hand_over(session: Session, before: str, after: str) -> None:
    """What a visitor has in the studio is theirs after logging in, too, when they are another visit."""
    session.execute(
        update(Job).where(Job.visit_id == before, Job.expires.is_not(None)).values(visit_id=after)
    )
    own = (Upload.visit_id == before, Upload.purpose.in_(PURPOSES))
    session.execute(update(Upload).where(*own).values(visit_id=after))


def remove_everything(session: Session, visit_id: str) -> None:
    """Delete all jobs of a visitor's studio, and all uploads for it."""
    jobs = (Job.visit_id == visit_id, Job.expires.is_not(None))  # others belong to other rooms
    for key in session.scalars(select(Job.id).where(*jobs)).all():
        queue.remove(session, key)
    own = (Upload.visit_id == visit_id, Upload.purpose.in_(PURPOSES))
    for key in session.scalars(select(Upload.id).where(*own)).all():
        remove_upload(session, key)
