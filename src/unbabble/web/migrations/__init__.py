"""The tables' history, by Alembic."""
