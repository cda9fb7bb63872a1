"""The queue of long work, and stored files that are to go."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class Job(Base):
    """One piece of long work. ``state``: ``waiting``, ``running``, ``done``, ``failed`` (why is in ``error``).

    ``due`` is when it may be taken: a waiting one from then on, a running one if its worker has been silent until
    then. ``lease`` is what that worker proves itself by. ``turn`` is its place in the fair order. ``outputs`` are files
    in the storage (name, key, bytes), there when the state is ``done`` and never before. ``of_id`` is the job whose
    outputs this one is about: it is shown with that one, and goes with it.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_turn", "state", "turn"),)

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    of_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    inputs: Mapped[list[Any]] = mapped_column(default=list)
    turn: Mapped[int] = mapped_column(default=0)
    due: Mapped[datetime] = mapped_column(default=now)
    lease: Mapped[str | None] = mapped_column(String(32))
    worker: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float | None]
    stage: Mapped[str] = mapped_column(default="")
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    outputs: Mapped[list[Any]] = mapped_column(default=list)
    error: Mapped[str | None]
    share: Mapped[str | None] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(default=now)
    started: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    expires: Mapped[datetime | None] = mapped_column(index=True)


class Doomed(Base):
    """A file in the storage that is to be deleted, from ``due`` on."""

    __tablename__ = "doomed"

    key: Mapped[str] = mapped_column(primary_key=True)
    due: Mapped[datetime] = mapped_column(default=now, index=True)
