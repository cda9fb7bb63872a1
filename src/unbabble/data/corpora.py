"""Where recordings come from: tables (``speech.csv``, ``rir.csv``, ``noise.csv``), LibriSpeech, Common Voice, folders.

A table is a CSV file with a ``file`` column. Its files lie in the folder that is named as the table
(``speech/`` beside ``speech.csv``) or beside the table itself. A ``split`` column, where there is one, keeps
training, choice and test apart.

>>> from pathlib import Path
>>> speech(Path("nowhere.csv"))
Traceback (most recent call last):
    ...
unbabble.base.errors.InputError: There is no file or folder 'nowhere.csv'.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float

from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.base.inputs import SUFFIXES
from unbabble.data import manifest

LIBRISPEECH_NAME = re.compile(r"(\d+)-(\d+)-(\d+)")
LIBRISPEECH_LICENCE = "CC BY 4.0"
COMMON_VOICE_LICENCE = "CC0"
TEXT_SUFFIXES = (".txt", ".lab")
"""Of a text beside a recording, by the name of which it is called."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clean recording of one speaker; ``sex`` is F, M or unknown."""

    path: Path
    speaker: str
    seconds: float
    text: str = ""
    licence: str | None = None
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The measured impulse responses from one place in a room to every microphone of an array.

    Attributes:
        path: a recording with one channel per microphone.
        gain: what the file was multiplied by when it was written; ``read_response`` divides by it.
        room: responses may be heard together only if they come from the same room in the same state.
        azimuth_deg: direction seen from the array, None where unknown.
        distance_m: distance from the array, None where unknown.
    """

    path: Path
    channels: int
    gain: float = 1.0
    room: str = ""
    azimuth_deg: float | None = None
    distance_m: float | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """One recording of noise."""

    path: Path
    label: str
    seconds: float
    licence: str | None = None


def read_table(table: Path, columns: tuple[str, ...], split: str | None = None) -> list[dict[str, str]]:
    """Read the rows of a table, those of ``split`` alone if it is given.

    Raises:
        InputError: no such file, a column that is missing, or no row left.
    """
    try:
        with open(table, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, **_dialect(table))
            rows = list(reader)
            names = tuple(reader.fieldnames or ())
    except FileNotFoundError:
        raise InputError(f"There is no file or folder '{table}'.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{table}' cannot be read as a table: {error}.") from None
    wanted = columns if split is None else (*columns, "split")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"'{table}' has no column {' or '.join(map(repr, missing))}.")
    if split is not None:
        known = sorted({row["split"] for row in rows})
        rows = [row for row in rows if row["split"] == split]
        if not rows:
            raise InputError(f"'{table}' has no split '{split}', but {', '.join(known) or 'no row'}.")
    if not rows:
        raise InputError(f"'{table}' has no rows.")
    return rows


def speech(path: Path, split: str | None = None) -> list[Utterance]:
    """Find clean speech.

    Args:
        path: a table with the columns ``file`` and ``speaker``; one of Common Voice (``train.tsv``); a manifest of
            utterances; a folder in LibriSpeech's layout; or any folder, where each sub-folder is a speaker and each
            file outside of one a speaker of its own, and what is said in ``a.wav`` may stand in ``a.txt``.
        split: rows of this split only (tables and manifests).

    Raises:
        InputError: nothing usable there.
    """
    if path.is_dir():
        if split is not None:
            raise InputError(f"'{path}' is a folder and has no splits: give the folder of the split itself.")
        return _speech_folder(path)
    if path.suffix.lower() == ".jsonl":
        return _speech_manifest(path, split)
    if path.suffix.lower() == ".tsv":
        return _common_voice(path, split)
    rows = read_table(path, ("file", "speaker"), split)
    utterances = []
    for row in rows:
        file = locate(path, row["file"])
        licence = row.get("licence") or None
        if licence is None and row.get("origin", "").startswith("LibriSpeech"):
            licence = LIBRISPEECH_LICENCE
        utterances.append(
            Utterance(
                file,
                row["speaker"],
                _seconds(path, file, row),
                row.get("text") or "",
                licence,
                (row.get("sex") or "").upper(),
            )
        )
    return utterances


def responses(path: Path, split: str | None = None) -> list[Response]:
    """Find measured room impulse responses in a table with the columns ``file`` and ``gain``.

    The columns ``room`` and ``panels`` say which responses belong together; ``azimuth_deg``, ``distance_m``
    and ``licence`` are used where they are filled.

    Raises:
        InputError: nothing usable there.
    """
    rows = []
    for row in read_table(path, ("file", "gain"), split):
        gain = _number(path, row, "gain")
        if gain is None or gain <= 0.0:
            raise InputError(f"'{path}': the gain '{row['gain']}' of {row['file']} is not a positive number.")
        file = locate(path, row["file"])
        channels = _number(path, row, "channels")
        rows.append(
            Response(
                path=file,
                channels=int(channels) if channels else audio.probe(file).channels,
                gain=gain,
                room=" ".join(filter(None, (row.get("room"), row.get("panels")))),
                azimuth_deg=_number(path, row, "azimuth_deg"),
                distance_m=_number(path, row, "distance_m"),
                licence=row.get("licence") or None,
            )
        )
    return rows


def noises(path: Path, split: str | None = None) -> list[Noise]:
    """Find noise: a table with the column ``file``, a manifest of noises, or a folder.

    Raises:
        InputError: nothing usable there.
    """
    if path.is_dir():
        return [Noise(file, file.stem, _duration(file)) for file in _recordings(path)]
    if path.suffix.lower() == ".jsonl":
        return _noise_manifest(path, split)
    rows = read_table(path, ("file",), split)
    files = [locate(path, row["file"]) for row in rows]
    return [
        Noise(file, row.get("label") or file.stem, _seconds(path, file, row), row.get("licence") or None)
        for file, row in zip(files, rows, strict=True)
    ]


def read(path: Path) -> tuple[Float[np.ndarray, "channel time"], int]:
    """Read a recording and its sample rate in Hz.

    Raises:
        InputError: the file is missing or not audio.
    """
    recording = audio.read(path)
    return recording.samples.numpy(), recording.sample_rate


def read_response(response: Response) -> tuple[Float[np.ndarray, "microphone tap"], int]:
    """Read measured responses at the level at which they were measured, and their sample rate in Hz.

    The channels keep their levels relative to one another: that is what an array hears.
    """
    samples, rate = read(response.path)
    return samples / np.float32(response.gain), rate


def resample(
    samples: Float[np.ndarray, "*channel time"], rate: int, wanted: int
) -> Float[np.ndarray, "*channel wanted_time"]:
    """Resample along time, from ``rate`` Hz to ``wanted`` Hz."""
    return audio.resample(torch.from_numpy(samples), rate, wanted).numpy()


def _speech_folder(folder: Path) -> list[Utterance]:
    files = _recordings(folder)
    if all(LIBRISPEECH_NAME.fullmatch(file.stem) for file in files):
        texts = librispeech_texts(folder)
        return [
            Utterance(
                file,
                file.stem.partition("-")[0],
                _duration(file),
                texts.get(file.stem) or _text_beside(file),
                LIBRISPEECH_LICENCE,
            )
            for file in files
        ]
    return [
        Utterance(
            file,
            file.stem if file.parent == folder else file.relative_to(folder).parts[0],
            seconds,
            _text_beside(file),
        )
        for file in files
        if (seconds := _duration(file))
    ]


def librispeech_texts(folder: Path) -> dict[str, str]:
    """What is said, by the name of the utterance, as the files ``SPEAKER-CHAPTER.trans.txt`` have it.

    Raises:
        InputError: one is no text.
    """
    texts = {}
    for transcript in sorted(folder.rglob("*.trans.txt")):
        for line in _read_text(transcript).splitlines():
            name, _, text = line.partition(" ")
            texts[name] = text
    return texts


def _text_beside(recording: Path) -> str:
    for suffix in TEXT_SUFFIXES:
        path = recording.with_suffix(suffix)
        if path.is_file():
            return " ".join(_read_text(path).split())
    return ""


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"'{path}' cannot be read as text.") from None


def _common_voice(table: Path, split: str | None) -> list[Utterance]:
    """R. Ardila et al., "Common Voice: a massively-multilingual speech corpus", LREC 2020; recordings in ``clips``."""
    utterances = []
    for row in read_table(table, ("client_id", "path", "sentence"), split):
        file = table.parent / "clips" / (row["path"] or "")
        sex = {"m": "M", "f": "F"}.get((row.get("gender") or "")[:1].lower(), "")
        utterances.append(
            Utterance(
                file, row["client_id"], _duration(file), row["sentence"] or "", COMMON_VOICE_LICENCE, sex
            )
        )
    return utterances


def _speech_manifest(path: Path, split: str | None) -> list[Utterance]:
    return [
        Utterance(
            entry.sources[0],
            entry.speakers[0] if entry.speakers else entry.id,
            _duration(entry.sources[0]) if entry.seconds is None else entry.seconds,
            entry.transcripts[0] if entry.transcripts else "",
            LIBRISPEECH_LICENCE if LIBRISPEECH_NAME.fullmatch(entry.id) else None,
        )
        for entry in _lines(path, split)
        if entry.mixture is None and len(entry.sources) == 1
    ] or _refuse(path, "utterances")


def _noise_manifest(path: Path, split: str | None) -> list[Noise]:
    return [
        Noise(entry.noise, entry.id, _duration(entry.noise) if entry.seconds is None else entry.seconds)
        for entry in _lines(path, split)
        if entry.mixture is None and not entry.sources and entry.noise is not None
    ] or _refuse(path, "noises")


def _lines(path: Path, split: str | None) -> list[manifest.Entry]:
    return [entry for entry in manifest.read(path) if split is None or entry.split == split]


def _refuse(path: Path, what: str) -> NoReturn:
    raise InputError(f"Manifest '{path}' names no {what}, or none of this split.")


def _recordings(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"The folder '{folder}' holds no recordings.")
    return files


def _dialect(table: Path) -> dict[str, Any]:
    """Of a file of comma-separated values; one of values between tabs (Common Voice's) knows no quotation marks."""
    return {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if table.suffix.lower() == ".tsv" else {}


def locate(table: Path, file: str) -> Path:
    """The file that a row of a table names."""
    beside = table.parent / file
    return beside if beside.is_file() else table.parent / table.stem / file


def _duration(file: Path) -> float:
    seconds = audio.probe(file).seconds
    return audio.read(file).seconds if seconds is None else seconds


def _seconds(table: Path, file: Path, row: dict[str, str]) -> float:
    seconds = _number(table, row, "seconds")
    return _duration(file) if seconds is None else seconds


def _number(table: Path, row: dict[str, str], column: str) -> float | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise InputError(f"'{table}': the {column} '{value}' of {row['file']} is not a number.") from None
