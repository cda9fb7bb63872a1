"""Where recordings lie: a folder, or whatever fsspec reaches (``s3://bucket/folder``, ``memory://``)."""

import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from unbabble.base.errors import InputError, UsageError

KEY = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
PARTIAL = ".partial"


class Storage:
    """Files by key; one appears under its key only when it is whole.

    Args:
        url: folder or fsspec URL.

    Raises:
        UsageError: no such kind of storage, or one whose library is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self.files, self.root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UsageError(f"Recordings cannot be kept in '{url}': {error}.") from error
        self.root = self.root.rstrip("/")

    def put(self, key: str, source: Path) -> None:
        """Store a copy of ``source``.

        Raises:
            OSError: it cannot be written: no space, no permission, nobody there.
        """
        path = self._path(key)
        partial = f"{path}{PARTIAL}"
        self.files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        try:
            if isinstance(self.files, LocalFileSystem):
                shutil.copyfile(source, partial)
                with open(partial, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(partial, path)
                sync_folder(Path(path).parent)
            else:
                self.files.put_file(os.fspath(source), partial)
                self.files.mv(partial, path)
        except BaseException:
            if self.files.exists(partial):
                self.files.rm_file(partial)
            raise

    def fetch(self, key: str, target: Path) -> Path:
        """Copy what is stored to ``target``.

        Raises:
            InputError: there is nothing under this key.
        """
        try:
            self.files.get_file(self._path(key), os.fspath(target))
        except FileNotFoundError:
            raise InputError("This recording is no longer there.") from None
        return target

    def open(self, key: str) -> BinaryIO:
        """What is stored, for reading.

        Raises:
            InputError: there is nothing under this key.
        """
        try:
            return self.files.open(self._path(key), "rb")
        except FileNotFoundError:
            raise InputError("This recording is no longer there.") from None

    def local(self, key: str) -> Path | None:
        """The file itself, where it lies on this machine."""
        return Path(self._path(key)) if isinstance(self.files, LocalFileSystem) else None

    def size(self, key: str) -> int | None:
        """In bytes; None where there is nothing."""
        try:
            return self.files.size(self._path(key))
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove one file; what is not there is no error."""
        path = self._path(key)
        if self.files.exists(path):
            self.files.rm_file(path)

    def _path(self, key: str) -> str:
        if not KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        return f"{self.root}/{key}"


def sync_folder(folder: Path) -> None:
    """So that a name survives the machine's end, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
