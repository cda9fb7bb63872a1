"""A contributor's recordings: taken after the checks, taken again, and taken back."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from unbabble.base.errors import InputError
from unbabble.web.collect import reading
from unbabble.web.collect.campaigns import Pair
from unbabble.web.collect.checks import (
    MOST_SECONDS,
    Check,
    content_hash,
    duplicate,
    examine,
    too_long,
)
from unbabble.web.database import Database
from unbabble.web.queue.disposal import doom, sweep
from unbabble.web.review import judging
from unbabble.web.storage import Storage
from unbabble.web.tables.collect import Assignment, Contribution, Participant, WorkStamp
from unbabble.web.tables.people import Event
from unbabble.web.tables.uploads import Upload

CHANNELS, RATES = range(1, 3), range(8_000, 192_001)


@dataclass(frozen=True)
class Checked:
    """What the checks say of an upload, and the hash of its samples."""

    checks: list[Check]
    sha256: str

    @property
    def refused(self) -> bool:
        """Whether it cannot be a contribution."""
        return any(each.blocks and not each.passed for each in self.checks)


class Closed(Exception):
    """Nothing more is taken here; why, in a sentence."""


def hear(storage: Storage, upload: Upload, track: dict[str, Any]) -> Checked:
    """Read an upload and check it.

    Raises:
        InputError: it is no longer there, or not what the page's recorder makes.
    """
    assert upload.heard_key is not None
    assert upload.seconds is not None
    if upload.channels not in CHANNELS or upload.sample_rate not in RATES:
        raise InputError("Recordings have one or two channels and 8 to 192 kHz.")
    if upload.seconds > MOST_SECONDS:  # not read at all
        return Checked([too_long(upload.seconds)], "")
    with tempfile.TemporaryDirectory(prefix="unbabble-") as folder:
        path = storage.local(upload.heard_key)
        if path is None or not path.is_file():
            path = storage.fetch(upload.heard_key, Path(folder) / "heard.flac")
        content, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = np.asarray(content, np.float32).T
    return Checked(examine(samples, rate, track), content_hash(samples, rate))


def contribute(
    database: Database,
    participant: Participant,
    pair: Pair,
    upload: Upload,
    checked: Checked,
    track: dict[str, Any],
) -> tuple[Contribution | None, list[Check]]:
    """Keep an upload as the recording of a pair, in place of the one before; or delete it, where a check refuses it.

    Returns:
        The contribution, None if it is refused; and all checks.

    Raises:
        Closed: a reviewer has decided on this pair, or the contributor has ended or withdrawn.
    """
    if checked.refused:
        _drop(database, upload)
        return None, checked.checks
    checks = [*checked.checks, duplicate(False)]
    try:
        with database.writing() as session:
            contribution = _kept(session, participant, pair, upload, checked, track, checks)
    except IntegrityError:
        _drop(database, upload)
        return None, [*checked.checks, duplicate(True)]
    return contribution, checks


def _kept(
    session: Session,
    participant: Participant,
    pair: Pair,
    upload: Upload,
    checked: Checked,
    track: dict[str, Any],
    checks: list[Check],
) -> Contribution:
    owner = session.get(Participant, participant.id, with_for_update=True)
    before = session.scalar(
        select(Contribution).where(Contribution.assignment_id == pair.assignment.id).with_for_update()
    )
    if before is not None and before.upload_id == upload.id:  # the answer was lost on its way
        return before
    if owner is None or owner.state != "recording":
        raise Closed("You have ended here: nothing more is taken.")
    contribution = Contribution(
        campaign_id=participant.campaign_id,
        participant_id=participant.id,
        assignment_id=pair.assignment.id,
        upload_id=upload.id,
        first_text=pair.first,
        second_text=pair.second,
        seconds=upload.seconds,
        sha256=checked.sha256,
        checks=[each.to_dict() for each in checks],
        track=track,
    )
    twin = select(Contribution.id).where(
        Contribution.campaign_id == participant.campaign_id, Contribution.sha256 == checked.sha256
    )
    if session.scalar(twin) is not None:
        raise IntegrityError("the same samples", None, Exception())
    if before is not None:
        if before.status != "pending":
            raise Closed("This recording has been reviewed: it stays as it is.")
        let_go(session, [before])
        session.flush()
    session.add(contribution)
    session.get_one(Upload, upload.id).expires = None
    session.flush()
    reading.ask(session, contribution)
    return contribution


def let_go(session: Session, contributions: list[Contribution]) -> None:
    """Delete contributions with their uploads, voices and data sets; the files go after the transaction (``sweep``)."""
    judging.forget(session, [each.id for each in contributions])
    for each in contributions:
        reading.forget(session, each)
        upload = session.get(Upload, each.upload_id)
        session.delete(each)
        session.flush()
        if upload is not None:
            doom(session, [upload.key, upload.heard_key])
            session.delete(upload)


def withdraw(database: Database, storage: Storage, partial: Path, participant_id: str) -> int:
    """Delete all that somebody left here. What stays: that there was somebody, and the number of a stamp, so that it
    counts once; it has no name any more.

    Args:
        database: the site's.
        storage: where recordings lie; the files are gone when this returns, or as soon as the storage answers.
        partial: folder of uploads that have not ended.
        participant_id: who.

    Returns:
        How many recordings there were.
    """
    with database.writing() as session:
        participant = session.get_one(Participant, participant_id, with_for_update=True)
        contributions = list(
            session.scalars(select(Contribution).where(Contribution.participant_id == participant_id)).all()
        )
        let_go(session, contributions)
        unsent = _unsent(session, participant)
        session.execute(delete(Assignment).where(Assignment.participant_id == participant_id))
        for stamp in session.scalars(select(WorkStamp).where(WorkStamp.participant_id == participant_id)):
            stamp.participant_id, stamp.session = None, ""
        participant.state, participant.answers, participant.visit_id = "withdrawn", {}, None
        participant.provider_participant = participant.provider_study = participant.provider_session = None
        details = {"recordings": len(contributions)}
        event = Event(user_name="contributor", action="withdrew", subject=participant_id, details=details)
        session.add(event)
    for key in unsent:
        (partial / f"{key}.sent").unlink(missing_ok=True)
    sweep(database, storage)
    return len(contributions)


def _unsent(session: Session, participant: Participant) -> list[str]:
    """Delete uploads of this browser that belong to no contribution; not while it takes part elsewhere."""
    if participant.visit_id is None:
        return []
    elsewhere = select(Participant.id).where(
        Participant.visit_id == participant.visit_id,
        Participant.id != participant.id,
        Participant.state == "recording",
    )
    if session.scalar(elsewhere.limit(1)) is not None:
        return []
    mine = (
        select(Upload)
        .outerjoin(Contribution, Contribution.upload_id == Upload.id)
        .where(
            Upload.visit_id == participant.visit_id, Upload.purpose == "collect", Contribution.id.is_(None)
        )
    )
    uploads = session.scalars(mine).all()
    for each in uploads:
        doom(session, [each.key, each.heard_key])
        session.delete(each)
    return [each.id for each in uploads]


def _drop(database: Database, upload: Upload) -> None:
    """Delete an upload that is no contribution, not even of another pair."""
    with database.writing() as session:
        used = session.scalar(select(Contribution.id).where(Contribution.upload_id == upload.id))
        row = session.get(Upload, upload.id)
        if row is not None and used is None:
            doom(session, [row.key, row.heard_key])
            session.delete(row)
