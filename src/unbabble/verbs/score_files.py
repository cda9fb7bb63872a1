"""Which files belong together, and their samples: the input side of ``unbabble score``."""

import glob as globbing
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import notes
from unbabble.base.audio import probe, read, resample
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import WHOLE, Excerpt, Part
from unbabble.base.inputs import SUFFIXES
from unbabble.base.words import counted
from unbabble.jobs.records import folders_by_recording
from unbabble.pipelines.score import LENGTH_TOLERANCE_SECONDS

Kind = Literal["reference", "source"]


@dataclass(frozen=True)
class Task:
    """One recording to score."""

    name: str
    mixture: Path | None
    references: tuple[Path, ...]
    estimates: tuple[Path, ...]


def find_tasks(
    mixture: str | Path | None, references: Sequence[str | Path], estimates: Sequence[str | Path]
) -> list[Task]:
    """What to score: one recording, or each one in the folder that ``unbabble simulate`` wrote.

    Raises:
        UsageError: a folder or pattern without recordings, or a mixture named beside many recordings.
    """
    mixture = Path(mixture) if mixture is not None else None
    references, estimates = [Path(path) for path in references], [Path(path) for path in estimates]
    if len(references) == 1 and references[0].is_dir() and not _audio(references[0]):
        folders = [
            each for each in _natural(references[0].iterdir()) if each.is_dir() and _voices(each, "reference")
        ]
        if folders:
            if mixture is not None or len(estimates) != 1 or not estimates[0].is_dir():
                raise UsageError(
                    "To score many recordings, name one folder of references and one of estimates, "
                    "and no mixture."
                )
            return [
                Task(
                    each.name,
                    _mixture(each),
                    tuple(_voices(each, "reference")),
                    _estimates_of(each, estimates[0], folders),
                )
                for each in folders
            ]
    if mixture is None and len(references) == 1 and references[0].is_dir():
        mixture = _mixture(references[0])
    name = str(mixture or references[0])
    return [Task(name, mixture, tuple(_listed(references, "reference")), tuple(_listed(estimates, "source")))]


def _estimates_of(folder: Path, root: Path, folders: list[Path]) -> tuple[Path, ...]:
    """Where ``separate`` put the voices of ID/mixture.wav, by its record, or by a name that says so."""
    mixture = _mixture(folder)
    if mixture and (known := folders_by_recording(root).get(os.path.realpath(mixture))):
        return tuple(_voices(known, "source"))
    names = [folder.name, f"{folder.name}-mixture", *(["mixture"] if len(folders) == 1 else [])]
    folder_of_voices = next((root / name for name in names if (root / name).is_dir()), None)
    return tuple(_voices(folder_of_voices, "source")) if folder_of_voices else ()


def _listed(paths: Sequence[Path], kind: Kind) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            files = _voices(path, kind)
            if not files:
                raise UsageError(f"Folder '{path}' holds no recordings.")
            yield from files
        elif not path.exists() and globbing.has_magic(str(path)):
            matches = _natural(Path(match) for match in globbing.glob(str(path), recursive=True))
            if not matches:
                raise UsageError(f"No file matches '{path}'.")
            yield from matches
        else:
            yield path


def _audio(folder: Path) -> list[Path]:
    files = (each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.name[0] != ".")
    return _natural(each for each in files if each.is_file())


def _voices(folder: Path, kind: Kind) -> list[Path]:
    """The files called reference1 ... (source1 ...), or else all that have no name of another kind."""
    files = _audio(folder)
    numbered = [each for each in files if re.fullmatch(rf"{kind}\d+", each.stem)]
    return numbered or [
        each for each in files if not re.fullmatch(r"mixture|(reference|source)\d+", each.stem)
    ]


def numbered_voices(folder: Path) -> list[Path]:
    """What ``separate`` wrote to ``folder``, or else all recordings in it; none where there is no such folder."""
    return _voices(folder, "source") if folder.is_dir() else []


def _mixture(folder: Path) -> Path | None:
    return next((each for each in _audio(folder) if each.stem == "mixture"), None)


def _natural(paths: Iterable[Path]) -> list[Path]:
    """Sorted with source2 before source10."""
    return sorted(
        paths,
        key=lambda path: [
            (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)
        ],
    )


def parts(part: Part, recording: Path, files: Sequence[Path]) -> list[Path | Excerpt]:
    """The part to score of a recording and of files that go with it.

    Those whose length is nearer to the part's than to the recording's hold nothing else, as ``separate --start``
    writes them: they are taken whole.

    Raises:
        InputError: a file that cannot be read.
    """
    if part == WHOLE:
        return [*files]
    whole, wanted = probe(Part(stream=part.stream).of(recording)).seconds, probe(part.of(recording)).seconds

    def of(path: Path) -> Path | Excerpt:
        if path == recording:
            return part.of(path)
        own = probe(path).seconds
        if (
            own is not None
            and wanted is not None
            and whole is not None
            and abs(own - wanted) < abs(own - whole)
        ):
            return path
        return replace(part, stream=None).of(path)

    return [of(path) for path in files]


def read_all(
    paths: Sequence[Path | Excerpt], channel: int, warnings: list[str]
) -> tuple[Float[Tensor, "file time"], int]:
    """One channel of each file, float64, at the rate of the first and as long as the shortest.

    Returns:
        (file, time) and the rate in Hz.

    Raises:
        InputError: a file that cannot be read, without that channel, or of another length than the others.
    """
    waveforms, rate = [], 0
    for path in paths:
        recording = read(path)
        notes.add(warnings, recording.warnings)
        rate = rate or recording.sample_rate
        if recording.channels > 1 and channel > recording.channels:
            raise InputError(
                f"'{path}' has {counted(recording.channels, 'channel')}, there is no channel {channel}."
            )
        waveform = recording.samples[channel - 1 if recording.channels > 1 else 0].double()
        if recording.sample_rate != rate:
            warnings.append(f"'{path}' has {recording.sample_rate} Hz: resampled to {rate} Hz.")
            waveform = resample(waveform, recording.sample_rate, rate)
        waveforms.append(waveform)
    lengths = [len(waveform) for waveform in waveforms]
    shortest, longest = min(lengths), max(lengths)
    if longest - shortest >= LENGTH_TOLERANCE_SECONDS * rate:
        short, long = paths[lengths.index(shortest)], paths[lengths.index(longest)]
        raise InputError(
            f"'{short}' lasts {shortest / rate:.2f} s and '{long}' {longest / rate:.2f} s: "
            "they are not of one recording."
        )
    if longest > shortest:
        warnings.append(f"Lengths differ by {counted(longest - shortest, 'sample')}: cut to the shortest.")
    if shortest == 0:
        raise InputError("There are no samples to score.")
    return torch.stack([waveform[:shortest] for waveform in waveforms]), rate
