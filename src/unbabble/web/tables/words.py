"""What people correct of the words that a job has written down; what was recognised stays in the job's output."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.tables.base import Base


class Correction(Base):
    """That word number ``word`` of voice number ``voice``, both from 0, is really ``text``.

    It may be several words, or none where nothing was said. ``job_id`` is the job that wrote it down.
    """

    __tablename__ = "corrections"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    voice: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    word: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
