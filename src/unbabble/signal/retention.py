"""How much is known, and how much was forgotten, by what learnt group after group.

``accuracies[i, j]`` is the accuracy on group j once group i has been learnt; groups that are still to come count as
they stand in the table, as 0 where nothing was measured.
"""

import numpy as np
from jaxtyping import Float


def average_accuracy(accuracies: Float[np.ndarray, "learnt group"]) -> float:
    """A, the mean of all groups once the last has been learnt.

    >>> average_accuracy(np.array([[0.8, 0.0], [0.5, 0.9]]))
    0.7
    """
    return round(float(np.mean(accuracies[-1])), 12)


def forgetting(accuracies: Float[np.ndarray, "learnt group"]) -> float:
    """F, the mean over all groups but the last of the most that was known of it less what is known at the end.

    Z. Wang et al., IEEE SPL 29, 2022:  F = 1/(T-1) sum_{j<T} max_i (a_ij - a_Tj), over all rows i.

    >>> forgetting(np.array([[0.8, 0.0], [0.5, 0.9]]))
    0.3

    Raises:
        ValueError: there is one group alone.
    """
    if accuracies.shape[1] < 2:
        raise ValueError("Of one group nothing can be forgotten for another.")
    return round(float(np.mean((accuracies.max(0) - accuracies[-1])[:-1])), 12)
