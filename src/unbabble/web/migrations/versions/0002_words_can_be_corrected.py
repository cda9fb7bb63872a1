"""Words can be corrected"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "corrections",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("voice", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("word", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_corrections_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "voice", "word", name=op.f("pk_corrections")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("of_id", sa.String(length=32), nullable=True))
        batch_op.create_index(batch_op.f("ix_jobs_of_id"), ["of_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_jobs_of_id_jobs"), "jobs", ["of_id"], ["id"], ondelete="CASCADE"
        )


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_jobs_of_id_jobs"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_jobs_of_id"))
        batch_op.drop_column("of_id")
    op.drop_table("corrections")
