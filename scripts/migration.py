"""Write the migration of the site's database that the tables need since the last one.

    python scripts/migration.py "Recordings say in which room they were made"

Look at what it wrote: a column that was renamed looks like one that went and one that came.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

import unbabble.web.migrations
from unbabble.web.database import Database


def main(message: str) -> None:
    """Compare an empty database, brought up to date, with the tables."""
    folder = Path(unbabble.web.migrations.__file__).parent
    with tempfile.TemporaryDirectory() as place:
        database = Database(f"sqlite:///{place}/empty.db")
        database.migrate()
        config = Config()
        config.set_main_option("script_location", str(folder))
        number = 1 + len(list((folder / "versions").glob("[0-9]*.py")))
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
        database.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Say in a few words what changes.")
    main(sys.argv[1])
