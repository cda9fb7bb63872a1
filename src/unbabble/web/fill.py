"""``unbabble fill``: a listening study from folders on the server, without uploading them."""

import sys
from pathlib import Path

from unbabble.base.errors import InputError
from unbabble.base.extras import require
from unbabble.base.words import counted
from unbabble.verbs.options import AnyPath


def fill(
    study: str,
    folder: AnyPath,
    /,
    *,
    data: AnyPath = Path("unbabble-data"),
    database: str | None = None,
    storage: str | None = None,
) -> None:
    """Fill a listening study with recordings and with what systems made of them.

    FOLDER holds mixtures/ITEM.wav and SYSTEM/ITEM/source1.wav ..., as `unbabble separate mixtures --out SYSTEM` writes
    them, and references/ITEM/source1.wav where there are true voices; or everything of an item in a folder of its own:
    ITEM/mixture.wav, ITEM/SYSTEM/source1.wav ...

    Args:
        study: Last part of the study's address; it must be a draft.
        folder: What goes into it.
        data: The site's folder.
        database: As for `unbabble serve`.
        storage: As for `unbabble serve`.

    Raises:
        InputError: there is no such draft or folder, or what is in it cannot be used.
        MissingExtraError: without the extra.
    """
    require("web")
    folder, data = Path(folder), Path(data)
    from sqlalchemy import select

    from unbabble.web.database import Database
    from unbabble.web.rate.studies import fill as take
    from unbabble.web.settings import Settings
    from unbabble.web.storage import Storage
    from unbabble.web.tables.rate import Study

    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.")
    settings = Settings.of(data, database, storage)
    store = Database(settings.database)
    store.migrate()
    with store.reading() as session:
        draft = session.scalar(select(Study).where(Study.slug == study, Study.state == "draft"))
    if draft is None:
        raise InputError(
            f"There is no draft '{study}': make the study first, and fill it before it is opened."
        )
    progress = take(store, Storage(settings.storage), settings, draft, folder, seconds=None)
    store.close()
    for name in progress.left_out:
        print(f"Left out, not understood: {name}", file=sys.stderr)
    print(f"In the study: {counted(progress.total, 'group')} of recordings.")
