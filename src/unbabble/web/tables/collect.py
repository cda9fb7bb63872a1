"""What the room "Collect" keeps: campaigns, consents, who takes part, which sentences, and their recordings.

What others may rely on: a ``Contribution`` is one recording of two people who read at the same time, and is the only
thing that reviewers see and change. Its upload (``upload_id``, purpose ``collect``, never expires) holds the recording;
``first_text`` and ``second_text`` are what was to be read; ``status`` begins as ``pending``. Who withdraws takes their
contributions and uploads with them, at any time, accepted or not.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class Campaign(Base):
    """A collection with its sentences and rules.

    ``slug`` is its address (``/collect/SLUG``); ``open`` whether newcomers are let in. ``pairs_each`` pairs are
    asked of a contributor, ``pairs_total`` of all. The three links lead back to who sent the contributor, empty where
    nobody did; ``{stamp}``, ``{participant}``, ``{study}`` and ``{session}`` in them are replaced. ``rules`` holds
    what screens out: ``{"native": bool}``, whether both talkers must be native. ``licence`` is under which the
    recordings are exported.
    """

    __tablename__ = "campaigns"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str]
    open: Mapped[bool] = mapped_column(default=True)
    language: Mapped[str] = mapped_column(default="English")
    licence: Mapped[str] = mapped_column(default="CC BY 4.0")
    pairs_each: Mapped[int]
    pairs_total: Mapped[int]
    link_completed: Mapped[str] = mapped_column(default="")
    link_screened: Mapped[str] = mapped_column(default="")
    link_full: Mapped[str] = mapped_column(default="")
    stamp_days: Mapped[int] = mapped_column(default=30)
    seed: Mapped[int] = mapped_column(default=0)
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)


class Consent(Base):
    """One version of what contributors agree to; never edited, the highest ``version`` is the one that is asked."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("campaign_id", "version"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    version: Mapped[int]
    text: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime] = mapped_column(default=now)


class Prompt(Base):
    """A sentence of a campaign."""

    __tablename__ = "prompts"
    __table_args__ = (UniqueConstraint("campaign_id", "number"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    text: Mapped[str]


class Participant(Base):
    """Two people at one browser, who contribute to one campaign.

    ``state``: ``questions``, ``consent``, ``recording``, ``done``, ``screened out`` or ``withdrawn`` (nothing but the
    row is left). ``provider_*`` are the ids that a provider's link brought, if any (not secret: they prove nothing).
    ``answers``: ``{"talkers": [{"sex": "female" | "male" | "other", "native": bool, "languages": str}, {...}]}``;
    talker 0 reads the first sentence of each pair, talker 1 the second, always. ``consent_sha256`` is of the text that
    was agreed to. For splits without shared speakers, a participant is the unit.
    """

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("campaign_id", "provider_participant"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    state: Mapped[str] = mapped_column(String(16), default="questions")
    provider_participant: Mapped[str | None] = mapped_column(String(128))
    provider_study: Mapped[str | None] = mapped_column(String(128))
    provider_session: Mapped[str | None] = mapped_column(String(128))
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.id", ondelete="SET NULL"))
    consent_sha256: Mapped[str | None] = mapped_column(String(64))
    consented: Mapped[datetime | None]
    created: Mapped[datetime] = mapped_column(default=now)


class Assignment(Base):
    """A pair of sentences that a participant is asked to read; ``position`` counts from 0."""

    __tablename__ = "assignments"
    __table_args__ = (UniqueConstraint("participant_id", "position"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    participant_id: Mapped[str] = mapped_column(ForeignKey("participants.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    first_id: Mapped[str] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"), index=True)
    second_id: Mapped[str] = mapped_column(ForeignKey("prompts.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(default=now)


class Contribution(Base):
    """A recording that passed what must be passed, and waits for review.

    ``status``: ``pending``, ``accepted`` or ``rejected``, then with ``reviewer`` (a user's name), ``reason`` and
    ``decided``. ``checks``: a list of ``{"name": str, "passed": bool, "value": float | None, "advice": str}`` (see
    ``collect/checks.py``); those that were not passed are doubts that a reviewer should look at. ``reading_id`` is the
    job that finds out whether both sentences were read, until its word has joined ``checks``. ``track``: the real
    settings of the microphone's track (``sampleRate``, ``echoCancellation`` ... as ``getSettings()`` gave them) and its
    ``label``. ``blind``: what a job of the queue found without references, ``{}`` before: ``{"scores": [dB of each
    voice], ...}``; written by the room that runs the job (review), shown there. ``sha256`` is of the samples as
    they were decoded, not of the file, and unique in a campaign: nobody sends one recording twice.
    """

    __tablename__ = "contributions"
    __table_args__ = (UniqueConstraint("campaign_id", "sha256"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    participant_id: Mapped[str] = mapped_column(ForeignKey("participants.id", ondelete="CASCADE"), index=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id", ondelete="CASCADE"), unique=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), unique=True)
    first_text: Mapped[str]
    second_text: Mapped[str]
    seconds: Mapped[float]
    sha256: Mapped[str] = mapped_column(String(64))
    checks: Mapped[list[Any]] = mapped_column(default=list)
    track: Mapped[dict[str, Any]] = mapped_column(default=dict)
    blind: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reading_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    status: Mapped[str] = mapped_column(String(16), default="pending", index=True)
    reviewer: Mapped[str | None]
    reason: Mapped[str | None]
    decided: Mapped[datetime | None]
    created: Mapped[datetime] = mapped_column(default=now, index=True)


class WorkStamp(Base):
    """That a stamp was given, so that it counts once: see ``web/stamps.py``. The code itself is not kept.

    ``session`` is what the stamp is bound to besides the campaign: the provider's session, or its participant, or ours.
    """

    __tablename__ = "work_stamps"

    serial: Mapped[str] = mapped_column(String(16), primary_key=True)
    campaign_id: Mapped[str] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    participant_id: Mapped[str | None] = mapped_column(
        ForeignKey("participants.id", ondelete="SET NULL"), index=True
    )
    session: Mapped[str]
    count: Mapped[int]
    expires: Mapped[datetime]
    created: Mapped[datetime] = mapped_column(default=now)
    used: Mapped[datetime | None]
    used_by: Mapped[str | None]
