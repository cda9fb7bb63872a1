"""What all tables share."""

import secrets
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase

from unbabble.web.database import Moment

KEY_BYTES = 12
"""Of keys, which are also what strangers would have to guess."""
KEY = String(32)


class Base(DeclarativeBase):
    """Text is ``Text``, times are in UTC, dictionaries and lists are JSON."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: Moment(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


def new_key() -> str:
    """An identifier that cannot be guessed."""
    return secrets.token_urlsafe(KEY_BYTES)
