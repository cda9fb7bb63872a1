"""Recordings that browsers have sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class Upload(Base):
    """One file. ``state``: ``open`` while it arrives, then ``stored``, or ``refused`` with the reason in ``error``.

    What was sent is stored under ``key`` as it was; ``heard_key`` is the same as FLAC, made by the decoder, which
    everything else reads.
    """

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="open")
    error: Mapped[str | None]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    key: Mapped[str | None]
    heard_key: Mapped[str | None]
    sample_rate: Mapped[int | None]
    channels: Mapped[int | None]
    seconds: Mapped[float | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime] = mapped_column(default=now)
    expires: Mapped[datetime | None] = mapped_column(index=True)
