"""Alembic's entry: migrations run on the connection that ``Database.migrate`` gives."""

from alembic import context

from unbabble.web.tables import all_tables

connection = context.config.attributes.get("connection")
assert connection is not None, "run migrations by unbabble.web.database.Database.migrate"
context.configure(
    connection=connection, target_metadata=all_tables(), render_as_batch=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
