"""Files that are to go: doomed in the transaction that lets go of them, deleted afterwards, whatever ends in between.

What is about to be stored is doomed first and spared in the transaction that makes it visible: so what a killed process
has stored does not stay for ever.
"""

import logging
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from unbabble.web.database import Database, now
from unbabble.web.storage import Storage
from unbabble.web.tables.jobs import Doomed

logger = logging.getLogger(__name__)
MOST_AT_ONCE = 1000


def doom(session: Session, keys: Iterable[str | None], due: datetime | None = None) -> None:
    """Delete what is stored under ``keys``, once this transaction is committed and ``due`` has come (now)."""
    for key in {key for key in keys if key}:
        session.merge(Doomed(key=key, due=due or now()))


def spare(session: Session, keys: Iterable[str]) -> None:
    """Keep what was doomed."""
    session.execute(delete(Doomed).where(Doomed.key.in_(list(keys))))


def sweep(database: Database, storage: Storage) -> int:
    """Delete what is due; what cannot be deleted now is left for later. Returns how many files are gone."""
    with database.reading() as session:
        keys = session.scalars(select(Doomed.key).where(Doomed.due <= now()).limit(MOST_AT_ONCE)).all()
    gone = []
    for key in keys:
        try:
            storage.delete(key)
        except OSError as error:
            logger.warning("A file that is due cannot be deleted yet: %s", error.strerror)
        else:
            gone.append(key)
    if gone:
        with database.writing() as session:
            spare(session, gone)
    return len(gone)
