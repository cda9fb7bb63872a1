"""What people make of the talkers of a meeting; what was decided by the voices stays in the job's output."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.tables.base import Base


class Talker(Base):
    """What talker number ``talker`` of a meeting, from 0, is called, and with whom they are one person.

    ``job_id`` is the job that said who speaks when. ``name`` is None for the name by which the job calls them;
    ``same_as`` the number of another talker, None for nobody.
    """

    __tablename__ = "talkers"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    talker: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None]
    same_as: Mapped[int | None]
