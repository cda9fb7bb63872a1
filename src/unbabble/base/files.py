"""Files that appear under their name only when they are complete."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unbabble.base.errors import OutputError

PARTIAL_SUFFIX = ".partial"


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` on success, remove it on any failure.

    Missing folders are made.

    Raises:
        OutputError: the file cannot be written (no permission, disk full, a folder of that name).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"Cannot write '{path}': {reason}.") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left in ``folder``: files that never got their name."""
    for leftover in folder.glob(f".*{PARTIAL_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def writable_folder(folder: str | os.PathLike[str]) -> Path:
    """Make ``folder`` if needed and check that files can be put there.

    Raises:
        OutputError: they cannot, and why.
    """
    folder = Path(folder)
    probe = folder / f".unbabble.{os.getpid()}{PARTIAL_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"Cannot write to folder '{folder}': it is a file.") from error
    except OSError as error:
        raise OutputError(f"Cannot write to folder '{folder}': {error.strerror or error}.") from error
    return folder


def user_cache() -> Path:
    """Folder for what can be made again: ``UNBABBLE_CACHE``, or where this system keeps caches."""
    if given := os.environ.get("UNBABBLE_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return caches / "unbabble"


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
