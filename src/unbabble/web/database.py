"""The site's database: SQLite or PostgreSQL, by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Engine, TypeDecorator, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from unbabble.base.errors import InputError, UsageError

BUSY_SECONDS = 30.0
CONNECTIONS = 40


class Database:
    """Short transactions: ``reading()`` ones see a state, ``writing()`` ones change it and commit at their end.

    Args:
        url: of SQLAlchemy: ``sqlite:///path``, ``postgresql://user@host/name``.

    Raises:
        UsageError: not such a URL.
    """

    def __init__(self, url: str) -> None:
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            if url.startswith("sqlite"):
                self.engine = create_engine(
                    url, connect_args={"timeout": BUSY_SECONDS}, pool_size=CONNECTIONS
                )
                _prepare_sqlite(self.engine)
            else:
                self.engine = create_engine(
                    url, pool_pre_ping=True, pool_size=CONNECTIONS // 2, max_overflow=CONNECTIONS // 2
                )
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise UsageError(f"'{url}' is no database: give sqlite:///PATH or postgresql://...") from error
        self._writing = self.engine.execution_options(writes=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that changes nothing; what it returns can be used afterwards."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is committed at the end, or undone by an exception."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the tables to what this version needs.

        Raises:
            InputError: the database cannot be reached, or is newer than this version.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "unbabble.web:migrations")
        try:
            with self.engine.connect() as connection, _unchecked(connection), connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise InputError(f"The database was made by another version of Unbabble ({error}).") from error
        except SQLAlchemyError as error:
            raise InputError(f"The database cannot be used: {_reason(error)}.") from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class Moment(TypeDecorator[datetime]):
    """A time in UTC, which SQLite forgets."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """In UTC, whatever the server's time zone is."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)


def _prepare_sqlite(engine: Engine) -> None:
    """Readers beside one writer, who takes the lock at once: a reader that turned writer could not wait for it."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _unchecked(connection: Connection) -> Iterator[None]:
    """Without SQLite's care for foreign keys: a migration makes a table anew there, and what refers to the rows of the
    old one would go with it. It cannot be switched off in a transaction."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _reason(error: SQLAlchemyError) -> str:
    text = str(getattr(error, "orig", None) or error)
    return text.strip().split("\n")[0].rstrip(".")
