"""Mixtures with their true voices, as arrays: what every set of them can do, wherever the arrays come from.

A set has a length, gives whole items (``set[i]``, iteration) to be scored on, and endless random excerpts
(``set.example``) to be trained on. Which excerpt an index gives depends on the seed and the index alone: it is the
same in whichever worker process it is read.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import counted

logger = logging.getLogger(__name__)

MAX_BAD_SHARE = 0.01
"""How much of a set may be missing or broken before it is refused."""
_EXCERPT, _ORDER = 1, 2
"""What a generator is seeded for, beside the seed and the number."""


class Window(NamedTuple):
    """Which part of an item to read: where, from 0 (as early as can be) to 1 (as late as can be), and how long."""

    place: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One mixture and what it is made of, at the set's sample rate."""

    id: str
    mixture: Float[np.ndarray, "time"]
    sources: Float[np.ndarray, "source time"]
    noise: Float[np.ndarray, "time"] | None = None


class Examples(ABC):
    """A set of mixtures with their voices.

    Args:
        name: how messages call the set.
        sample_rate: Hz, of everything that the set gives.
        max_bad_share: items that cannot be read are skipped as long as they are no more than this share of all.

    Attributes:
        bad: what cannot be read, by index, with the reason.

    Raises:
        UsageError: a sample rate or a share that makes no sense.
    """

    def __init__(self, name: str, sample_rate: int, max_bad_share: float = MAX_BAD_SHARE) -> None:
        if sample_rate < 1:
            raise UsageError("A sample rate is at least 1 Hz.")
        if not 0.0 <= max_bad_share <= 1.0:
            raise UsageError("The share of files that may be bad lies between 0 and 1.")
        self.name, self.sample_rate, self.max_bad_share = name, sample_rate, max_bad_share
        self.bad: dict[int, str] = {}

    @abstractmethod
    def __len__(self) -> int:
        """How many items, those that cannot be read included."""

    @abstractmethod
    def load(self, index: int, window: Window | None = None) -> Example:
        """Item ``index``, or the part of it in ``window``, cut where the item ends.

        Raises:
            InputError: it cannot be read.
        """

    def __getitem__(self, index: int) -> Example:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {counted(len(self), 'item')}.")
        return self.load(index % len(self))

    def __iter__(self) -> Iterator[Example]:
        """All items in order, but for those that cannot be read."""
        for index in range(len(self)):
            example = self._try(index)
            if example is not None:
                yield example

    def example(
        self, index: int, seed: int = 0, seconds: float | None = None
    ) -> tuple[Float[np.ndarray, "time"], Float[np.ndarray, "source time"]]:
        """A mixture and its sources to train on, for any ``index`` from 0.

        Every ``len(self)`` indices are one epoch, in which every item comes once, in an order drawn for that
        epoch. In place of an item that cannot be read comes the next one of the epoch.

        Args:
            index: 0, 1, 2 ... without end.
            seed: another seed gives another order and other excerpts.
            seconds: length of the excerpt; a shorter item is filled up with zeros. Whole items if not given.

        Raises:
            InputError: more items than ``max_bad_share`` cannot be read.
        """
        epoch, number = divmod(index, len(self))
        order = _order(len(self), seed, epoch)
        window = None
        if seconds is not None:
            window = Window(np.random.default_rng((seed, index, _EXCERPT)).random(), seconds)
        for step in range(len(self)):
            example = self._try(int(order[(number + step) % len(self)]), window)
            if example is not None:
                break
        else:
            raise InputError(
                f"No item of {self.name} can be read; the first: {next(iter(self.bad.values()))}"
            )
        if seconds is None:
            return example.mixture, example.sources
        missing = round(seconds * self.sample_rate) - len(example.mixture)
        return np.pad(example.mixture, (0, missing)), np.pad(example.sources, ((0, 0), (0, missing)))

    def leave_out(self, index: int, reason: str) -> None:
        """Note that an item cannot be read.

        Raises:
            InputError: these are too many now.
        """
        self.bad[index] = reason
        if len(self.bad) > self.max_bad_share * len(self):
            raise InputError(
                f"{len(self.bad)} of the {counted(len(self), 'item')} of {self.name} cannot be used, more than "
                f"{100 * self.max_bad_share:g} %; the first: {next(iter(self.bad.values()))}"
            )

    def _try(self, index: int, window: Window | None = None) -> Example | None:
        if index in self.bad:
            return None
        try:
            return self.load(index, window)
        except InputError as error:
            self.leave_out(index, str(error))
            logger.warning("Left out: %s", error)
            return None


@lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> Int[np.ndarray, "item"]:
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(length)


def excerpt(length: int, window: Window | None, sample_rate: int) -> slice:
    """The samples of an item of ``length`` samples that lie in ``window``.

    >>> excerpt(10, Window(0.5, 4.0), 1)
    slice(3, 7, None)
    >>> excerpt(3, Window(0.5, 4.0), 1)
    slice(0, 3, None)
    """
    if window is None:
        return slice(0, length)
    wanted = min(length, round(window.seconds * sample_rate))
    start = int(window.place * (length - wanted + 1))
    return slice(start, start + wanted)
