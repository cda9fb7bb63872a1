"""Figures of ranks, and their intervals where items come in groups: of a speaker, of a scene."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata

from unbabble.signal.statistics import Estimate, interval, resamples

DRAWS = 1000


def area(values: np.ndarray, positive: np.ndarray) -> float:
    """How probable it is that a positive item has a greater value than another; ties count half. NaN without either."""
    positive = positive.astype(bool)
    count = positive.sum()
    if count in (0, len(positive)):
        return float("nan")
    above = rankdata(values)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of ranks; NaN where all are alike."""
    ranks = rankdata(first), rankdata(second)
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(each) for each in ranks) else float("nan")


def grouped(
    statistic: Callable[[np.ndarray, np.ndarray], float], groups: Sequence[np.ndarray], seed: int = 0
) -> Estimate:
    """A statistic of two columns, and its 95 % interval by bootstrap of groups, each with all its rows.

    Args:
        statistic: ``area`` or ``spearman``.
        groups: (row, 2) each, at least one that is not empty.
    """
    groups = [each for each in groups if len(each)]
    draws = resamples(len(groups), seed, DRAWS)
    drawn = [statistic(*np.concatenate([groups[number] for number in draw]).T) for draw in draws]
    return Estimate(statistic(*np.concatenate(groups).T), *interval(np.array(drawn)))
