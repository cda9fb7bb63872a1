"""Files that say what is said in recordings: one for each, or tables of many, in the layouts that are in use.

| file | layout |
|-|-|
| `.txt`, `.json`, `.srt`, `.vtt`, `.tsv` | one recording of the same name: as ``text.captions`` or whisper write it |
| `.csv`, `.tsv` | a table with the columns file and text, and speaker or any other, each row an utterance |
| `.jsonl` | the same, an object a line: NeMo's manifests |
| `*.trans.txt` | LibriSpeech's: a name and a text on each line |
| `.trn` | SCTK's: a text and (a name) on each line |
| `.stm`, `.ctm` | SCTK's: stretches with their talkers; words with their times |
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import read_text
from unbabble.base.inputs import RECORD_NAME, SUFFIXES
from unbabble.base.spans import Span
from unbabble.text import captions

FILE_COLUMNS = ("file", "path", "audio", "audio_filepath", "recording", "id")
TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id")
TABLE_SUFFIXES = (".csv", ".jsonl", ".trn", ".stm", ".ctm")
PREFERRED = (".json", ".tsv", ".srt", ".vtt", ".txt")
"""Where a recording has several files, the first of these is read."""
LIBRISPEECH_TABLE = ".trans.txt"
LIBRISPEECH_NAME = re.compile(r"(\d+)-\d+-\d+")
LEFT_OUT = "ignore_time_segment_in_scoring"
"""What stands for a text that is not to be scored."""


@dataclass(frozen=True)
class Said:
    """What one talker says in a recording, or in a part of it.

    Attributes:
        recording: its path without suffix, as seen from the folder or table that names it.
        text: as it is written there.
        speaker: who says it, if that is known.
        start: seconds; only their order matters.
        columns: whatever else a table has.
    """

    recording: str
    text: str
    speaker: str | None = None
    start: float = 0.0
    columns: Mapping[str, str] = field(default_factory=dict)


def read_all(paths: Iterable[Path]) -> list[Said]:
    """All that several files or folders say.

    Raises:
        UsageError: what a talker says in a recording stands in two files, or in one that is given twice; else as of
            ``read``.
        InputError: as of ``read``.
    """
    said: list[Said] = []
    sources: dict[tuple[str, str | None], Path] = {}
    for path in paths:
        for file, rows in _by_file(path):
            said += rows
            names = dict.fromkeys((each.recording, each.speaker) for each in rows)
            for name in filter(sources.__contains__, names):
                twice = file == sources[name]
                where = f"'{file}', which is named twice" if twice else f"'{sources[name]}' and '{file}'"
                raise UsageError(f"What is said in '{name[0]}' would be counted twice: it stands in {where}.")
            sources |= dict.fromkeys(names, file)
    return said


def read(path: str | os.PathLike[str]) -> list[Said]:
    """All that a file, or the files in a folder and those below it, say.

    Raises:
        UsageError: a folder without transcripts.
        InputError: a file that is missing, or not what its suffix says.
    """
    return [each for _, rows in _by_file(Path(path)) for each in rows]


def _by_file(path: Path) -> list[tuple[Path, list[Said]]]:
    if not path.is_dir():
        return [(path, list(_file(path, path.name)))]
    rows = [(file, list(_file(file, file.relative_to(path).as_posix()))) for file in files(path)]
    if not any(each for _, each in rows):
        raise UsageError(f"Folder '{path}' holds no transcripts.")
    return rows


def files(path: Path) -> list[Path]:
    """What ``read`` reads: a file itself; of a folder, one file for each recording, and every table.

    Raises:
        InputError: a file that may be a table cannot be read.
    """
    if not path.is_dir():
        return [path]
    chosen: dict[Path, Path] = {}
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if hidden or file.name == RECORD_NAME or not file.is_file():
            continue
        if _is_table(file):
            chosen[file] = file
        elif file.suffix.lower() in PREFERRED:
            name, rank = file.with_suffix(""), PREFERRED.index(file.suffix.lower())
            if name not in chosen or rank < PREFERRED.index(chosen[name].suffix.lower()):
                chosen[name] = file
    return list(chosen.values())


def _is_table(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith((*TABLE_SUFFIXES, LIBRISPEECH_TABLE)) or (
        name.endswith(".tsv") and not read_text(file).startswith("start\tend\ttext")
    )


def _file(file: Path, name: str) -> Iterator[Said]:
    text = read_text(file)
    suffix = LIBRISPEECH_TABLE if name.lower().endswith(LIBRISPEECH_TABLE) else file.suffix.lower()
    if _is_table(file):
        try:
            yield from READERS[suffix](text)
        except (InputError, ValueError, LookupError, AttributeError, TypeError, csv.Error) as error:
            reason = str(error) if isinstance(error, InputError) else f"is no {suffix} table of transcripts."
            raise InputError(f"'{file}' {reason}") from error
        return
    format = captions.BY_SUFFIX.get(suffix)
    if format is None:
        raise UsageError(
            f"'{file}' is no file of transcripts: these are {', '.join((*PREFERRED, *TABLE_SUFFIXES))}."
        )
    try:
        spans = captions.read(text, format)
    except InputError as error:
        raise InputError(f"'{file}' {error}") from error
    recording = _recording(name.removesuffix(file.suffix))
    speaker = _speaker(recording)
    # a recording in which nobody speaks has its empty text
    for span in spans or [None]:
        if span is None:
            yield Said(recording, "", speaker)
        else:
            yield Said(recording, span.text, span.speaker or speaker, span.start)


def _recording(name: str) -> str:
    """Without the suffix of a recording, and with one kind of slashes."""
    path = Path(name.replace("\\", "/"))
    return (path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).as_posix()


def _speaker(recording: str) -> str | None:
    """LibriSpeech's names begin with that of the speaker."""
    name = LIBRISPEECH_NAME.fullmatch(recording.rpartition("/")[2])
    return name[1] if name else None


def _rows(rows: Iterable[Mapping[str, str]]) -> Iterator[Said]:
    for row in rows:
        places = [
            next((each for each in names if each in row), None) for names in (FILE_COLUMNS, TEXT_COLUMNS)
        ]
        file, text = places
        if file is None or text is None or row[file] is None or row[text] is None:
            raise InputError(
                f"is no table of transcripts: it has no column {FILE_COLUMNS[0]} or {TEXT_COLUMNS[0]}."
            )
        recording = _recording(str(row[file]))
        named = next((str(row[each]) for each in SPEAKER_COLUMNS if row.get(each)), None)
        others = {
            key: str(value)
            for key, value in row.items()
            if key and key not in (file, text, *SPEAKER_COLUMNS, "start")
        }
        yield Said(
            recording, str(row[text]), named or _speaker(recording), float(row.get("start") or 0), others
        )


def _csv(text: str) -> Iterator[Said]:
    _allow_cells_of(text)
    return _rows(csv.DictReader(text.splitlines()))


def _tsv(text: str) -> Iterator[Said]:
    _allow_cells_of(text)
    return _rows(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def _allow_cells_of(text: str) -> None:
    """All that is said in some hours is longer than Python's limit for a cell, 131,072 characters."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))


def _jsonl(text: str) -> Iterator[Said]:
    return _rows(json.loads(line) for line in text.splitlines() if line.strip())


def _librispeech(text: str) -> Iterator[Said]:
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, said = line.partition(" ")
        yield Said(name, said, _speaker(name))


def _trn(text: str) -> Iterator[Said]:
    for line in filter(None, map(str.strip, text.splitlines())):
        said, _, name = line.rpartition("(")
        if not name.endswith(")"):
            raise InputError(f"has a line without (a name): '{line}'.")
        yield Said(name[:-1].strip(), said.strip(), _speaker(name[:-1].strip()))


def _stm(text: str) -> Iterator[Said]:
    for line in _sctk(text):
        recording, _, speaker, start, end, *said = line.split(None, 5)
        words = re.sub(r"^<[^>]*>\s*", "", said[0]) if said else ""  # of categories, as <o,f0,male>
        if float(end) >= float(start) and LEFT_OUT not in words.lower():
            yield Said(_recording(recording), words, speaker, float(start))


def stm(recording: str, said: Sequence[Span]) -> str:
    """The content of a file of SCTK's that says what is said in a recording.

    Args:
        recording: its name; what stands for a space is "_", as fields end at spaces.
        said: stretches with their texts and speakers.

    >>> stm("a", [Span(0.5, 1.5, "good day", "ann")])
    'a 1 ann 0.500 1.500 good day\\n'
    """
    names = ("_".join((name or "unknown").split()) for name in (recording, *(each.speaker for each in said)))
    recording, *speakers = names
    return "".join(
        f"{recording} 1 {speaker} {each.start:.3f} {each.end:.3f} {' '.join(each.text.split())}\n"
        for speaker, each in zip(speakers, said, strict=True)
    )


def _ctm(text: str) -> Iterator[Said]:
    for line in _sctk(text):
        recording, _, start, _, word, *rest = line.split()
        yield Said(_recording(recording), word, rest[2] if len(rest) > 2 else None, float(start))


def _sctk(text: str) -> Iterator[str]:
    return (line for line in map(str.strip, text.splitlines()) if line and not line.startswith(";;"))


READERS = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    LIBRISPEECH_TABLE: _librispeech,
    ".trn": _trn,
    ".stm": _stm,
    ".ctm": _ctm,
}
