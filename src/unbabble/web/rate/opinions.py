"""From votes to numbers: mean opinions, preferences and correlations, each with its 95 % interval.

Two intervals of a mean opinion are given. The one of ITU-T P.800 takes votes for independent (Student's t). Votes of
one listener are not, so a bootstrap over listeners (Davison and Hinkley, 1997, section 3.8) draws whole listeners with
replacement; it is the one to quote for a claim about other listeners. Preferences have the exact binomial interval of
Clopper and Pearson (1934); correlations, percentiles of a bootstrap over points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unbabble.signal.statistics import DRAWS, interval, resamples

CONFIDENCE = 0.95
LEAST_POINTS = 4
"""Fewer have no correlation that is worth a number."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Opinion:
    """Of one system. Intervals are None where there is but one vote, or one listener."""

    system: str
    votes: int
    listeners: int
    mean: float
    median: float
    by_votes: Interval | None
    by_listeners: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Preference:
    """Of two systems: how often each was preferred, and the share of ``first`` among those who saw a difference."""

    first: str
    second: str
    first_wins: int
    second_wins: int
    ties: int
    share: float | None
    interval: Interval | None
    p_value: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Correlation:
    """Between what was measured and what was said."""

    points: int
    pearson: float
    pearson_interval: Interval
    spearman: float
    spearman_interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


def opinion(system: str, votes: Mapping[str, Sequence[float]], seed: int = 0) -> Opinion:
    """Of the votes of each listener on one system, at least one vote in all."""
    values = [value for own in votes.values() for value in own]
    own_votes = [list(own) for own in votes.values() if own]
    return Opinion(
        system,
        len(values),
        len(own_votes),
        float(np.mean(values)),
        float(np.median(values)),
        t_interval(values),
        listener_interval(own_votes, seed),
    )


def t_interval(values: Sequence[float]) -> Interval | None:
    """Mean +- t s / sqrt(n), of votes taken for independent (P.800, annex B)."""
    if len(values) < 2:
        return None
    from scipy import stats

    half = (
        stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    )
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)


def listener_interval(votes: Sequence[Sequence[float]], seed: int = 0, draws: int = DRAWS) -> Interval | None:
    """Percentiles of the mean of all votes, when whole listeners are drawn with replacement."""
    if len(votes) < 2:
        return None
    sums, counts = np.array([sum(own) for own in votes]), np.array([len(own) for own in votes])
    drawn = resamples(len(votes), seed, draws)
    return interval(sums[drawn].sum(1) / counts[drawn].sum(1))


def preference(first: str, second: str, first_wins: int, second_wins: int, ties: int = 0) -> Preference:
    """Those who heard no difference are counted, and left out of share and interval."""
    decided = first_wins + second_wins
    if not decided:
        return Preference(first, second, 0, 0, ties, None, None, None)
    from scipy import stats

    p_value = float(stats.binomtest(first_wins, decided).pvalue)
    share, interval = first_wins / decided, binomial_interval(first_wins, decided)
    return Preference(first, second, first_wins, second_wins, ties, share, interval, p_value)


def binomial_interval(wins: int, trials: int) -> Interval:
    """Exact (Clopper and Pearson): quantiles of beta distributions; from 0 and to 1 at the ends."""
    from scipy import stats

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if wins == 0 else float(stats.beta.ppf(tail, wins, trials - wins + 1))
    high = 1.0 if wins == trials else float(stats.beta.ppf(1 - tail, wins + 1, trials - wins))
    return low, high


def correlation(
    first: Sequence[float], second: Sequence[float], seed: int = 0, draws: int = DRAWS
) -> Correlation | None:
    """Pearson's and Spearman's, with bootstrap intervals; None for too few points, or if one side never changes."""
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(x) < LEAST_POINTS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    drawn = resamples(len(x), seed, draws)
    ranked = np.array([_ranks(row) for row in x[drawn]]), np.array([_ranks(row) for row in y[drawn]])
    return Correlation(
        len(x),
        float(_pearson(x, y)),
        interval(_pearson(x[drawn], y[drawn])),
        float(_pearson(_ranks(x), _ranks(y))),
        interval(_pearson(*ranked)),
    )


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Along the last axis; NaN where one side never changes."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    usable = scale > 1e-12
    return np.where(usable, (x * y).sum(-1) / np.where(usable, scale, 1), np.nan)


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]
