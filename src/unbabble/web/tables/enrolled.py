"""People whose voices are known by name."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.database import now
from unbabble.web.tables.base import KEY, Base, new_key


class EnrolledVoice(Base):
    """A person whom talkers of meetings can be named after.

    It is an account's (``user_id``) or, without one, a browser's (``visit_id``); where both are gone, it is to be
    deleted. All that is kept of the voice are the outputs of ``job_id``: see ``web/work/enroll.py``. ``consent`` is the
    text to which the person agreed, by the word of who enrolled them, and ``keeps_recording`` whether it allows more
    than the print.
    ``settled``: the job has ended, and recordings that were sent for it are deleted.
    """

    __tablename__ = "enrolled_voices"

    id: Mapped[str] = mapped_column(KEY, primary_key=True, default=new_key)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    visit_id: Mapped[str | None] = mapped_column(ForeignKey("visits.id", ondelete="SET NULL"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), unique=True)
    name: Mapped[str]
    keeps_recording: Mapped[bool]
    consent: Mapped[str]
    settled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime] = mapped_column(default=now)
