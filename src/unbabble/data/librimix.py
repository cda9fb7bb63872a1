"""LibriMix without its files: every mixture is made in memory from LibriSpeech and LibriMix's metadata.

Cosentino, Pariente, Cornell, Deleforge & Vincent, "LibriMix: an open-source dataset for generalizable speech
separation", 2020 (arXiv:2005.11262).

A row of the metadata names the utterances, the noise, and a gain for each. As the corpus's own recipe does: multiply
by the gains, resample from 16 kHz with a polyphase filter, cut all to the shortest utterance (``min``) or fill up to
the longest (``max``), add. The samples differ from the corpus's files only by the 16 bits to which those are rounded.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.signal import resample_poly

from unbabble.base.errors import InputError, UsageError
from unbabble.base.inputs import SUFFIXES
from unbabble.data import corpora
from unbabble.data.examples import MAX_BAD_SHARE, Example, Examples, Window, excerpt

Mode = Literal["min", "max"]
Condition = Literal["mix_clean", "mix_both", "mix_single"]
LIBRISPEECH_RATE = 16000
FADE = LIBRISPEECH_RATE // 2 + 1
"""Samples over which a noise that is too short fades into its own beginning."""


class LibriMixSet(Examples):
    """The mixtures that a LibriMix metadata file describes.

    Args:
        metadata: a CSV file with the columns ``mixture_ID``, ``source_1_path``, ``source_1_gain`` and so on for each
            talker, as ``libri2mix_test-clean.csv``.
        librispeech: LibriSpeech, in its own folders, or any folder with files of the same names.
        mode: as long as the shortest utterance (``min``) or the longest (``max``).
        sample_rate: Hz, at most 16000.
        condition: the talkers alone (``mix_clean``), with noise (``mix_both``), or the first with noise
            (``mix_single``).
        noise: the noise of WHAM!, where the condition has noise.
        max_bad_share: rows whose files are missing or broken are skipped up to this share.

    Raises:
        InputError: metadata that cannot be read, or too many files missing.
        UsageError: contradictory arguments.
    """

    def __init__(
        self,
        metadata: str | Path,
        librispeech: str | Path,
        mode: Mode = "min",
        sample_rate: int = 8000,
        *,
        condition: Condition = "mix_clean",
        noise: str | Path | None = None,
        max_bad_share: float = MAX_BAD_SHARE,
    ) -> None:
        super().__init__(f"'{metadata}'", sample_rate, max_bad_share)
        if sample_rate > LIBRISPEECH_RATE:
            raise UsageError(f"LibriSpeech has {LIBRISPEECH_RATE} Hz: there are no {sample_rate} Hz in it.")
        if mode not in ("min", "max") or condition not in ("mix_clean", "mix_both", "mix_single"):
            raise UsageError(
                f"LibriMix has the modes min and max and the conditions mix_clean, mix_both and mix_single, not "
                f"'{mode}' and '{condition}'."
            )
        if condition != "mix_clean" and noise is None:
            raise UsageError(f"The condition {condition} needs the folder of WHAM!'s noise.")
        self.mode: Mode = mode
        self.condition: Condition = condition
        table = Path(metadata)
        self.rows = corpora.read_table(table, ("mixture_ID", "source_1_path", "source_1_gain"))
        self.talkers = sum(bool(re.fullmatch(r"source_\d+_path", name)) for name in self.rows[0])
        parts = [f"source_{k}" for k in range(1, self.talkers + 1)]
        names = [f"{part}_{what}" for part in parts for what in ("path", "gain")]
        if condition != "mix_clean":
            names += ["noise_path", "noise_gain"]
        if missing := [name for name in names if name not in self.rows[0]]:
            raise InputError(f"'{table}' has no column {' or '.join(map(repr, missing))}.")
        speech_files = _Files(Path(librispeech))
        noise_files = None if noise is None or condition == "mix_clean" else _Files(Path(noise))
        self._parts: list[list[tuple[Path, float]]] = []
        for index, row in enumerate(self.rows):
            try:
                utterances = [
                    (speech_files.find(row[f"{part}_path"]), _gain(table, row, part)) for part in parts
                ]
                if noise_files is not None:
                    utterances.append((noise_files.find(row["noise_path"]), _gain(table, row, "noise")))
            except InputError as error:
                utterances = []
                self.leave_out(index, str(error))
            self._parts.append(utterances)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int, window: Window | None = None) -> Example:
        """Make mixture ``index``, or the part of it in ``window``.

        Raises:
            InputError: a file is missing, broken, or not at 16 kHz.
        """
        if index in self.bad:
            raise InputError(self.bad[index])
        signals = [_read(path) for path, _ in self._parts[index]]
        if len(signals) > self.talkers:
            signals[-1] = extend(signals[-1], max(map(len, signals[:-1])), self._parts[index][-1][0])
        gains = [gain for _, gain in self._parts[index]]
        parts = combine(signals, gains, self.sample_rate, self.mode)
        parts = parts[:, excerpt(parts.shape[1], window, self.sample_rate)]
        sources = parts[: self.talkers if self.condition != "mix_single" else 1]
        noise = parts[-1] if len(parts) > self.talkers else None
        mixture = sources.sum(0) if noise is None else sources.sum(0) + noise
        return Example(self.rows[index]["mixture_ID"], mixture, sources, noise)


def combine(
    signals: list[Float[np.ndarray, "_"]], gains: list[float], sample_rate: int, mode: Mode
) -> Float[np.ndarray, "part time"]:
    """Scale the parts of a mixture, resample them from 16 kHz, and make them equally long."""
    scaled = [signal * np.float32(gain) for signal, gain in zip(signals, gains, strict=True)]
    resampled = [resample_poly(signal, sample_rate, LIBRISPEECH_RATE) for signal in scaled]
    length = (min if mode == "min" else max)(map(len, resampled))
    parts = np.zeros((len(resampled), length), np.float32)
    for part, signal in zip(parts, resampled, strict=True):
        part[: len(signal)] = signal[:length]
    return parts


def extend(noise: Float[np.ndarray, "given"], length: int, path: Path) -> Float[np.ndarray, "wanted"]:
    """Cut a noise to ``length``, or let it fade into its own beginning, over half a second, until it lasts.

    Raises:
        InputError: too short to fade.
    """
    if len(noise) < length and len(noise) < FADE + 1:
        raise InputError(f"The noise '{path}' is shorter than half a second.")
    rise = np.hanning(2 * FADE - 1)[:FADE]
    extended = noise
    while len(extended) < length:
        crossing = extended[-FADE:] * rise[::-1] + noise[:FADE] * rise
        extended = np.concatenate((extended[:-FADE], crossing, noise[FADE:]))
    return extended[:length].astype(np.float32)


class _Files:
    """Finds files by their path in a folder, or else by their name anywhere in it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"There is no folder '{folder}'.")
        self.folder = folder
        self._known: dict[str, Path] = {}
        self._by_name: dict[str, Path] | None = None

    def find(self, path: str) -> Path:
        """The file that metadata calls ``path``, whatever its suffix.

        Raises:
            InputError: there is none.
        """
        if path not in self._known:
            self._known[path] = self._search(path)
        return self._known[path]

    def _search(self, path: str) -> Path:
        if (direct := self.folder / path).is_file():
            return direct
        if self._by_name is None:
            files = sorted(self.folder.rglob("*"), reverse=True)
            self._by_name = {file.stem: file for file in files if file.suffix.lower() in SUFFIXES}
        path_of_stem = self._by_name.get(Path(path).stem)
        if path_of_stem is None:
            raise InputError(f"There is no file '{Path(path).name}' in '{self.folder}'.")
        return path_of_stem


def _read(path: Path) -> Float[np.ndarray, "time"]:
    samples, rate = corpora.read(path)
    if rate != LIBRISPEECH_RATE:
        raise InputError(f"'{path}' has {rate} Hz: LibriMix is made from files of {LIBRISPEECH_RATE} Hz.")
    return samples[0]


def _gain(table: Path, row: dict[str, str], part: str) -> float:
    text = row[f"{part}_gain"]
    try:
        gain = float(text)
    except (TypeError, ValueError):
        gain = np.nan
    if not np.isfinite(gain):
        raise InputError(f"'{table}': the {part}_gain '{text}' of {row['mixture_ID']} is not a number.")
    return gain
