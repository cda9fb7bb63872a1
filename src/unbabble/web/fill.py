"""Fill a listening study from a folder on the server, without uploading it:

    python -m unbabble.web.fill STUDY FOLDER [--data DIR] [--database URL] [--storage URL]

STUDY is the last part of its address; FOLDER has one of the layouts of ``layouts``. The study must be a draft. Options
are those of ``unbabble serve``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from unbabble.base.errors import InputError, UnbabbleError
from unbabble.web.database import Database
from unbabble.web.settings import Settings
from unbabble.web.storage import Storage
from unbabble.web.studies import Progress, fill
from unbabble.web.tables.rate import Study


def fill_from_folder(database: Database, settings: Settings, slug: str, folder: Path) -> Progress:
    """Take all recordings in ``folder`` into the draft at this address.

    Raises:
        InputError: there is no such draft or folder, or what is in it cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.")
    with database.reading() as session:
        study = session.scalar(select(Study).where(Study.slug == slug, Study.state == "draft"))
    if study is None:
        raise InputError(
            f"There is no draft '{slug}': make the study first, and fill it before it is opened."
        )
    return fill(database, Storage(settings.storage), settings, study, folder, seconds=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m unbabble.web.fill")
    parser.add_argument("study")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("unbabble-data"))
    parser.add_argument("--database")
    parser.add_argument("--storage")
    given = parser.parse_args(arguments)
    try:
        settings = Settings.of(given.data, given.database, given.storage)
        database = Database(settings.database)
        database.migrate()
        progress = fill_from_folder(database, settings, given.study, given.folder)
        database.close()
    except UnbabbleError as error:
        print(error, file=sys.stderr)
        return 1
    for name in progress.left_out:
        print(f"Left out, not understood: {name}", file=sys.stderr)
    print(f"{progress.total} groups of recordings are in the study.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
