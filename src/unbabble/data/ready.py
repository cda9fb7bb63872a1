"""Mixtures that are there already, or are made by a list: manifests and LibriMix, as items to learn from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from unbabble.data.dynamic import Item
from unbabble.data.examples import Examples
from unbabble.data.librimix import LibriMixSet
from unbabble.data.manifest import ManifestSet
from unbabble.data.sets import Data, data


@data("manifest")
@dataclass(frozen=True)
class ManifestData(Data):
    """Ready mixtures.

    Args:
        manifest: as ``unbabble prepare`` writes them.
        seconds: duration of an excerpt, None for whole mixtures (then the batch is 1).
        sample_rate: Hz.
    """

    manifest: Path
    seconds: float | None = 4.0
    sample_rate: int = 8000

    def open(self, seed: int) -> "ReadyItems":
        """Excerpts of the mixtures."""
        return ReadyItems(ManifestSet(self.manifest, self.sample_rate), self.seconds, seed)


@data("librimix")
@dataclass(frozen=True)
class LibriMixData(Data):
    """LibriMix without its files: see ``data.librimix.LibriMixSet``.

    Args:
        metadata: a list of LibriMix.
        librispeech: the corpus that it is made of.
        noise: WHAM!'s noise, where the condition has noise.
        condition: mix_clean, mix_both or mix_single.
        mode: min or max.
        seconds: as in ``ManifestData``.
        sample_rate: Hz.
    """

    metadata: Path
    librispeech: Path
    noise: Path | None = None
    condition: Literal["mix_clean", "mix_both", "mix_single"] = "mix_clean"
    mode: Literal["min", "max"] = "min"
    seconds: float | None = 4.0
    sample_rate: int = 8000

    def open(self, seed: int) -> "ReadyItems":
        """Excerpts of the mixtures."""
        ready = LibriMixSet(
            self.metadata,
            self.librispeech,
            self.mode,
            self.sample_rate,
            condition=self.condition,
            noise=self.noise,
        )
        return ReadyItems(ready, self.seconds, seed)


@dataclass(frozen=True)
class ReadyItems:
    """``items[i]``: an endless row of excerpts, every epoch in an order of its own, at unit level."""

    mixtures: Examples
    seconds: float | None
    seed: int

    def __getitem__(self, index: int) -> Item:
        mixture, sources = self.mixtures.example(index, self.seed, self.seconds)
        level = np.sqrt(np.mean(mixture**2)) or np.float32(1)
        return Item(mixture / level, sources / level)
