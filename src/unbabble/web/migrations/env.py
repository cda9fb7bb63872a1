"""Alembic's entry: migrations run on the connection that ``Database.migrate`` gives."""

from typing import Any, Literal

from alembic import context

from unbabble.web.database import Moment
from unbabble.web.tables import all_tables


def _plain(kind: str, thing: Any, _: Any) -> str | Literal[False]:
    """Migrations name no classes of ours, which may change."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(thing, Moment) else False


connection = context.config.attributes.get("connection")
assert connection is not None, "run migrations by unbabble.web.database.Database.migrate"
context.configure(
    connection=connection,
    target_metadata=all_tables(),
    render_as_batch=True,
    compare_type=True,
    render_item=_plain,
)
with context.begin_transaction():
    context.run_migrations()
