"""Make a data set of accepted contributions; what it takes and leaves: ``review.datasets``, which makes it."""

from pathlib import Path
from typing import Any

from unbabble.jobs.progress import report_progress
from unbabble.web.work.kind import Files, Kind, Result


class Export(Kind):
    """See the module."""

    name, stage = "export", "Exporting"
    of_site = True

    def do(self, folder: Path, parameters: dict[str, Any], files: Files) -> Result:
        """Export."""
        from unbabble.web.database import Database
        from unbabble.web.review.datasets import make
        from unbabble.web.storage import Storage

        def progress(share: float) -> None:
            report_progress(share, 1.0)

        settings = parameters["site"]
        database, storage = Database(settings.database), Storage(settings.storage)
        try:
            result, path = make(parameters, database, storage, settings.secret, folder, progress)
        finally:
            database.close()
        return result, [path]
