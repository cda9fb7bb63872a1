"""Corpora of sounds as people have them on disk: which recording has which labels, in which fold or split.

``sounds`` tells by what lies in a folder which corpus it is:

>>> [corpus.name for corpus in CORPORA]
['ESC-50', 'UrbanSound8K', 'TAU Urban Acoustic Scenes', 'VGGSound', 'FSD50K']

No recording is opened. What is listed and not there is left out: of VGGSound, videos disappear every year.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unbabble.base.errors import InputError
from unbabble.base.inputs import SUFFIXES

UNLABELLED = ""
Row = tuple[str, tuple[str, ...], str]
"""A recording's path below its folder, its labels, its fold."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording of sounds.

    Attributes:
        path: of the file.
        labels: none where nobody has said what it is.
        fold: or split, as the corpus names it; empty where it has none.
        row: of a table, everything that it says.
    """

    path: Path
    labels: tuple[str, ...] = ()
    fold: str = ""
    row: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Corpus:
    """A layout.

    Attributes:
        name: of the corpus.
        lists: patterns of the files that list its recordings, by one of which it is known.
        read: from its folder and such a file to rows.
    """

    name: str
    lists: tuple[str, ...]
    read: Callable[[Path, Path], Iterable[Row]]


def sounds(place: Path) -> list[Sound]:
    """What is in a table, a corpus, or a folder of recordings, whose order is that of their names.

    Args:
        place: a table with the columns ``file`` and ``label`` (several with ``;`` between them), and ``fold`` or
            ``split`` where it has such; its files lie beside it, or in the folder called as it is. Or the folder of a
            corpus, or any folder.

    Raises:
        InputError: it is not there, is no such table, or holds no recording.
    """
    if place.is_file():
        found = _table(place)
    elif place.is_dir():
        found = _corpus(place) or [Sound(each) for each in sorted(place.rglob("*")) if _is_recording(each)]
    else:
        raise InputError(f"There is no file or folder '{place}'.")
    if not found:
        raise InputError(f"'{place}' holds no recording.")
    return found


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _table(table: Path) -> list[Sound]:
    rows = _read(table)
    missing = [name for name in ("file", "label") if rows and name not in rows[0]]
    if missing:
        raise InputError(f"'{table}' has no column {' or '.join(map(repr, missing))}.")
    inside = table.with_suffix("")
    folder = inside if inside.is_dir() else table.parent
    found = []
    for row in rows:
        path = folder / row["file"]
        if not path.is_file():
            raise InputError(f"'{table}' names '{row['file']}', which is not in '{folder}'.")
        labels = tuple(each.strip() for each in row["label"].split(";") if each.strip())
        found.append(Sound(path, labels, row.get("fold") or row.get("split") or "", tuple(row.items())))
    return found


def _corpus(folder: Path) -> list[Sound]:
    """Of the first corpus that the folder looks like; nothing if it looks like none."""
    for corpus in CORPORA:
        lists = sorted(path for pattern in corpus.lists for path in folder.glob(pattern))
        found = [
            Sound(folder / file, labels, fold)
            for path in lists
            for file, labels, fold in corpus.read(folder, path)
            if (folder / file).is_file()
        ]
        if lists and not found:
            raise InputError(f"'{folder}' looks like {corpus.name}, but none of its recordings is there.")
        if found:
            return found
    return []


def _read(path: Path, names: tuple[str, ...] | None = None, delimiter: str = ",") -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, names, delimiter=delimiter, restval="", restkey="more"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as a table: {error}.") from None


def _esc50(folder: Path, path: Path) -> Iterable[Row]:
    for row in _read(path):
        yield f"audio/{row['filename']}", (row["category"],), row["fold"]


def _urbansound(folder: Path, path: Path) -> Iterable[Row]:
    for row in _read(path):
        yield f"audio/fold{row['fold']}/{row['slice_file_name']}", (row["class"],), row["fold"]


def _tau(folder: Path, path: Path) -> Iterable[Row]:
    """Splits are those of the first fold; ``fold1_evaluate`` lists with labels what ``fold1_test`` lists without."""
    for row in _read(path, delimiter="\t"):
        yield row["filename"], (row["scene_label"],), "train" if "train" in path.stem else "test"


def _vggsound(folder: Path, path: Path) -> Iterable[Row]:
    """The list has no head: identifier, first second, label, split; clips are called by the first two."""
    for row in _read(path, ("video", "second", "label", "split")):
        name = f"{row['video']}_{int(row['second']):06d}"
        for place in (f"{row['split']}/{name}", f"audio/{name}", name):
            found = [
                f"{place}{suffix}"
                for suffix in (".wav", ".flac", ".mp4")
                if (folder / f"{place}{suffix}").is_file()
            ]
            if found:
                yield found[0], (row["label"],), row["split"]
                break


def _fsd50k(folder: Path, path: Path) -> Iterable[Row]:
    """Clips have several labels; ``dev`` has a column for those to train on and to choose by, ``eval`` has none."""
    for row in _read(path):
        place = f"FSD50K.{path.stem}_audio/{row['fname']}.wav"
        yield place, tuple(row["labels"].split(",")), row.get("split") or "test"


CORPORA = (
    Corpus("ESC-50", ("meta/esc50.csv",), _esc50),
    Corpus("UrbanSound8K", ("metadata/UrbanSound8K.csv",), _urbansound),
    Corpus(
        "TAU Urban Acoustic Scenes",
        ("evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"),
        _tau,
    ),
    Corpus("VGGSound", ("vggsound.csv",), _vggsound),
    Corpus("FSD50K", ("FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/eval.csv"), _fsd50k),
)
