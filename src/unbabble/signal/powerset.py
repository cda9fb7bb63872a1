"""Who talks, as one class for each set of talkers: nobody, each alone, each two together.

A. Plaquet, H. Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

AT_ONCE = 2
"""Talkers of a class, at most."""


def powerset(talkers: int) -> Float[Tensor, "class talker"]:
    """For each class 1 where a talker is in it: smaller sets first, then in the order of their talkers.

    >>> powerset(3).int().tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]

    Args:
        talkers: that are told apart.
    """
    sets = [each for size in range(AT_ONCE + 1) for each in combinations(range(talkers), size)]
    return torch.tensor([[float(talker in each) for talker in range(talkers)] for each in sets])


def talkers_of(classes: int) -> int | None:
    """How many talkers have so many classes; None where no number has.

    >>> [talkers_of(classes) for classes in (2, 4, 7, 8, 11)]
    [1, 2, 3, None, 4]
    """
    return next((talkers for talkers in range(1, classes) if len(powerset(talkers)) == classes), None)
