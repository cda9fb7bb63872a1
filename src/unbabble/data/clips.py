"""Recordings of sounds, with or without labels: what classifiers learn from, and encoders that learn group after group.

A set of clips has an end, and its items have none: item ``i`` is clip ``i`` of an order that is drawn anew each time
all have been drawn, from a moment on that is drawn too; both depend on the seed and on ``i`` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import did_you_mean
from unbabble.data.layouts.sounds import Sound, sounds
from unbabble.data.sets import Data, Joined, Several, data
from unbabble.data.store import Store

UNKNOWN = -1
"""The number of the label of a clip that has none."""


class Clip(NamedTuple):
    """An excerpt, and the number of its label; or, for each label, whether it has it."""

    waveform: Float[np.ndarray, " time"]
    label: Int[np.ndarray, "..."]


class Views(NamedTuple):
    """Two excerpts of one clip, and the number of its label, ``UNKNOWN`` where it has none."""

    views: Float[np.ndarray, "2 time"]
    label: Int[np.ndarray, ""]


@data("clips")
@dataclass(frozen=True)
class Clips(Data):
    """Clips, one by one.

    Args:
        clips: a table with the columns ``file`` and ``label``, the folder of ESC-50, UrbanSound8K, TAU Urban Acoustic
            Scenes, VGGSound or FSD50K, or any folder of recordings, which then have no labels.
        labels: in the order of their numbers; all there are, by name, where none is named.
        only: clips of these labels alone.
        folds: of these folds, or splits, alone.
        leave_out: column of the table; what has neither 0 nor nothing there is left out.
        several: clips have several labels, or none: an item says of each whether it has it.
        pairs: an item is two excerpts of one clip.
        seconds: of an excerpt; what is shorter is repeated.
        sample_rate: Hz.

    Raises:
        UsageError: excerpts of no duration, or several labels for pairs.
    """

    clips: Path
    labels: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    leave_out: str = ""
    several: bool = False
    pairs: bool = False
    seconds: float = 2.0
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if self.seconds * self.sample_rate < 1:
            raise UsageError("Clips: an excerpt lasts at least one sample.")
        if self.several and self.pairs:
            raise UsageError("Clips: pairs have one label each, or none.")

    @cached_property
    def _all(self) -> list[Sound]:
        return sounds(self.clips)

    @property
    def known(self) -> tuple[str, ...]:
        """The labels by their numbers, whatever folds are left."""
        return self.labels or tuple(sorted({label for each in self._all for label in each.labels}))

    @cached_property
    def chosen(self) -> list[int]:
        """Numbers of the clips that are left, among all.

        Raises:
            InputError: none is left, or none of a label that is named.
        """
        every = {label for each in self._all for label in each.labels}
        for label in (*self.labels, *self.only):
            if label not in every:
                raise InputError(f"'{self.clips}' has no label '{label}'.{did_you_mean(label, every)}")
        wanted = {*(self.only or (() if self.several else self.known))}
        chosen = [
            number
            for number, each in enumerate(self._all)
            if (not self.folds or each.fold in self.folds)
            and (not wanted or wanted & {*each.labels})
            and dict(each.row).get(self.leave_out, "0") in ("", "0")
        ]
        left = {label for number in chosen for label in self._all[number].labels}
        empty = [label for label in self.only or self.labels if label not in left]
        if empty or not chosen:
            what = f"No clip of '{empty[0]}'" if empty else "No clip"
            folds = f" in fold {' or '.join(self.folds)}" if self.folds else ""
            raise InputError(f"{what} is left of '{self.clips}'{folds}.")
        return chosen

    def decides(self) -> dict[str, Any]:
        """Of a classifier, its labels."""
        if not self.known:
            raise InputError(f"'{self.clips}' has no labels.")
        return {"labels": list(self.known), "several": self.several}

    def open(self, seed: int) -> "ClipItems":
        """An endless row of items."""
        return ClipItems(self, seed)


class ClipItems:
    """``items[i]``: see the module; whole clips are ``clip(n)``, n below ``len``.

    Attributes:
        label: the number of each clip's first label.
    """

    def __init__(self, described: Clips, seed: int = 0) -> None:
        self.described, self.seed = described, seed
        self.store = Store([each.path for each in described._all], described.sample_rate)
        self.chosen = described.chosen
        names = {name: number for number, name in enumerate(described.known)}
        self.labels = [
            [names[label] for label in described._all[number].labels if label in names]
            for number in self.chosen
        ]
        self.label = np.array([each[0] if each else UNKNOWN for each in self.labels])
        self.classes = len(names)

    def __len__(self) -> int:
        return len(self.chosen)

    def clip(self, number: int) -> Float[np.ndarray, " time"]:
        """All of a clip; a single zero where it could not be read."""
        samples = self.store[self.chosen[number]]
        return samples if len(samples) else np.zeros(1, np.float32)

    def __getitem__(self, index: int) -> Clip | Views:
        epoch, place = divmod(index, len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        number = int(order[place])
        rng = np.random.default_rng([self.seed, index, 1])
        samples = self.clip(number)
        if self.described.pairs:
            views = np.stack([self._excerpt(rng, samples) for _ in range(2)])
            return Views(views, np.array(self.label[number]))
        label = np.array(self.label[number])
        if self.described.several:
            label = np.zeros(self.classes, int)
            label[self.labels[number]] = 1
        return Clip(self._excerpt(rng, samples), label)

    def _excerpt(self, rng: np.random.Generator, samples: Float[np.ndarray, " time"]) -> Any:
        length = round(self.described.seconds * self.described.sample_rate)
        first = int(rng.integers(max(1, len(samples) - length + 1)))
        return np.resize(samples[first : first + length], length)


@data("stream")
@dataclass(frozen=True)
class ClipStream(Data):
    """Clips that arrive group after group: each is learnt from for so many steps, and never comes back.

    Args:
        clips: in pairs.
        groups: the labels of each group; one group of everything where none is named.
        group_steps: of each.

    Raises:
        UsageError: fewer than one step.
    """

    clips: Clips
    groups: tuple[tuple[str, ...], ...] = ()
    group_steps: int = 100

    def __post_init__(self) -> None:
        if self.group_steps < 1:
            raise UsageError("A stream of clips has at least one step for each group.")

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return self.clips.sample_rate

    @property
    def known(self) -> tuple[str, ...]:
        """All labels, by their numbers."""
        return self.clips.known

    @property
    def parts(self) -> Sequence[Clips]:
        """The clips of each group, with labels that have the same numbers in all."""
        clips = replace(self.clips, pairs=True, labels=self.known)
        return [replace(clips, only=group) for group in self.groups] or [clips]

    def open(self, seed: int) -> Joined:
        """One group after another."""
        sets: dict[str, Data] = {f"group {number}": each for number, each in enumerate(self.parts, 1)}
        return Several(sets, {}, dict.fromkeys([*sets][:-1], self.group_steps)).open(seed)
