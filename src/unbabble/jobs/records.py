"""Folders of results, one for each recording, and what is recorded in them (``unbabble.json``).

The record says whose results these are, what made them, and of which content. So the next run finds the folder of its
recording, skips what is done, and never puts the results of one recording in the place of another's.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError, OutputError
from unbabble.base.files import partial_name, write_json
from unbabble.base.inputs import RECORD_NAME, STDIN
from unbabble.base.report import FileReport, plain, timestamp, versions

DIGITS = 8
"""Of a digest, in the name of a folder."""
UNFINISHED = "unfinished"


class ResultFolders:
    """Which folder in ``out`` is for which recording.

    A recording keeps the folder that it has. A new one gets a folder called by its own name, or, where that belongs to
    another recording or another command, by its name and a digest of its path (of standard input, of its content). So
    several recordings get the names that one run for each would have given them.

    Args:
        out: the folder of these folders.
        command: the verb; what another verb made of the same recording is not touched.
    """

    def __init__(self, out: str | os.PathLike[str], command: str) -> None:
        self.out, self.command = Path(out), command
        self._taken: set[str] = set()
        self._by_path = folders_by_recording(self.out, command)

    def of(self, path: Path | None, stem: str, *, spooled: bool = False, again: bool = False) -> Path:
        """The folder for a recording; no two calls give the same.

        Args:
            path: of the recording; None for what is only just arriving.
            stem: what its results are called, if that is free.
            spooled: its path says nothing: it is known by its content alone.
            again: what is only just arriving may replace what has arrived by the same way.
        """
        known = None if path is None or spooled else self._by_path.get(os.path.realpath(path))
        if known is not None and self._take(known):
            return known
        for name in self._names(path, stem, spooled):
            folder = self.out / name
            if self._open_to(folder, None if spooled else path, path, again) and self._take(folder):
                return folder
        raise AssertionError("names never end")

    def _names(self, path: Path | None, stem: str, spooled: bool) -> Iterator[str]:
        yield stem
        if path is not None:
            try:
                mark = (
                    sha256(path)
                    if spooled
                    else hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
                )
                yield f"{stem}-{mark[:DIGITS]}"
                yield f"{stem}-{self.command}-{mark[:DIGITS]}"
            except OSError:
                pass  # what cannot be read fails by itself, later
        yield from (f"{stem}-{number}" for number in count(2))

    def _open_to(self, folder: Path, place: Path | None, content: Path | None, again: bool) -> bool:
        if is_free(folder):
            return True
        record = read_record(folder)
        if not record or record.get("command", self.command) != self.command:
            return False
        return again if content is None else is_of(record, place, content)

    def _take(self, folder: Path) -> bool:
        name = folder.name.casefold()
        if name in self._taken:
            return False
        self._taken.add(name)
        return True


def folders_by_recording(out: Path, command: str | None = None) -> dict[str, Path]:
    """The real place of each recording whose results are in ``out``, and their folder; of one ``command`` or any."""
    folders: dict[str, Path] = {}
    for folder in sorted(each for each in out.glob("*") if each.is_dir()):
        record = read_record(folder)
        place = (record.get("source") or {}).get("path")
        if place and command in (None, record.get("command")):
            folders.setdefault(place, folder)
    return folders


def is_free(folder: Path) -> bool:
    """Whether nothing is in ``folder`` that anybody could miss."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(each.name.startswith(".") for each in folder.iterdir())


def is_of(record: Mapping[str, Any], place: Path | None, content: Path) -> bool:
    """Whether ``record`` is of the recording in ``place``, or of one that has the same content."""
    source = record.get("source") or {}
    here = place is not None and source.get("path") == os.path.realpath(place)
    return here or _same_content(content, source)


def done_before(folder: Path, path: Path, config: Mapping[str, Any]) -> FileReport | None:
    """The record of an earlier run, if it did the same to the same content and its results are still there."""
    record = read_record(folder)
    if record.get("outcome") != "done" or record.get("config") != plain(config):
        return None
    names = record.get("outputs") or []
    if not all((folder / name).is_file() for name in names) or not _same_content(
        path, record.get("source") or {}
    ):
        return None
    known = {name: record[name] for name in FileReport.__dataclass_fields__ if name in record}
    outputs = [str(folder / name) for name in names]
    return FileReport(**known | {"outcome": "skipped", "outputs": outputs, "seconds": 0.0})


@contextmanager
def in_the_making(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` for results that are not complete; what is in it at the end is removed.

    Raises:
        OutputError: it cannot be written to; sentences speak of ``folder``.
    """
    temporary = folder.with_name(partial_name(folder.name))
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise OutputError(f"Cannot write to folder '{folder}': {error.strerror or error}.") from error
    except OutputError as error:
        raise OutputError(str(error).replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def keep(
    temporary: Path, folder: Path, path: Path, command: str, config: Mapping[str, Any], report: FileReport
) -> None:
    """Put complete results in the place of earlier ones of the same recording, and record what they are.

    Args:
        temporary: where they are; the outputs of ``report`` lie there, and afterwards in ``folder``.
        folder: where they belong.
        path: of the recording.
        command: the verb.
        config: all that decided.
        report: what was done.

    Raises:
        OutputError: another run has put results of another recording there meanwhile.
    """
    if not is_free(folder) and not is_of(read_record(folder), path, path):
        raise OutputError(f"Folder '{folder}' was taken by another run meanwhile: run this again.")
    report.outputs = [str(folder / os.path.relpath(output, temporary)) for output in report.outputs]
    forget(folder)
    record_done(folder, path, command, config, report)  # first, so that the folder has an owner from now on
    for each in [each for each in temporary.rglob("*") if each.is_file()]:
        place = folder / each.relative_to(temporary)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(each, place)


def claim(folder: Path, path: Path | None, command: str) -> None:
    """Make ``folder`` ready for results that come one by one, and say there whose they will be.

    Raises:
        OutputError: it cannot be written to.
    """
    forget(folder)
    content = {"command": command, "outcome": UNFINISHED, "source": _identity(folder, path)}
    write_json(folder / RECORD_NAME, content)


def release(folder: Path) -> None:
    """Give up a claim to ``folder`` where nothing came."""
    record = read_record(folder)
    if record.get("outcome") == UNFINISHED and "outputs" not in record:
        (folder / RECORD_NAME).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def record_done(
    folder: Path,
    path: Path | None,
    command: str,
    config: Mapping[str, Any],
    report: FileReport,
    *,
    whole: bool = True,
) -> None:
    """Say in ``folder`` what was done, so that ``done_before`` finds it; unless it is not the ``whole`` recording.

    Raises:
        OutputError: it cannot be written.
    """
    names = [os.path.relpath(output, folder) for output in report.outputs]
    content = report.to_dict() | {"command": command, "outputs": names, "config": plain(config)}
    content |= {"source": _identity(folder, path, spooled=report.input == STDIN)}
    content |= {} if whole else {"outcome": UNFINISHED}
    write_json(folder / RECORD_NAME, content | {"versions": versions(), "finished": timestamp()})


def forget(folder: Path) -> None:
    """Remove an earlier run's record and results, before new ones are written."""
    record = read_record(folder)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    for name in record.get("outputs") or []:
        path = Path(os.path.normpath(folder / name)) if isinstance(name, str) else folder
        if path.is_relative_to(folder) and path.is_file():
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def read_record(folder: Path) -> dict[str, Any]:
    """What an earlier run says it did in ``folder``; empty where there was none."""
    try:
        content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def recording_of(folder: Path) -> Path | None:
    """The recording whose results are in ``folder``, if it is still there, or was moved together with them."""
    record = read_record(folder)
    source = record.get("source") or {}
    places = [source.get("path"), source.get("relative") and folder / source["relative"], record.get("input")]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def digests(names: Iterable[Any]) -> dict[str, str]:
    """SHA-256 of every file that is named, in text (with commas, several), paths, lists or mappings.

    Of a folder, that of all files in it. What names no file is left out.

    Raises:
        InputError: a file that cannot be read.
    """
    named: dict[str, str] = {}
    for value in names:
        if isinstance(value, Mapping):
            named |= digests(value.values())
        elif isinstance(value, list | tuple):
            named |= digests(value)
        elif isinstance(value, str | Path):
            parts = value.split(",") if isinstance(value, str) else []
            for name in dict.fromkeys([str(value), *parts]):
                if name and Path(name).expanduser().exists():
                    named[name] = digest(Path(name).expanduser())
    return named


def digest(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder and their names.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if not path.is_dir():
            return sha256(path)
        parts = [
            (str(each.relative_to(path)), sha256(each)) for each in sorted(path.rglob("*")) if each.is_file()
        ]
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    return hashlib.sha256(os.fsencode(json.dumps(parts))).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file, computed once while it stays the same.

    Raises:
        OSError: it cannot be read.
    """
    return _sha256(path.absolute(), _stamp(path))


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written to, even where its time of modification is set back."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=4096)
def _sha256(path: Path, stamp: tuple[int, int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(folder: Path, path: Path | None, *, spooled: bool = False) -> dict[str, Any]:
    """What the recording holds, and, unless it came by standard input, where it is, also as seen from its results."""
    if path is None:
        return {}
    content = {"stamp": list(_stamp(path)), "sha256": sha256(path)}
    if spooled:
        return content
    place = os.path.realpath(path)
    try:
        relative = os.path.relpath(place, os.path.realpath(folder))
    except ValueError:  # on another drive
        relative = None
    return {"path": place, "relative": relative} | content


def _same_content(path: Path, source: Mapping[str, Any]) -> bool:
    """Whether ``path`` holds what a record says; read only where it was touched since, or lay elsewhere."""
    try:
        here = source.get("path") == os.path.realpath(path)
        return (here and list(_stamp(path)) == source.get("stamp")) or sha256(path) == source.get("sha256")
    except OSError:
        return False
