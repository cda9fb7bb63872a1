"""How well things are found: average precision of ranked lists."""

import numpy as np
from jaxtyping import Bool, Float


def average_precision(scores: Float[np.ndarray, " item"], relevant: Bool[np.ndarray, " item"]) -> float:
    """Mean, over what is relevant, of the share of relevant items down to it in the list by score.

    Items of equal score share their places: a constant score is worth the share of what is relevant.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    0.8333333333333333
    >>> average_precision(np.zeros(4), np.array([True, False, False, False]))
    0.25
    """
    count = int(relevant.sum())
    if not count:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, gained = scores[order], relevant[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision = gained[last] / (last + 1)
    return float((np.diff(gained[last], prepend=0) * precision).sum() / count)


def mean_average_precision(
    scores: Float[np.ndarray, "query item"], relevant: Bool[np.ndarray, "query item"]
) -> float:
    """Mean of ``average_precision`` over the queries for which something is relevant."""
    each = [average_precision(*row) for row in zip(scores, relevant, strict=True) if row[1].any()]
    return float(np.mean(each)) if each else float("nan")
