"""Which recordings an export holds: the accepted ones of people who have not withdrawn, under pseudonyms."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from unbabble.base.errors import InputError
from unbabble.web.database import Database
from unbabble.web.review.export import Take
from unbabble.web.review.reviewing import allowed
from unbabble.web.review.splits import DEV_SHARE, TEST_SHARE, check_shares, pseudonym, split_of
from unbabble.web.tables.collect import Campaign, Consent, Contribution, Participant
from unbabble.web.tables.uploads import Upload

PUBLISHED_OF_TRACK = (
    "sampleRate",
    "sampleSize",
    "channelCount",
    "echoCancellation",
    "noiseSuppression",
    "autoGainControl",
    "latency",
)
"""The label and the ids of a microphone can name its owner."""
PUBLISHED_OF_TALKERS = ("sex", "native", "languages")


@dataclass(frozen=True)
class Choice:
    """Which recordings, and how they are split: ``campaign`` by its address, all where it is None."""

    campaign: str | None = None
    seed: int = 0
    dev: float = DEV_SHARE
    test: float = TEST_SHARE


def find_takes(database: Database, secret: bytes, choice: Choice) -> tuple[list[Take], dict[str, str]]:
    """The recordings, and the text of every version of the consent.

    Args:
        database: the site's.
        secret: the site's, for pseudonyms.
        choice: which.

    Raises:
        InputError: no such campaign, or no accepted recording.
        UsageError: shares that are none.
    """
    check_shares(choice.dev, choice.test)
    wanted = (
        select(Contribution, Participant, Campaign, Upload, Consent)
        .join(Participant, Contribution.participant_id == Participant.id)
        .join(Campaign, Contribution.campaign_id == Campaign.id)
        .join(Upload, Contribution.upload_id == Upload.id)
        .join(Consent, Participant.consent_id == Consent.id)
        .where(*allowed(), Upload.heard_key.is_not(None))
        .order_by(Contribution.id)
    )
    with database.reading() as session:
        if choice.campaign is not None:
            _campaign(session, choice.campaign)
            wanted = wanted.where(Campaign.slug == choice.campaign)
        rows = session.execute(wanted).all()
    if not rows:
        raise InputError("There are no accepted recordings.")
    takes, consents = [], {}
    for contribution, participant, campaign, upload, consent in rows:
        contributor = pseudonym(secret, "participant", participant.id)
        name, version = _file_name(campaign.slug), f"{_file_name(campaign.slug)}-{consent.version}"
        consents[version] = consent.text
        assert upload.heard_key is not None
        takes.append(
            Take(
                id=contribution.id,
                name=pseudonym(secret, "contribution", contribution.id),
                contributor=contributor,
                campaign=name,
                split=split_of(contributor, choice.seed, choice.dev, choice.test),
                key=upload.heard_key,
                sentences=(contribution.first_text, contribution.second_text),
                licence=campaign.licence,
                consent=version,
                voices=tuple(contribution.blind.get("voices") or ()),
                about=_about(contribution, participant, campaign),
            )
        )
    return takes, consents


def _campaign(session: Session, slug: str) -> Campaign:
    campaign = session.scalar(select(Campaign).where(Campaign.slug == slug))
    if campaign is None:
        known = ", ".join(session.scalars(select(Campaign.slug).order_by(Campaign.slug)))
        raise InputError(f"There is no campaign '{slug}', but {known or 'none at all'}.")
    return campaign


def _file_name(slug: str) -> str:
    """Safe in a path, whatever the table holds."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", slug) or "campaign"


def _about(contribution: Contribution, participant: Participant, campaign: Campaign) -> dict[str, Any]:
    """What else is published: nothing that names a person."""
    talkers = participant.answers.get("talkers") or []
    about: dict[str, Any] = {
        "language": campaign.language,
        "recorded": contribution.created.date().isoformat(),
        "talkers": [{key: each[key] for key in PUBLISHED_OF_TALKERS if key in each} for each in talkers],
        "microphone": {
            key: contribution.track[key] for key in PUBLISHED_OF_TRACK if key in contribution.track
        },
        "checks": [
            {key: each.get(key) for key in ("name", "passed", "value")} for each in contribution.checks
        ],
    }
    if (scores := contribution.blind.get("scores")) and None not in scores:
        about |= {"blind_si_snr_db": round(sum(scores) / len(scores), 2), "blind_si_snr_db_each": scores}
    return about
