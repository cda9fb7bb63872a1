"""What the room "Review" keeps besides its decisions, which stand in the contributions themselves."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from unbabble.web.tables.base import KEY, Base


class Judgement(Base):
    """That a contribution is being separated and scored, by the job ``job_id``.

    ``settled``: its score stands in the contribution. One without a contribution is what a withdrawal has left: its job
    goes, with the voices.
    """

    __tablename__ = "judgements"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    contribution_id: Mapped[str | None] = mapped_column(
        KEY, ForeignKey("contributions.id", ondelete="SET NULL"), unique=True
    )
    settled: Mapped[bool] = mapped_column(default=False, index=True)
