"""Manifests: text files that say, one line a mixture, which recording goes with which voices.

Each line is a JSON object; paths are relative to the manifest:

    {"id": "a", "mixture": "mix/a.wav", "sources": ["s1/a.wav", "s2/a.wav"], "noise": "noise/a.wav",
     "sample_rate": 8000, "seconds": 4.2, "speakers": ["84", "174"], "split": "train", "recipe": {...}}

``noise``, ``recipe`` (how it was made) and ``transcripts`` may be missing. An utterance has the mixture null and one
source; a noise has ``noise`` alone. What ``simulate`` writes (``metadata.jsonl``) is read too: its references are the
sources.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float

from unbabble.base import audio
from unbabble.base.errors import InputError
from unbabble.base.files import as_utf8, atomic, native
from unbabble.base.words import counted
from unbabble.data.examples import MAX_BAD_SHARE, Example, Examples, Window

logger = logging.getLogger(__name__)

LENGTH_TOLERANCE_SECONDS = 0.05
"""Recordings that differ less are cut to the shortest without a word: codecs and resamplers leave such differences."""
READERS = 8
"""Headers to read at the same time: the wait is for the disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest.

    Attributes:
        mixture: None for an utterance or a noise.
        sources: each voice of the mixture alone, or the utterance.
        noise: what else is in the mixture.
        sample_rate: Hz, None where nobody has looked.
        seconds: duration, None where nobody has looked.
        speakers: who speaks in each source, where known.
        transcripts: what each of them says, where known.
        recipe: how it was made.
    """

    id: str
    mixture: Path | None
    sources: tuple[Path, ...] = ()
    noise: Path | None = None
    sample_rate: int | None = None
    seconds: float | None = None
    speakers: tuple[str, ...] = ()
    split: str = ""
    recipe: dict[str, Any] | None = None
    transcripts: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every recording it names."""
        return tuple(path for path in (self.mixture, *self.sources, self.noise) if path is not None)


def write(path: str | os.PathLike[str], entries: Iterable[Entry]) -> Path:
    """Write a manifest; it appears under its name when complete.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    folder = path.parent.resolve()
    with atomic(path) as temporary, temporary.open("wb") as file:
        for entry in entries:
            content: dict[str, Any] = {
                "id": entry.id,
                "mixture": _relative(entry.mixture, folder),
                "sources": [_relative(source, folder) for source in entry.sources],
                "noise": _relative(entry.noise, folder),
                "sample_rate": entry.sample_rate,
                "seconds": None if entry.seconds is None else round(entry.seconds, 4),
                "speakers": list(entry.speakers),
                "split": entry.split,
                "recipe": entry.recipe,
                "transcripts": list(entry.transcripts) or None,
            }
            for optional in ("noise", "recipe", "transcripts"):
                if content[optional] is None:
                    del content[optional]
            file.write(as_utf8(json.dumps(content, ensure_ascii=False) + "\n"))
    return path


def read(path: str | os.PathLike[str]) -> list[Entry]:
    """Read a manifest.

    Raises:
        InputError: missing, not a manifest, or empty; says which line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"There is no manifest '{path}'.") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"Manifest '{path}' cannot be read as text.") from None
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entries.append(_entry(json.loads(line), path))
        except ValueError as error:
            reason = "is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            raise InputError(f"Line {number} of manifest '{path}' {reason}.") from None
    if not entries:
        raise InputError(f"Manifest '{path}' is empty.")
    return entries


def check(
    entries: Sequence[Entry],
    sample_rate: int | None = None,
    headers: dict[Path, tuple[int, float] | str] | None = None,
) -> tuple[list[Entry], list[str], list[str]]:
    """Look at the header of every file, and fill in rates and durations.

    Args:
        entries: what to look at.
        sample_rate: refuse every other rate.
        headers: what is known of files already; is added to.

    Returns:
        The entries that can be used; why each of the others cannot; and what is odd about the usable ones.
    """
    headers = {} if headers is None else headers
    files = [
        path
        for path in dict.fromkeys(path for entry in entries for path in entry.files)
        if path not in headers
    ]
    with ThreadPoolExecutor(READERS) as pool:
        headers.update(zip(files, pool.map(_header, files), strict=True))
    good: list[Entry] = []
    bad: list[str] = []
    uneven: list[Entry] = []
    for entry in entries:
        read = [headers[path] for path in entry.files]
        reason = next((header for header in read if isinstance(header, str)), None)
        rates = [header[0] for header in read if not isinstance(header, str)]
        if reason is None and len(set(rates)) > 1:
            reason = f"The files of '{entry.id}' have {_listed(rates)} Hz: they are not of one mixture."
        if reason is None and sample_rate is not None and rates[0] != sample_rate:
            reason = f"'{entry.files[0]}' has {rates[0]} Hz, not {sample_rate}."
        if reason is not None:
            bad.append(reason)
            continue
        lengths = [header[1] for header in read if not isinstance(header, str)]
        if max(lengths) - min(lengths) > LENGTH_TOLERANCE_SECONDS:
            uneven.append(entry)
        good.append(replace(entry, sample_rate=rates[0], seconds=min(lengths)))
    odd = []
    if uneven:
        odd.append(
            f"Mixtures and sources of other lengths: {counted(len(uneven), 'item')}, as '{uneven[0].id}'."
        )
    if len(rates := Counter(entry.sample_rate for entry in good)) > 1:
        odd.append(f"Not all have the same sample rate: {_listed(rates)} Hz.")
    return good, bad, odd


class ManifestSet(Examples):
    """The mixtures of a manifest, at one sample rate.

    Of recordings with several channels the first is taken.

    Args:
        manifest: a manifest, or its entries.
        sample_rate: Hz. Recordings at another rate are resampled, which is said once.
        resample: False to refuse recordings at another rate.
        max_bad_share: mixtures whose files are missing or broken are skipped up to this share.

    Attributes:
        entries: the lines.
        said: how often a recording was resampled, or not as long as the others of its mixture.

    Raises:
        InputError: no manifest, no mixtures in it, or too many files missing.
    """

    def __init__(
        self,
        manifest: str | os.PathLike[str] | Sequence[Entry],
        sample_rate: int = 8000,
        *,
        resample: bool = True,
        max_bad_share: float = MAX_BAD_SHARE,
    ) -> None:
        given = isinstance(manifest, str | os.PathLike)
        super().__init__(f"'{manifest}'" if given else "the manifest", sample_rate, max_bad_share)
        self.entries = read(manifest) if isinstance(manifest, str | os.PathLike) else list(manifest)
        self.resample = resample
        self.said: Counter[str] = Counter()
        if not any(entry.mixture for entry in self.entries):
            raise InputError(f"There are no mixtures in {self.name}.")
        for index, entry in enumerate(self.entries):
            if entry.mixture is None:
                self.leave_out(index, f"'{entry.id}' has no mixture.")
            elif missing := next((path for path in entry.files if not path.is_file()), None):
                self.leave_out(index, f"There is no file '{missing}'.")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def talkers(self) -> int:
        """How many sources each mixture has.

        Raises:
            InputError: not all have equally many.
        """
        counts = {len(entry.sources) for index, entry in enumerate(self.entries) if index not in self.bad}
        if len(counts) > 1:
            raise InputError(f"The mixtures of {self.name} have {_listed(counts)} sources: they must agree.")
        return counts.pop()

    def load(self, index: int, window: Window | None = None) -> Example:
        """Read mixture ``index``, or the part of it in ``window``.

        Raises:
            InputError: a file is missing or broken, or has another sample rate and may not be resampled.
        """
        if index in self.bad:
            raise InputError(self.bad[index])
        entry = self.entries[index]
        start = 0.0
        if window is not None:
            start = window.place * max(0.0, self._seconds(entry) - window.seconds)
        signals = []
        for path in entry.files:
            signal, rate = _part(path, start, None if window is None else window.seconds)
            if rate != self.sample_rate:
                if not self.resample:
                    raise InputError(f"'{path}' has {rate} Hz, not {self.sample_rate}.")
                self._say("sample_rate", f"'{path}' has {rate} Hz: resampled to {self.sample_rate}")
                signal = audio.resample(torch.from_numpy(signal), rate, self.sample_rate).numpy()
            signals.append(signal)
        lengths = [len(signal) for signal in signals]
        length = min(lengths)
        if max(lengths) - length > LENGTH_TOLERANCE_SECONDS * self.sample_rate:
            self._say_uneven(entry, length / self.sample_rate, max(lengths) / self.sample_rate)
        if window is not None:
            length = min(length, round(window.seconds * self.sample_rate))
        mixture, *others = (signal[:length] for signal in signals)
        noise = others.pop() if entry.noise is not None else None
        sources = np.stack(others) if others else np.zeros((0, length), np.float32)
        return Example(entry.id, mixture, sources, noise)

    def _seconds(self, entry: Entry) -> float:
        """How long all files of a mixture last, from their headers where the manifest does not say."""
        if entry.seconds is not None:
            return entry.seconds
        lengths = [_checked_header(path)[1] for path in entry.files]
        if max(lengths) - min(lengths) > LENGTH_TOLERANCE_SECONDS:
            self._say_uneven(entry, min(lengths), max(lengths))
        return min(lengths)

    def _say_uneven(self, entry: Entry, shortest: float, longest: float) -> None:
        self._say(
            "length",
            f"The files of '{entry.id}' last from {shortest:.2f} to {longest:.2f} s: cut to the shortest",
        )

    def _say(self, kind: str, sentence: str) -> None:
        self.said[kind] += 1
        if self.said[kind] == 1:
            logger.warning("%s; more of this kind are not reported.", sentence)


def _entry(content: Any, manifest: Path) -> Entry:
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    mixture, sources = content.get("mixture"), content.get("sources", content.get("references", []))
    texts = {"mixture": mixture, "noise": content.get("noise")}
    for key, value in texts.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise ValueError(f"has a {key} that is no path")
    if not isinstance(sources, list) or not all(isinstance(source, str) and source for source in sources):
        raise ValueError("has sources that are no list of paths")
    speakers = content.get("speakers") or []
    if not isinstance(speakers, list):
        raise ValueError("has speakers that are no list")
    if not isinstance(content.get("transcripts") or [], list):
        raise ValueError("has transcripts that are no list")
    if not (mixture or sources or texts["noise"]):
        raise ValueError("names no recording")
    rate, seconds = content.get("sample_rate"), content.get("seconds")
    for key, value in {"sample_rate": rate, "seconds": seconds}.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or value <= 0
        ):
            raise ValueError(f"has the {key} {json.dumps(value)}")
    folder = manifest.parent
    first = mixture or next(iter(sources), None) or texts["noise"]
    return Entry(
        id=str(content.get("id") or Path(str(first)).stem),
        mixture=folder / mixture if mixture else None,
        sources=tuple(folder / source for source in sources),
        noise=folder / texts["noise"] if texts["noise"] else None,
        sample_rate=None if rate is None else round(rate),
        seconds=None if seconds is None else float(seconds),
        speakers=tuple(map(str, speakers)),
        split=str(content.get("split") or ""),
        recipe=content.get("recipe"),
        transcripts=tuple(map(str, content.get("transcripts") or ())),
    )


def _relative(path: Path | None, folder: Path) -> str | None:
    """``path`` as seen from ``folder``, which has no links in it: ``..`` would lead elsewhere."""
    if path is None:
        return None
    place = _resolved(path.parent) / path.name
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # another drive
        return place.as_posix()


@lru_cache(maxsize=1024)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _header(path: Path) -> tuple[int, float] | str:
    """Rate and duration, or why the file cannot be used."""
    try:
        return _checked_header(path)
    except InputError as error:
        return str(error)


def _checked_header(path: Path) -> tuple[int, float]:
    info = audio.probe(path)
    seconds = audio.read(path).seconds if info.seconds is None else info.seconds
    if not seconds > 0:
        raise InputError(f"'{path}' has no samples.")
    return info.sample_rate, seconds


def _part(path: Path, start: float, seconds: float | None) -> tuple[Float[np.ndarray, "time"], int]:
    """The first channel of a recording, or of ``seconds`` of it from ``start`` on, and its rate.

    Of a recording of hours, only the part is decoded.
    """
    if seconds is None:
        recording = audio.read(path)
        return recording.samples[0].numpy(), recording.sample_rate
    try:
        with soundfile.SoundFile(native(path)) as file:
            rate = file.samplerate
            file.seek(min(round(start * rate), file.frames))
            samples = file.read(round(seconds * rate), dtype="float32", always_2d=True)[:, 0]
    except (
        soundfile.LibsndfileError,
        OSError,
    ):  # what only the other reader can read, or can say what is wrong
        recording = audio.read(path)
        rate = recording.sample_rate
        first = round(start * rate)
        samples = recording.samples[0, first : first + round(seconds * rate)].numpy()
    if not len(samples):
        raise InputError(f"'{path}' ends before {start:.2f} s.")
    if not np.isfinite(samples).all():
        raise InputError(f"'{path}' contains samples that are not numbers (NaN or infinity).")
    return np.ascontiguousarray(samples), rate


def _listed(values: Iterable[Any]) -> str:
    return " and ".join(str(value) for value in sorted(set(values)))
