"""What was typed, as a list of recordings: files, folders, globs, manifests and ``-``. Imports no torch."""

import glob
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
SIMULATED = "metadata.json"
"""Where this stands beside a mixture, ``simulate`` made it."""
STDIN = "-"


@dataclass(frozen=True)
class Input:
    """One recording to work on.

    Attributes:
        name: how reports call it: the path, or ``-``.
        path: where its bytes are.
        stem: name of its output folder, different from that of every other input of the run.
    """

    name: str
    path: Path
    stem: str


def expand(inputs: Sequence[str | Path], spool: str | Path, exclude: str | Path | None = None) -> list[Input]:
    """List the recordings behind ``inputs``, in the order typed, each once; folders and globs sorted.

    A named file that does not exist stays in the list: it fails alone, and is named in the report.

    Args:
        inputs: files, folders (searched with their subfolders; of simulated ones only the mixtures), globs,
            manifests (``.txt``: one path per line; ``.jsonl``: one object per line with ``mixture`` or
            ``path``), or ``-``. Paths in manifests are relative to the manifest.
        spool: a folder that exists while the run lasts; standard input is stored there.
        exclude: a folder whose files are results, not inputs.

    Raises:
        UsageError: nothing given, a folder or glob without recordings, a broken manifest.
        InputError: standard input is empty.
    """
    if not inputs:
        raise UsageError(
            "Name at least one recording: a file, a folder, a pattern, a manifest, or - for stdin."
        )
    found: dict[Path, tuple[str, Path]] = {}  # by real place, so that nothing comes twice
    for text in inputs:
        if not str(text):
            raise UsageError("The name of a recording is empty.")
        if str(text) == STDIN:
            path = _spooled(Path(spool))
            found.setdefault(path, (STDIN, path))
            continue
        for path in _paths(Path(text), str(text), Path(exclude) if exclude is not None else None):
            found.setdefault(path.resolve(), (str(path), path))
    stems = unique_stems(
        [Path("stdin") if name == STDIN else path.absolute() for name, path in found.values()]
    )
    return [Input(name, path, stem) for (name, path), stem in zip(found.values(), stems, strict=True)]


def unique_stems(paths: Sequence[str | Path]) -> list[str]:
    """A folder name for each file, none like another, whatever the case of its letters.

    Files of the same name are told apart by their suffix, then by the folders above them, then by number.

    >>> unique_stems([Path("/a/x.wav"), Path("/b/x.wav"), Path("/b/y.wav"), Path("/b/y.flac")])
    ['a-x', 'b-x', 'y-wav', 'y-flac']
    """
    paths = [Path(path) for path in paths]
    names = [path.stem for path in paths]
    for level in range(max((len(path.parts) for path in paths), default=0) + 1):
        repeated = _repeated(names)
        if not repeated:
            return names
        groups = Counter((path.stem.casefold(), path.suffix.casefold()) for path in paths)
        for i, path in enumerate(paths):
            if names[i].casefold() not in repeated:
                continue
            alone = groups[path.stem.casefold(), path.suffix.casefold()] == 1
            suffix = f"-{path.suffix[1:]}" if alone and path.suffix else ""
            parents = [part for part in path.parent.parts if part != path.anchor]
            above = [] if alone else parents[max(0, len(parents) - level - 1) :]
            names[i] = "-".join([*above, path.stem]) + suffix
    taken: set[str] = set()
    for i, name in enumerate(names):
        number, candidate = 2, name
        while candidate.casefold() in taken:
            candidate, number = f"{name}-{number}", number + 1
        taken.add(candidate.casefold())
        names[i] = candidate
    return names


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(name.casefold() for name in names).items() if count > 1}


def _paths(path: Path, text: str, exclude: Path | None) -> Iterator[Path]:
    if path.is_dir():
        files = list(_recordings(path, exclude))
        if not files:
            raise UsageError(f"Folder '{text}' holds no recordings.")
        yield from files
    elif path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file():
        yield from read_manifest(path)
    elif not path.exists() and glob.has_magic(text):
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        if not matches:
            raise UsageError(f"No file matches '{text}'.")
        for match in matches:
            if match.is_file() and not _inside(match, exclude):
                yield match
    else:
        yield path


def _recordings(folder: Path, exclude: Path | None) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() not in SUFFIXES or hidden or _part_of_mixture(path) or _inside(path, exclude):
            continue
        if path.is_file() and not _is_program(path):
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


def _inside(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


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
        if not isinstance(entry, str):
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
