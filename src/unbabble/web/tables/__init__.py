"""The tables, one file for each room that keeps something."""

import pkgutil
from importlib import import_module

from sqlalchemy import MetaData


def all_tables() -> MetaData:
    """Of every file here."""
    from unbabble.web.tables.base import Base

    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return Base.metadata
