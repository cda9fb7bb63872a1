"""What was typed, as a list of recordings: files, folders, globs, manifests and ``-``. Imports no torch."""

import glob
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unbabble.base.errors import InputError, UsageError

_AUDIO = "wav flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64 m4a m4b aac mka wma ac3 eac3 amr mp2"
_TRANSPORT = "ts mts"
_VIDEO = f"mp4 m4v mov webm mkv asf wmv flv avi 3gp mpg mpeg vob m2ts {_TRANSPORT}"
SUFFIXES = frozenset(f".{name}" for name in f"{_AUDIO} {_VIDEO}".split())
"""What a folder is searched for. A file that is named is read whatever its suffix."""
TRANSPORT_SUFFIXES = frozenset(f".{name}" for name in _TRANSPORT.split())
"""Of MPEG transport streams, and of TypeScript's programs."""
SYNC, PACKET_BYTES, STAMP_BYTES = 0x47, 188, 4
"""Each packet of a transport stream begins with the same byte, in camcorders' files behind a time stamp."""
MANIFEST_SUFFIXES = frozenset({".txt", ".jsonl"})
MANIFEST_KEYS = ("mixture", "path", "audio", "audio_filepath")
MIXTURE, SIMULATED = "mixture", "metadata.json"
"""What ``simulate`` calls its mixtures; where the second stands beside one, it made it."""
RECORD_NAME = "unbabble.json"
"""Where this stands, all else is the result of an earlier run."""
LONGEST_NAME = 160
"""Bytes of a folder's name; that of the folder in the making is longer, and file systems take 255."""
STDIN = "-"
MICROPHONE = "mic"
"""What ``stream`` takes for the microphones of this machine."""


@dataclass(frozen=True)
class Input:
    """One recording to work on.

    Attributes:
        name: how reports call it: the path, or ``-``.
        path: where its bytes are.
        stem: what its results are called, by its own path alone; recordings of one run may share it.
        links: other names of the same file, which were given too.
    """

    name: str
    path: Path
    stem: str
    links: tuple[str, ...] = ()


def expand(inputs: Sequence[str | Path], spool: str | Path) -> list[Input]:
    """List the recordings behind ``inputs``, in the order typed, each once; folders and globs sorted.

    A named file that does not exist stays in the list: it fails alone, and is named in the report. Results of an
    earlier run (folders with a record, ``unbabble.json``) are recordings only where their files are named.

    Args:
        inputs: files, folders (searched with their subfolders and linked folders; of simulated ones only the
            mixtures), globs, manifests (``.txt``: one path per line; ``.jsonl``: one object per line with
            ``mixture`` or ``path``), or ``-``. Paths in manifests are relative to the manifest.
        spool: a folder that exists while the run lasts; standard input is stored there.

    Raises:
        UsageError: nothing given, a folder or glob without recordings, a broken manifest.
        InputError: standard input is empty, or a folder cannot be searched.
    """
    if not inputs:
        raise UsageError(
            "Name at least one recording: a file, a folder, a pattern, a manifest, or - for stdin."
        )
    recordings: dict[str, Input] = {}  # by real place, so that nothing comes twice
    for given in inputs:
        if not isinstance(given, str | os.PathLike):
            raise UsageError(
                f"A recording is named by its path, not by {type(given).__name__}: several are so many arguments; "
                "samples go to what unbabble.load returns."
            )
        text = os.fspath(given)
        if not text or "\0" in text:
            raise UsageError(f"The name of a recording {'has a zero byte' if text else 'is empty'}.")
        if text == STDIN:
            path = _spooled(Path(spool))
            recordings.setdefault(str(path), Input(STDIN, path, path.name))
            continue
        for path, below in _paths(Path(text), text):
            place = os.path.realpath(path)
            known = recordings.setdefault(place, Input(str(path), path, result_name(path, below)))
            names = {os.path.abspath(each) for each in (known.path, *known.links)}
            if os.path.abspath(path) not in names:
                recordings[place] = replace(known, links=(*known.links, str(path)))
    return list(recordings.values())


def result_name(path: Path, below: Path | None = None) -> str:
    """What the results of ``path`` are called: its name without suffix, behind those of the folders under ``below``.

    Never a hidden name, nor one that leads to another folder. A mixture that ``simulate`` made is called as its folder
    by itself, as in what is written there of it (``turns.rttm``, ``words.stm``).

    >>> (
    ...     result_name(Path("in/a/x.wav"), Path("in")),
    ...     result_name(Path("in/a/x.wav")),
    ...     result_name(Path("...wav")),
    ... )
    ('a-x', 'x', 'recording')
    """
    name, folder = path.stem, Path(os.path.abspath(path)).parent
    if below is not None and folder.is_relative_to(os.path.abspath(below)):
        name = "-".join([*folder.relative_to(os.path.abspath(below)).parts, name])
    elif below is None and name == MIXTURE and (folder / SIMULATED).is_file():
        name = folder.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = path.stem
    while len(os.fsencode(name)) > LONGEST_NAME:
        name = name[:-1]
    return name.strip(". ") or "recording"


def _paths(path: Path, text: str) -> Iterator[tuple[Path, Path | None]]:
    """Each recording, and the folder that was searched for it; of manifests the one that holds all they name."""
    if os.path.isdir(path):  # which also knows names that are too long for files, unlike Path.is_dir
        if is_result(path):
            raise UsageError(f"Folder '{text}' holds results: name its files to take them as recordings.")
        files = list(recordings_in(path))
        if not files:
            raise UsageError(f"Folder '{text}' holds no recordings.")
        yield from ((file, path) for file in files)
    elif path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file():
        files = read_manifest(path)
        yield from ((file, _common_folder(files)) for file in files)
    elif not os.path.exists(path) and glob.has_magic(text):
        yield from _matches(path, text)
    else:
        yield path, None


def _common_folder(files: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files]))
    except ValueError:  # on several drives
        return None


def _matches(pattern: Path, text: str) -> Iterator[tuple[Path, Path]]:
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts)
    below = Path(*fixed)
    matches = [path for path in map(Path, sorted(glob.glob(text, recursive=True))) if not path.is_dir()]
    if not matches:
        raise UsageError(f"No file matches '{text}'.")
    others = [path for path in matches if not any(map(is_result, path.parents))]
    if not others:
        raise UsageError(f"Only results match '{text}': name the files to take them as recordings.")
    yield from ((path, below) for path in others)


def is_result(folder: Path) -> bool:
    """Whether an earlier run wrote this folder."""
    return (folder / RECORD_NAME).is_file()


def recordings_in(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The recordings in a folder and those below it, sorted; without hidden files, results and parts of mixtures.

    Args:
        folder: what is searched; links to folders are followed.
        above: the real places of the folders on the way, so that no link leads round in a circle.

    Raises:
        InputError: the folder cannot be searched.
    """
    place = os.path.realpath(folder)
    if place in above or is_result(folder):
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"Folder '{folder}' cannot be searched: {error.strerror}.") from error
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from recordings_in(path, (*above, place))
        elif path.suffix.lower() in SUFFIXES and not (_part_of_mixture(path) or _is_program(path)):
            yield path


def _is_program(path: Path) -> bool:
    """Whether this is TypeScript, whose files are called like those of a video camera."""
    if path.suffix.lower() not in TRANSPORT_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(STAMP_BYTES + PACKET_BYTES + STAMP_BYTES + 1)
    except OSError:
        return False
    firsts = (head[::PACKET_BYTES], head[STAMP_BYTES :: STAMP_BYTES + PACKET_BYTES])
    return not any(set(each) == {SYNC} for each in firsts)


def _part_of_mixture(path: Path) -> bool:
    """Whether this is an image or reference that ``simulate`` wrote beside its mixture."""
    return bool(re.fullmatch(r"(image|reference)\d+", path.stem)) and (path.parent / SIMULATED).is_file()


def read_manifest(path: str | Path) -> list[Path]:
    """The files that a manifest names.

    Raises:
        UsageError: a line that cannot be read, or none at all.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Manifest '{path}' cannot be read as text.") from error
    files = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry: object = line.strip()
        if path.suffix.lower() == ".jsonl":
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise UsageError(f"Line {number} of manifest '{path}' is not JSON.") from error
            if isinstance(entry, dict):
                entry = next((entry[key] for key in MANIFEST_KEYS if key in entry), None)
        if not isinstance(entry, str) or "\0" in entry:
            raise UsageError(
                f"Line {number} of manifest '{path}' names no file ({', '.join(MANIFEST_KEYS)})."
            )
        files.append(path.parent / entry)
    if not files:
        raise UsageError(f"Manifest '{path}' names no files.")
    return files


def _spooled(spool: Path) -> Path:
    path = spool / "stdin"
    if not path.exists():
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("'-' reads a recording from standard input: pipe one in.")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        if not path.stat().st_size:
            raise InputError("Standard input is empty (0 bytes).")
    return path
