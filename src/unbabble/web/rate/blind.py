"""Blind scores of what is rated in a listening study: asked of the queue, then written to the clips."""

from collections.abc import Mapping

from sqlalchemy import select

from unbabble.web.database import Database
from unbabble.web.queue import queue
from unbabble.web.rate.studies import clips_of
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.rate import Clip, Study


def ask_for_scores(database: Database, study: Study) -> int:
    """Put all separations that have no blind score into the queue; returns how many jobs were asked for.

    Those whose job failed are asked for again.
    """
    clips = clips_of(database, study)
    mixtures = {clip.item: clip for clip in clips if clip.role == "mixture"}
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if clip.role == "estimate" and clip.blind_db is None and clip.item in mixtures:
            groups.setdefault((clip.item, clip.system), []).append(clip)
    asked = 0
    for (item, _), voices in groups.items():
        inputs = [{"role": "mixture", "name": f"{item} mixture", "key": mixtures[item].key}]
        inputs += [{"role": "estimate", "name": f"source{clip.number}", "key": clip.key} for clip in voices]
        with database.writing() as session:
            held = session.scalars(select(Clip).where(Clip.id.in_([clip.id for clip in voices]))).all()
            old = {clip.blind_job for clip in held if clip.blind_job}
            jobs = session.scalars(select(Job).where(Job.id.in_(old))).all()
            if any(job.state != "failed" for job in jobs):
                continue
            for job in jobs:
                queue.remove(session, job.id)
            new = queue.enqueue(session, "score", None, {}, inputs)
            for clip in held:
                clip.blind_job = new.id
            asked += 1
    return asked


def collect_scores(database: Database, study: Study) -> dict[str, int]:
    """Write what finished jobs found to the clips; returns how many clips are ``scored``, ``waiting``, ``failed``."""
    with database.reading() as session:
        of_study = select(Clip.blind_job).where(Clip.study_id == study.id, Clip.blind_job.is_not(None))
        jobs = session.scalars(
            select(Job).where(Job.id.in_(of_study), Job.state.in_(("done", "failed")))
        ).all()
    failed = set()
    for job in jobs:
        keys = [each["key"] for each in job.inputs if each["role"] == "estimate"]
        scores = [_decibels(score) for score in job.result.get("scores") or []]
        if job.state == "failed" or len(scores) != len(keys) or None in scores:
            failed.add(job.id)
            continue
        by_key = dict(zip(keys, scores, strict=True))
        with database.writing() as session:
            for clip in session.scalars(select(Clip).where(Clip.blind_job == job.id)):
                clip.blind_db, clip.blind_job = by_key[clip.key], None
            queue.remove(session, job.id)
    clips = [clip for clip in clips_of(database, study) if clip.role == "estimate"]
    return {
        "all": len(clips),
        "scored": sum(clip.blind_db is not None for clip in clips),
        "waiting": sum(clip.blind_job is not None and clip.blind_job not in failed for clip in clips),
        "failed": sum(clip.blind_job in failed for clip in clips),
    }


def _decibels(score: Mapping | None) -> float | None:
    value = (score or {}).get("si_snr_db")
    return float(value) if isinstance(value, int | float) else None
