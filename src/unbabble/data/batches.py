"""Which items make up which batch: a function of the batch's number and the seed, and of nothing else.

So a run that goes on from batch 1000 sees what it would have seen, in however many processes it is made. Plans add up:
a stage, or a set that has a share, may be a plan by length.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

import numpy as np

LENGTH_JITTER = 0.07
"""Relative, of the lengths by which ``ByDuration`` sorts."""


class Place(NamedTuple):
    """Item ``number`` of set ``set`` (the sets of ``data.sets.Several`` in their order)."""

    set: int
    number: int


class Plan(Protocol):
    """``plan[n]``: the places of batch ``n``, for all n from 0 on."""

    def __getitem__(self, batch: int) -> list[Place]:
        """The places of the items of one batch."""
        ...


@dataclass(frozen=True)
class Plain:
    """One item after another, of a set that has no end.

    Args:
        size: items of a batch.
        set: which set they are of.
    """

    size: int
    set: int = 0

    def __getitem__(self, batch: int) -> list[Place]:
        return [Place(self.set, batch * self.size + item) for item in range(self.size)]


@dataclass(frozen=True)
class ByLength:
    """Items of about one length together, so that little is padded; each once an epoch, in an order of its own.

    Args:
        lengths: of all items of a set that has an end, in any unit.
        size: items of a batch; where the number of items is no multiple of it, some of the longest come twice.
        seed: of the order of the batches.
        set: which set they are of.
    """

    lengths: Sequence[float]
    size: int
    seed: int
    set: int = 0

    @cached_property
    def _groups(self) -> list[list[Place]]:
        order = np.argsort(np.asarray(self.lengths), kind="stable")
        parts = [order[first : first + self.size] for first in range(0, len(order), self.size)]
        parts[-1] = np.resize(order[-self.size :], self.size)
        return [[Place(self.set, int(number)) for number in part] for part in parts]

    def __getitem__(self, batch: int) -> list[Place]:
        epoch, place = divmod(batch, len(self._groups))
        return self._groups[_order(self.seed, epoch, len(self._groups))[place]]


@dataclass(frozen=True)
class ByDuration:
    """Items of about one length together, as many as last so long when all are padded; each once an epoch.

    Which items are together changes from epoch to epoch: they are sorted by lengths that are drawn a little anew.
    Item ``n`` of ``N`` has the number ``n + N e`` in epoch ``e``: a set may draw it anew.

    Args:
        lengths: of all items of a set that has an end.
        most: of a batch: its number of items times the longest of them; a longer item is a batch of its own.
        seed: of the groups and their order.
        set: which set they are of.
    """

    lengths: Sequence[float]
    most: float
    seed: int
    set: int = 0

    @cached_property
    def _epochs(self) -> "_Epochs":
        return _Epochs(self)

    def groups(self, epoch: int) -> list[list[Place]]:
        """The batches of an epoch, in their order."""
        rng = np.random.default_rng([self.seed, epoch])
        lengths = np.asarray(self.lengths, float)
        made: list[list[Place]] = []
        longest = np.inf
        for number in np.argsort(lengths * rng.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths))):
            longest = max(longest, lengths[number])
            if not made or longest * (len(made[-1]) + 1) > self.most:
                made.append([])
                longest = lengths[number]
            made[-1].append(Place(self.set, int(number) + epoch * len(lengths)))
        return [made[place] for place in rng.permutation(len(made))]

    def __getitem__(self, batch: int) -> list[Place]:
        return self._epochs[batch]


class _Epochs:
    """The batches of a plan whose epochs are not of one length; the last epoch that was asked for is kept."""

    def __init__(self, plan: ByDuration) -> None:
        self.plan, self.ends = plan, [0]
        self.kept: tuple[int, list[list[Place]]] = (-1, [])

    def __getitem__(self, batch: int) -> list[Place]:
        while self.ends[-1] <= batch:
            self.ends.append(self.ends[-1] + len(self.plan.groups(len(self.ends) - 1)))
        epoch = bisect_right(self.ends, batch) - 1
        if self.kept[0] != epoch:
            self.kept = epoch, self.plan.groups(epoch)
        return self.kept[1][batch - self.ends[epoch]]


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng([seed, epoch]).permutation(count).tolist())


@dataclass(frozen=True)
class ByShare:
    """Each batch of one of several plans, drawn: the items of a batch are of one kind and shape.

    Args:
        plans: one for each set.
        shares: how often each is drawn, in proportion to one another.
        seed: of the draws.
    """

    plans: Sequence[Plan]
    shares: Sequence[float]
    seed: int

    def __getitem__(self, batch: int) -> list[Place]:
        shares = np.asarray(self.shares, float)
        rng = np.random.default_rng([self.seed, batch])
        return self.plans[int(rng.choice(len(shares), p=shares / shares.sum()))][batch]


@dataclass(frozen=True)
class ByStage:
    """One plan after another.

    Args:
        plans: one for each stage.
        batches: how many each stage has but the last, which has no end.
    """

    plans: Sequence[Plan]
    batches: Sequence[int]

    @cached_property
    def _ends(self) -> list[int]:
        return np.cumsum(self.batches).tolist()

    def __getitem__(self, batch: int) -> list[Place]:
        """By the batch's own number, not that within its stage: a set goes on where another one stood in for it."""
        return self.plans[bisect_right(self._ends, batch)][batch]
