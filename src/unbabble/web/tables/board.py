"""What the room "Leaderboard" keeps: test sets, and how systems did on them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class TestSet(Base):
    """Mixtures that systems are compared on.

    ``slug`` is its address (``/leaderboard/SLUG``). ``state``: ``preparing`` while a job reads what an administrator
    sent, ``open`` (anyone may send outputs), ``closed``, or ``failed`` with the reason in ``error``. ``synthetic``:
    whether the true voices are known. ``talkers`` voices are expected of each of its ``items`` (names). ``key`` holds
    mixtures and true voices, ``mixtures_key`` the mixtures alone, both zip; None for a set whose numbers were made
    elsewhere. ``study_slug`` names the listening study whose opinions are shown, empty if there is none. ``made`` says
    how the set, or its loaded numbers, came to be.
    """

    __test__ = False  # to pytest
    __tablename__ = "test_sets"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    licence: Mapped[str] = mapped_column(default="")
    synthetic: Mapped[bool]
    talkers: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="preparing")
    error: Mapped[str | None]
    items: Mapped[list[Any]] = mapped_column(default=list)
    seconds: Mapped[float] = mapped_column(default=0.0)
    key: Mapped[str | None]
    mixtures_key: Mapped[str | None]
    mixtures_bytes: Mapped[int | None] = mapped_column(BigInteger)
    study_slug: Mapped[str] = mapped_column(String(64), default="")
    made: Mapped[dict[str, Any]] = mapped_column(default=dict)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    created: Mapped[datetime] = mapped_column(default=now)

    entries: Mapped[list["Entry"]] = relationship(back_populates="test_set", passive_deletes=True)


class Entry(Base):
    """A system on a test set.

    ``kind``: ``baseline``, ``submission`` or ``loaded``. ``state``: ``waiting`` for its job, ``scored``, or ``failed``.
    Shown to everybody once ``published``. ``contact`` is for administrators alone. ``scores``: for each metric
    ``{"mean", "low", "high", "count"}`` (``leaderboard/board.py``). ``items``: scores of each recording. ``made``: how
    these numbers came to be.
    """

    __tablename__ = "board_entries"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    set_id: Mapped[str] = mapped_column(ForeignKey("test_sets.id", ondelete="CASCADE"), index=True)
    system: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    link: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    contact: Mapped[str] = mapped_column(default="")
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    error: Mapped[str | None]
    published: Mapped[bool] = mapped_column(default=False)
    scores: Mapped[dict[str, Any]] = mapped_column(default=dict)
    items: Mapped[dict[str, Any]] = mapped_column(default=dict)
    made: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)

    test_set: Mapped[TestSet] = relationship(back_populates="entries", lazy="joined")
