"""Blind scores of contributions: asked of the queue, written to the contribution when they are there.

A contribution is separated by the queue (kind ``separate``); its voices stay as long as it does. Workers call
``settle`` now and then, and so do the pages of the room. ``blind`` of it then holds ``{"scores": [dB of each voice],
"intervals": [[low, high], ...], "verdicts": [...], "voices": [keys], "model": name}``, or ``{"error": sentence}``.
None stands for what cannot be estimated of a voice.
"""

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from unbabble.web.database import Database
from unbabble.web.queue.queue import as_input, enqueue, remove
from unbabble.web.tables.collect import Contribution
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.review import Judgement
from unbabble.web.tables.uploads import Upload

MOST_ASKED = 50
"""At a time, oldest first: the others are asked for when somebody looks again."""
TALKERS = 2


def ask(session: Session, contribution: Contribution) -> None:
    """Have a contribution judged, unless it is or is going to be; what failed is tried again."""
    before = session.scalar(select(Judgement).where(Judgement.contribution_id == contribution.id))
    if before is not None and "error" not in contribution.blind:
        return
    upload = session.get_one(Upload, contribution.upload_id)
    if before is not None:
        _drop(session, before)
        contribution.blind = {}
    parameters = {"model": "auto", "sources": TALKERS, "iterations": None}
    job = enqueue(session, "separate", None, parameters, [as_input(upload)])
    session.add(Judgement(job_id=job.id, contribution_id=contribution.id))
    session.flush()


def settle(database: Database) -> None:
    """Write down what has been found, let go of what was withdrawn, and have judged what waits for review."""
    finished = (
        select(Judgement, Job)
        .join(Job, Judgement.job_id == Job.id)
        .where(
            or_(
                Judgement.contribution_id.is_(None),
                Judgement.settled.is_(False) & Job.state.in_(("done", "failed")),
            )
        )
        .limit(10 * MOST_ASKED)
    )
    new = (
        select(Contribution)
        .outerjoin(Judgement, Judgement.contribution_id == Contribution.id)
        .where(Contribution.status == "pending", Judgement.job_id.is_(None))
        .order_by(Contribution.created)
        .limit(MOST_ASKED)
    )
    with database.reading() as session:  # mostly there is nothing, and nobody needs to wait
        if session.execute(finished.limit(1)).first() is None and session.scalar(new.limit(1)) is None:
            return
    with database.writing() as session:
        taken = finished.with_for_update(of=Judgement, skip_locked=True)
        for judgement, job in session.execute(taken).all():
            contribution = session.get(Contribution, judgement.contribution_id or "")
            if contribution is None:
                _drop(session, judgement)
            else:
                contribution.blind, judgement.settled = _result_of(job), True
        for contribution in session.scalars(new.with_for_update(of=Contribution)).all():
            ask(session, contribution)


def forget(session: Session, contributions: Collection[str]) -> None:
    """Let go of what was found of contributions, before they are deleted: their voices, and data sets with them."""
    identifiers = set(contributions)
    for judgement in session.scalars(
        select(Judgement).where(Judgement.contribution_id.in_(list(identifiers)))
    ).all():
        _drop(session, judgement)
    for job in session.scalars(select(Job).where(Job.kind == "export")).all():
        if identifiers.intersection(job.result.get("contributions", ())):
            remove(session, job.id)


def _drop(session: Session, judgement: Judgement) -> None:
    session.delete(judgement)
    session.flush()
    remove(session, judgement.job_id)


def _result_of(job: Job) -> dict:
    """What a finished job says of a contribution."""
    if job.state == "failed":
        return {"error": job.error or "It could not be separated."}
    scores = [score or {} for score in job.result.get("scores") or [None] * len(job.outputs)]
    return {
        "scores": [score.get("si_snr_db") for score in scores],
        "intervals": [[score.get("low_db"), score.get("high_db")] for score in scores],
        "verdicts": [score.get("verdict") for score in scores],
        "voices": [output["key"] for output in job.outputs],
        "model": job.result.get("model"),
    }
