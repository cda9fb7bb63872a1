"""How sure a figure is: the percentile bootstrap (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993).

Recordings, or whatever is independent of one another, are drawn again with replacement, many times; the figure is
computed of every draw, and its interval holds the middle 95 per cent of these. The same seed gives the same draws,
whatever the statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 2000
PERCENTILES = (2.5, 97.5)
Seed = int | np.random.Generator


class Estimate(NamedTuple):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def resamples(count: int, seed: Seed = 0, number: int = DRAWS) -> np.ndarray:
    """Indices (draw, item) of ``number`` samples with replacement of ``count`` items, each of as many items."""
    return np.random.default_rng(seed).integers(count, size=(number, count))


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a figure of which ``drawn`` (draw,) are bootstrapped values; NaN is left out."""
    low, high = np.nanpercentile(drawn, PERCENTILES)
    return float(low), float(high)


def bootstrap(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[..., np.ndarray] = np.mean,
    seed: Seed = 0,
    number: int = DRAWS,
) -> Estimate:
    """A statistic of ``values`` and its 95 % bootstrap interval.

    Args:
        values: one for each item (item,), at least one.
        statistic: what is asked of them; takes ``axis``, as ``np.mean`` and ``np.median`` do.
        seed: of the draws, or a generator to take them from.
        number: how many draws.

    Raises:
        ValueError: there are no values.
    """
    numbers = np.asarray(values, float)
    if not len(numbers):
        raise ValueError("A figure needs at least one value.")
    value = float(statistic(numbers, axis=0))
    if np.isnan(value):
        return Estimate(value, value, value)
    return Estimate(value, *interval(statistic(numbers[resamples(len(numbers), seed, number)], axis=1)))


def ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    seed: Seed = 0,
    number: int = DRAWS,
) -> Estimate:
    """One sum over another, as errors over words, and its 95 % bootstrap interval.

    Args:
        numerators: one for each item (item,), at least one.
        denominators: of the same items; their sum is positive.
        seed: of the draws, or a generator to take them from.
        number: how many draws.

    Raises:
        ValueError: there are no items.
    """
    upper, lower = np.asarray(numerators, float), np.asarray(denominators, float)
    if not len(upper):
        raise ValueError("A figure needs at least one value.")
    items = resamples(len(upper), seed, number)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of nothing but items without denominator
        drawn = upper[items].sum(1) / lower[items].sum(1)
    drawn[~np.isfinite(drawn)] = np.nan
    return Estimate(float(upper.sum() / lower.sum()), *interval(drawn))
