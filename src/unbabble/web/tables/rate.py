"""What the room "Rate" keeps: studies, what is rated in them, who listens, and their votes.

A ``Study`` has ``Clip``s (one stored recording each), ``Stimulus`` rows (what one trial presents: which clips, in
which roles) and ``Listener``s. A listener is given ``Trial``s once, all at the start; a ``Vote`` is the answer to one
question of a trial.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class Study(Base):
    """A listening study.

    ``slug`` is its address (``/rate/SLUG``). ``kind``: ``realm``, ``acr``, ``ab`` or ``mushra`` (see
    ``web/listening.py``). ``state``: ``draft`` (only administrators get in, and what they vote is deleted when it
    opens), ``open`` or ``closed``. A listener gets ``trials_each`` stimuli, ``golds_each`` questions whose answer is
    known and ``traps_each`` trapping clips; each stimulus gets ``ratings_wanted`` ratings. ``headphones``: whether
    listeners must pass the headphone check. The three links lead back to who sent the listener, empty where nobody
    did; ``{participant}``, ``{study}`` and ``{session}`` in them are replaced. All that is drawn follows from ``seed``.
    """

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="draft")
    instructions: Mapped[str]
    consent: Mapped[str]
    trials_each: Mapped[int]
    ratings_wanted: Mapped[int]
    golds_each: Mapped[int] = mapped_column(default=1)
    traps_each: Mapped[int] = mapped_column(default=1)
    headphones: Mapped[bool] = mapped_column(default=True)
    link_completed: Mapped[str] = mapped_column(default="")
    link_screened: Mapped[str] = mapped_column(default="")
    link_full: Mapped[str] = mapped_column(default="")
    seed: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime] = mapped_column(default=now)


class Clip(Base):
    """One stored recording of a study, as it is played: FLAC, its level brought to the common one.

    ``role``: ``mixture``, ``reference``, ``estimate`` (of ``system``), or one that was made here: ``anchor``, ``gold``
    or ``trap``. ``number`` is of the source, from 1; 0 for a mixture. ``expected`` is the known answer of a gold or
    trapping clip. ``blind_db`` is the blind score of an estimate, once job ``blind_job`` has said it.
    """

    __tablename__ = "clips"
    __table_args__ = (UniqueConstraint("study_id", "item", "role", "system", "number"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    item: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    system: Mapped[str] = mapped_column(default="")
    number: Mapped[int] = mapped_column(default=0)
    key: Mapped[str]
    seconds: Mapped[float]
    expected: Mapped[int | None]
    blind_db: Mapped[float | None]
    blind_job: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)


class Stimulus(Base):
    """What one trial presents. ``role``: ``rate``, ``gold`` or ``trap``.

    ``group`` is the system (of A/B: the pair) over which trials are balanced. ``clips`` is a list of
    ``{"clip": key, "part": str, "system": str, "number": int}``: ``part`` is ``mixture`` and ``reference`` for what is
    only heard, ``rated`` for what is rated, ``a`` and ``b`` for the two sides of a pair. ``expected`` holds the known
    answers, in the order of the rated clips (of a pair: which system is better).
    """

    __tablename__ = "stimuli"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    item: Mapped[str]
    group: Mapped[str]
    role: Mapped[str] = mapped_column(String(8))
    clips: Mapped[list[Any]] = mapped_column(default=list)
    expected: Mapped[list[Any]] = mapped_column(default=list)


class Listener(Base):
    """One browser that takes part in one study.

    ``state``: ``headphones``, ``rating``, ``done``, ``screened out``, or ``full`` for whom nothing was left.
    ``provider_*`` are the ids that a provider's link brought, if any (not secret: they prove nothing). ``answers`` is
    what was asked at the start (``hearing``, ``quiet``). ``headphone_rounds`` is a list of ``{"answers": [...],
    "correct": int}``. ``seed`` and ``drawn_from`` (how often each stimulus had been given before) are what the trials
    were drawn by: see ``listening.draw``.
    """

    __tablename__ = "listeners"
    __table_args__ = (
        UniqueConstraint("study_id", "visit_id"),
        UniqueConstraint("study_id", "provider_participant"),
        UniqueConstraint("study_id", "number"),
    )

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    number: Mapped[int]
    seed: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    provider_participant: Mapped[str | None] = mapped_column(String(128))
    provider_study: Mapped[str | None] = mapped_column(String(128))
    provider_session: Mapped[str | None] = mapped_column(String(128))
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    consent_sha256: Mapped[str] = mapped_column(String(64))
    headphone_rounds: Mapped[list[Any]] = mapped_column(default=list)
    drawn_from: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)
    seen: Mapped[datetime] = mapped_column(default=now)
    finished: Mapped[datetime | None]


class Trial(Base):
    """One stimulus for one listener; ``position`` counts from 0, ``order`` is how its clips are presented.

    ``opened`` is when it was first shown, ``voted`` when it was answered. ``played`` is how much of each clip was
    heard, 0 to 1, in the order of ``order``.
    """

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("listener_id", "position"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    listener_id: Mapped[str] = mapped_column(ForeignKey("listeners.id", ondelete="CASCADE"), index=True)
    stimulus_id: Mapped[str] = mapped_column(ForeignKey("stimuli.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    order: Mapped[list[Any]] = mapped_column(default=list)
    opened: Mapped[datetime | None]
    voted: Mapped[datetime | None]
    played: Mapped[list[Any]] = mapped_column(default=list)


class Vote(Base):
    """The answer to one question: ``value`` is 1 to 5, 0 to 100, or for a pair 1 (the first), 2 or 0 (no difference).

    ``place`` is the question's number in the trial, from 0; ``clip_id`` what it was about (None for a pair, in which
    ``preferred`` names the system).
    """

    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("trial_id", "place"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), index=True)
    place: Mapped[int]
    clip_id: Mapped[str | None] = mapped_column(ForeignKey("clips.id", ondelete="CASCADE"), index=True)
    value: Mapped[int]
    preferred: Mapped[str] = mapped_column(default="")
    created: Mapped[datetime] = mapped_column(default=now)
