"""Files that appear under their name only when they are complete."""

import errno
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError, OutputError
from unbabble.base.inputs import SUFFIXES

PARTIAL_SUFFIX = ".partial"
DEMO_FOLDER = Path(__file__).parent.parent / "demo"
"""The recording that comes with the package, and its three true voices."""
STANDARD_FILES = {"stdin": 0, "stdout": 1, "stderr": 2}
PROBE_BYTES = 2**20
ABANDONED_SECONDS = 24 * 3600.0
"""What nobody has touched for so long, nobody makes any more."""


def read_text(path: Path) -> str:
    """All of a text in UTF-8, with or without a mark of that at its beginning.

    Raises:
        InputError: it is missing, cannot be read, or is no such text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is no text in UTF-8.") from error
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}'.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it to ``path`` on success, remove it on any failure.

    Missing folders are made. A device, a pipe or an open file (``/dev/stdout``, ``/dev/null``) is never replaced: what
    was written under the temporary name is written to it.

    Raises:
        OutputError: the file cannot be written (no permission, disk full, a folder of that name).
    """
    path = Path(path)
    stream = is_stream(path)
    folder = Path(tempfile.gettempdir()) if stream else path.parent
    temporary = folder / partial_name(path.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield temporary
        if stream:
            _pour(temporary, path)
        else:
            os.replace(temporary, path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a device, a pipe or a file that this process has open, which no other file can replace."""
    return _descriptor(path) is not None or (path.exists() and not (path.is_file() or path.is_dir()))


def _descriptor(path: Path) -> int | None:
    """The number of the open file that ``path`` names."""
    name = re.fullmatch(r"/dev/(stdin|stdout|stderr)|(?:/dev|/proc/self)/fd/(\d+)", os.path.abspath(path))
    if name is None:
        return None
    return STANDARD_FILES[name[1]] if name[1] else int(name[2])


def _pour(source: Path, stream: Path) -> None:
    """Write the content of ``source`` to ``stream``, behind what this process has written there."""
    for file in (sys.stdout, sys.stderr):
        if file is not None:
            file.flush()
    number = _descriptor(stream)
    opened = stream.open("wb") if number is None else os.fdopen(os.dup(number), "wb")
    with source.open("rb") as content, opened as file:
        shutil.copyfileobj(content, file)


def check_output(path: str | os.PathLike[str] | None) -> None:
    """Check that a file can be written, before any work; nothing is left behind, and None is fine.

    Raises:
        OutputError: it cannot, and why: a folder of that name, a folder that is a file, no permission, a full disk, the
            name of a recording, which would be lost.
    """
    if path is None:
        return
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        raise OutputError(f"Cannot write '{path}': it is called like a recording.")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        above = next(each for each in path.absolute().parents if each.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"'{above}' is not a folder")
        probe = above / partial_name("unbabble")
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise OutputError(f"Cannot write '{path}': {error.strerror or error}.") from error


def check_not_read(path: Path | None, read: Iterable[str | os.PathLike[str]]) -> None:
    """Check that an output is none of the files that are ``read``; None is fine.

    Raises:
        OutputError: it is one, which would be lost.
    """
    if path is not None and os.path.realpath(path) in {os.path.realpath(each) for each in read}:
        raise OutputError(f"Cannot write '{path}': it is read here, and would be lost.")


def check_not_inside(folders: Iterable[Path], others: Iterable[str | os.PathLike[str]]) -> None:
    """Check that no other file lies, or is going to, in a folder for results, which may be called as it is.

    Raises:
        OutputError: one does, and one of both would be lost.
    """
    places = {os.path.realpath(folder): folder for folder in folders}
    for each in others:
        for above in Path(os.path.realpath(each)).parents:
            if folder := places.get(str(above)):
                raise OutputError(
                    f"Results go to folder '{folder}': '{each}' cannot lie there, as one might replace the other."
                )


def check_apart(*paths: Path | None) -> None:
    """Check that no two outputs of one command are the same file; None is fine.

    Raises:
        OutputError: they are, and the first one would be lost.
    """
    places = [os.path.realpath(path) for path in paths if path is not None and not is_stream(path)]
    if twice := [place for place in places if places.count(place) > 1]:
        raise OutputError(f"Cannot write '{twice[0]}' twice: two results have this name.")


def partial_name(name: str) -> str:
    """A hidden name for what is to be called ``name`` when it is complete; it says which process makes it."""
    return f".{name}{partial_suffix()}"


def partial_suffix() -> str:
    """The end of such names, by which ``remove_partial`` knows whether the process still runs."""
    return f".{_host()}.{os.getpid()}{PARTIAL_SUFFIX}"


def _host() -> str:
    return re.sub(r"\W", "-", platform.node()) or "here"


def remove_partial(folder: str | os.PathLike[str]) -> None:
    """Remove what a killed run left in ``folder``: files and folders that never got their name.

    What a process on another machine makes is left alone for a day.
    """
    for leftover in Path(folder).glob(f".*{PARTIAL_SUFFIX}"):
        if not _is_abandoned(leftover):
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _is_abandoned(partial: Path) -> bool:
    maker = re.search(r"\.([^.]+)\.(\d+)$", partial.name.removesuffix(PARTIAL_SUFFIX))
    try:
        if maker is None or maker[1] != _host() or os.name != "posix":
            return time.time() - partial.stat().st_mtime > ABANDONED_SECONDS
        os.kill(int(maker[2]), 0)
    except (ProcessLookupError, FileNotFoundError, OverflowError):
        return True
    except PermissionError:  # it runs, for somebody else
        return False
    return False


def writable_folder(folder: str | os.PathLike[str]) -> Path:
    """Make ``folder`` if needed and check that files can be put there.

    Raises:
        OutputError: they cannot, and why.
    """
    folder = Path(folder)
    probe = folder / partial_name("unbabble")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"Cannot write to folder '{folder}': it is a file.") from error
    except OSError as error:
        raise OutputError(f"Cannot write to folder '{folder}': {error.strerror or error}.") from error
    return folder


def why_unwritable(folder: Path) -> str:
    """Why no more can be written in ``folder``, where a library does not say; empty where more can."""
    probe = folder / partial_name("unbabble")
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return ""


def native(path: str | os.PathLike[str]) -> Any:
    """The name of a file as libraries in C take it, whether it is UTF-8 or not."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


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
        temporary.write_bytes(as_utf8(text + "\n"))


def as_utf8(text: str) -> bytes:
    """``text`` in UTF-8; what is no UTF-8 in the names of files becomes escapes, which JSON reads as they were."""
    return text.encode("utf-8", "backslashreplace")
