"""Who uses the site: visitors by their cookie, and those with an account."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class User(Base):
    """An account. ``role`` is ``administrator`` or ``reviewer``."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime] = mapped_column(default=now)


class Visit(Base):
    """A browser: the SHA-256 of its cookie, a token against forged requests, and who has logged in."""

    __tablename__ = "visits"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    csrf: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(default=now)
    expires: Mapped[datetime] = mapped_column(index=True)

    user: Mapped[User | None] = relationship(lazy="joined")


class Event(Base):
    """What somebody with an account did: the audit log, which is only added to."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    user_name: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
