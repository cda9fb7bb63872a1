"""What decides how a site runs, from the options of ``unbabble serve``."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from unbabble.base.errors import OutputError
from unbabble.base.files import writable_folder

SECRET_BYTES = 32
MEGABYTE = 1_000_000
UNTIL_INPUT_ENDS = "until-input-ends"
"""The last argument of a worker that is to end with the process which holds the other end of its standard input."""


@dataclass(frozen=True)
class Settings:
    """One site.

    Attributes:
        data: folder on this machine: what is being uploaded, the secret, and by default the rest.
        database: SQLAlchemy URL.
        storage: folder or fsspec URL, for recordings.
        address: under which browsers reach the site; with https, cookies are sent over that only.
        secret: signs work stamps and links.
        workers: processes that separate; 0 where they run elsewhere.
        kept_days: after which recordings of the studio are deleted.
        most_upload_bytes: of one file.
        most_seconds: duration of one recording.
        decode_seconds: of processor time that reading one upload may take.
        decode_bytes: of memory.
        limits: whether calls are limited by address; tests that make many switch it off.
    """

    data: Path
    database: str
    storage: str
    address: str
    secret: bytes
    workers: int = 1
    kept_days: float = 30.0
    most_upload_bytes: int = 200 * MEGABYTE
    most_seconds: float = 3600.0
    decode_seconds: float = 60.0
    decode_bytes: int = 2000 * MEGABYTE
    limits: bool = True

    @classmethod
    def of(
        cls,
        data: Path,
        database: str | None = None,
        storage: str | None = None,
        address: str = "http://127.0.0.1:8000",
        **others: float,
    ) -> "Settings":
        """With defaults inside the folder ``data``, which is made.

        Raises:
            OutputError: the folder cannot be written to.
        """
        data = writable_folder(data).absolute()
        writable_folder(data / "partial")
        return cls(
            data,
            database or f"sqlite:///{data / 'unbabble.db'}",
            storage or str(data / "recordings"),
            address.rstrip("/"),
            _secret(data / "secret"),
            **others,  # type: ignore[arg-type]
        )

    @property
    def secure(self) -> bool:
        """Whether browsers reach the site by https."""
        return self.address.startswith("https://")


def _secret(path: Path) -> bytes:
    """Made once, and kept where only this user can read it; several servers share it by ``UNBABBLE_SECRET``."""
    if given := os.environ.get("UNBABBLE_SECRET"):
        return given.encode()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
    except FileExistsError:
        pass
    except OSError as error:
        raise OutputError(f"Cannot write '{path}': {error.strerror}.") from error
    return path.read_bytes()
