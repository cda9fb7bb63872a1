"""Recordings of crying infants, with what is known of each, and pairs of them for verification.

- Donate-a-cry (github.com/gveres/donateacry-corpus): a folder for each reason, and files called
  RECORDER-TIME-VERSION-SEX-AGE-REASON; or a table with the columns ``file``, ``label`` (the reason) and ``recorder``,
  and the files beside it or anywhere in the folder that is named as the table. The recorder is an installation of the
  app that recorded: not always one infant, but always one telephone.
- CryCeleb: Budaghyan et al., "CryCeleb: a speaker verification dataset based on infant cry sounds", ICASSP 2024. Files
  ``audio/SPLIT/BABY/PERIOD/BABY_PERIOD_NUMBER.wav`` of one expiration each, the period B (birth) or D (discharge).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbabble.base.errors import InputError
from unbabble.base.inputs import SUFFIXES
from unbabble.data import corpora

DONATED = re.compile(r"(?P<recorder>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})-(?P<time>\d+)-.+")
SEX_AND_AGE = re.compile(r"-(?P<sex>[mf])-(?P<age>\d+)-[a-z]{2}$")
MILLISECONDS_FROM = 10**11
"""A time that is larger is in milliseconds, as Android's app writes it, else in seconds, as that of iOS."""
PERIODS = ("B", "D")
CRYCELEB_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Cry:
    """One recording.

    Attributes:
        path: the file.
        infant: who cries; of Donate-a-cry, the app by which it was recorded.
        period: when, of those in which the infant was recorded; of Donate-a-cry, the day. Empty where unknown.
        reason: why, as whoever recorded it supposed; empty where nobody said.
        sex: m, f or empty.
        age: as the corpus writes it, in weeks; empty where unknown.
        split: train, dev or test, where the corpus has these.
    """

    path: Path
    infant: str
    period: str = ""
    reason: str = ""
    sex: str = ""
    age: str = ""
    split: str = ""


class Pair(NamedTuple):
    """Two infants in a trial, the first at birth and the second at discharge, and whether they are one."""

    birth: str
    discharge: str
    same: bool


def cries(path: Path) -> list[Cry]:
    """The cries of Donate-a-cry (a table, or the folder of the corpus), or those of CryCeleb (its folder).

    Raises:
        InputError: nothing there, a column that is missing, or a folder of another kind.
    """
    if not path.is_dir():
        return _table(path)
    found = cryceleb(path) or _donated(path)
    if not found:
        raise InputError(
            f"'{path}' holds no cries: looked for audio/train/BABY/B/*.wav, and for files called "
            "RECORDER-TIME-VERSION-SEX-AGE-REASON."
        )
    return found


def cryceleb(folder: Path) -> list[Cry]:
    """The cries of CryCeleb in the order in which they were cried; none where the folder looks otherwise."""
    folder = folder / "audio" if (folder / "audio").is_dir() else folder
    return [
        Cry(file, baby.name, period, split=split)
        for split in CRYCELEB_SPLITS
        if (folder / split).is_dir()
        for baby in sorted(each for each in (folder / split).iterdir() if each.is_dir())
        for period in PERIODS
        if (baby / period).is_dir()
        for file in _recordings(baby / period)
    ]


def pairs(path: Path) -> list[Pair]:
    """CryCeleb's trials: a table with the columns ``baby_id_B``, ``baby_id_D`` and ``label``, 1 for one infant.

    Raises:
        InputError: it cannot be read, a column is missing, or a label is neither 0 nor 1.
    """
    rows = corpora.read_table(path, ("baby_id_B", "baby_id_D", "label"))
    for row in rows:
        if row["label"] not in ("0", "1"):
            raise InputError(f"'{path}': the label '{row['label']}' is neither 0 nor 1.")
    return [Pair(row["baby_id_B"], row["baby_id_D"], row["label"] == "1") for row in rows]


def together(recordings: Sequence[Cry], sample_rate: int) -> Float[np.ndarray, " time"]:
    """Recordings one after another, the loudest channel of each.

    Args:
        recordings: of one infant.
        sample_rate: Hz, of the result.

    Raises:
        InputError: one cannot be read.
    """
    return np.concatenate([_samples(each.path, sample_rate) for each in recordings])


def _samples(path: Path, sample_rate: int) -> Float[np.ndarray, " time"]:
    samples, rate = corpora.read(path)
    loudest = samples[np.square(samples).sum(1).argmax()]
    return corpora.resample(loudest, rate, sample_rate)


def _table(path: Path) -> list[Cry]:
    rows = corpora.read_table(path, ("file", "label", "recorder"))
    below = {file.name: file for file in sorted((path.parent / path.stem).rglob("*"))}
    return [
        Cry(
            below.get(row["file"], corpora.locate(path, row["file"])),
            row["recorder"],
            _day(row["file"]),
            row["label"],
            row.get("sex") or "",
            row.get("age_weeks") or "",
        )
        for row in rows
    ]


def _donated(folder: Path) -> list[Cry]:
    result = []
    for file in sorted(folder.rglob("*")):
        named = DONATED.fullmatch(file.stem)
        if named and file.suffix.lower() in SUFFIXES:
            said = SEX_AND_AGE.search(file.stem)
            sex, age = (said["sex"], said["age"]) if said else ("", "")
            result.append(Cry(file, named["recorder"], _day(file.name), file.parent.name, sex, age))
    return result


def _day(name: str) -> str:
    """On which it was recorded (in UTC), as Donate-a-cry's file names have it; empty for other names."""
    named = DONATED.fullmatch(Path(name).stem)
    if not named:
        return ""
    time = int(named["time"])
    return datetime.fromtimestamp(time / 1000 if time > MILLISECONDS_FROM else time, UTC).date().isoformat()


def _recordings(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
