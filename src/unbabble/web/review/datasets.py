"""Data sets that administrators ask for on the page: made by the queue (kind ``export``), served when they are whole.

A job's parameters are ``title``, ``campaign``, ``layout``, ``shards``, ``seed``, ``dev``, ``test`` and ``secret``, by
which the worker knows that its pseudonyms are the site's. Its output is one tar file; its result says what is in it.
One who withdraws takes every data set along that holds a recording of theirs.
"""

import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError
from unbabble.web.database import Database
from unbabble.web.review.export import How, Written, export
from unbabble.web.review.reviewing import gone
from unbabble.web.review.shards import TarSink, open_tar
from unbabble.web.review.splits import SPLITS, fingerprint
from unbabble.web.review.takes import Choice, find_takes
from unbabble.web.storage import Storage

MOST_TURNS = 5
"""In each of which somebody withdrew."""


def make(
    parameters: dict[str, Any],
    database: Database,
    storage: Storage,
    secret: bytes,
    folder: Path,
    progress: Callable[[float], None],
) -> tuple[dict[str, Any], Path]:
    """Do a job.

    Args:
        parameters: of the job.
        database: the site's.
        storage: the site's.
        secret: the site's.
        folder: for what is made.
        progress: called with the share that is done.

    Returns:
        The job's result, and the tar file.

    Raises:
        InputError: nothing to export, or the worker does not know the site's secret.
    """
    if not hmac.compare_digest(parameters["secret"], fingerprint(secret)):
        raise InputError("This worker has another secret than the site: give both the same UNBABBLE_SECRET.")
    how = How(parameters["title"], parameters["layout"], parameters["shards"], seed=parameters["seed"])
    choice = Choice(*(parameters[name] for name in ("campaign", "seed", "dev", "test")))
    name = file_name(how.title)
    path = folder / f"{name}.tar"

    def once() -> Written:
        takes, consents = find_takes(database, secret, choice)
        with open_tar(path) as archive:
            return export(takes, consents, how, storage, TarSink(archive, name), folder, progress)

    return summary(without_withdrawn(database, once)), path


def without_withdrawn(database: Database, once: Callable[[], Written]) -> Written:
    """Export, and again if somebody withdraws meanwhile.

    Raises:
        InputError: people withdraw all the time.
    """
    for _ in range(MOST_TURNS):
        written = once()
        if not gone(database, written.lines):
            return written
    raise InputError("Recordings are being withdrawn while they are exported: try again later.")


def summary(written: Written) -> dict[str, Any]:
    """What an export holds, in numbers, and which contributions."""
    lines = list(written.lines.values())
    return {
        "contributions": sorted(written.lines),
        "recordings": len(lines),
        "seconds": sum(line["seconds"] for line in lines),
        "contributors": len({line["recipe"]["contributor"] for line in lines}),
        "splits": {split: sum(line["split"] == split for line in lines) for split in SPLITS},
        "missing": sorted(set(written.missing.values())),
    }


def file_name(title: str) -> str:
    """Of a data set with this title.

    >>> file_name("Über Röhren/../ 2")
    'ber-R-hren-2'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:60] or "dataset"
