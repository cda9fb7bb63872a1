"""Recordings with what is heard in them, as items to learn from: ``kind: captioned``.

A table (``data.corpora``) has the columns ``file`` and ``label``, and may have ``fold``. A text is made of a label by
one of several prompts, drawn; a column ``text``, where there is one, stands for it as it is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbabble.base import audio
from unbabble.base.errors import InputError, UsageError
from unbabble.data import corpora
from unbabble.data.sets import Data, data

PROMPTS = (
    "{}",
    "this is a sound of {}",
    "the sound of {} in a recording",
    "we hear {}",
    "{} in the background",
)


class CaptionedItem(NamedTuple):
    """An item.

    Attributes:
        waveform: (time,), of unit power.
        text: what describes it.
        label: what it is of, by name.
    """

    waveform: Float[np.ndarray, " time"]
    text: str
    label: str


@dataclass(frozen=True)
class Captioned:
    """A recording and what is heard in it."""

    path: Path
    label: str
    text: str = ""


@data("captioned")
@dataclass(frozen=True)
class CaptionedSounds(Data):
    """What joint embedders learn from.

    Args:
        tables: CSV files with ``file`` and ``label``.
        folds: of the tables' column ``fold``; all if not given.
        without: labels that are left out.
        where: column and value that rows must have, as ``{also_in_esc50: "0"}``.
        seconds: of an item; what is shorter is repeated.
        sample_rate: Hz.
        in_order: items come one after another, with the first prompt, each once: for validation.

    Raises:
        UsageError: no table, or no time.
    """

    tables: tuple[Path, ...]
    folds: tuple[int, ...] = ()
    without: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    seconds: float = 5.0
    sample_rate: int = 16000
    in_order: bool = False

    def __post_init__(self) -> None:
        if not self.tables or self.seconds <= 0 or self.sample_rate < 1:
            raise UsageError("Captioned sounds have a table, a duration and a sample rate.")

    def decides(self) -> dict[str, object]:
        """The names of what is heard."""
        return {"words": ",".join(sorted({readable(each.label) for each in self.rows()}))}

    def rows(self) -> list[Captioned]:
        """The recordings.

        Raises:
            InputError: a table that cannot be read, or nothing is left of all.
        """
        rows = []
        for table in self.tables:
            columns = ("file", "label", *(["fold"] if self.folds else []))
            for row in corpora.read_table(Path(table), columns):
                fits = all(row.get(name, value) == value for name, value in self.where)
                if fits and row["label"] not in self.without and (
                    not self.folds or int(row["fold"]) in self.folds
                ):  # fmt: skip
                    rows.append(
                        Captioned(corpora.locate(Path(table), row["file"]), row["label"], row.get("text", ""))
                    )
        if not rows:
            raise InputError(f"Nothing is left of '{self.tables[0]}': no row is of these folds and labels.")
        return rows

    def open(self, seed: int) -> "CaptionedItems":
        """An endless row of items."""
        return CaptionedItems(self, seed)


class CaptionedItems:
    """``items[i]``: every epoch in an order of its own; recordings are kept in memory, in 16 bits."""

    def __init__(self, data: CaptionedSounds, seed: int) -> None:
        self.data, self.seed, self.rows = data, seed, data.rows()
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> CaptionedItem:
        epoch, place = divmod(index, len(self.rows))
        rng = np.random.default_rng([self.seed, index])
        if not self.data.in_order:
            place = int(np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.rows))[place])
        row = self.rows[place]
        prompt = PROMPTS[0 if self.data.in_order else int(rng.integers(len(PROMPTS)))]
        text = row.text or prompt.format(readable(row.label))
        return CaptionedItem(self._waveform(place).astype(np.float32), text, row.label)

    def _waveform(self, place: int) -> Float[np.ndarray, " time"]:
        if place not in self._kept:
            samples = audio.read(self.rows[place].path)
            loudest = samples.samples[samples.samples.square().sum(1).argmax()]
            mono = audio.resample(loudest, samples.sample_rate, self.data.sample_rate).numpy()
            length = round(self.data.seconds * self.data.sample_rate)
            mono = np.resize(mono, length) if len(mono) < length else mono[:length]
            mono = mono - mono.mean()
            self._kept[place] = (mono / (np.sqrt(np.mean(mono**2)) or 1)).astype(np.float16)
        return self._kept[place]


def readable(label: str) -> str:
    """A label as words.

    >>> readable("crying_baby")
    'crying baby'
    """
    return label.replace("_", " ").strip().lower()
