"""How well scores tell pairs of the same person from pairs of two."""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor


def equal_error_rate(scores: Float[Tensor, " trial"], same: Bool[Tensor, " trial"]) -> float:
    """Where as many pairs of one person are refused as pairs of two are accepted.

    Args:
        scores: higher for pairs of one person.
        same: which pairs these are.

    Raises:
        ValueError: pairs of one kind alone.

    >>> import torch
    >>> equal_error_rate(torch.tensor([0.9, 0.8, 0.3, 0.1]), torch.tensor([True, True, False, False]))
    0.0
    >>> equal_error_rate(torch.tensor([0.9, 0.2, 0.3, 0.1]), torch.tensor([True, True, False, False]))
    0.5
    """
    values, right = scores.detach().double().cpu().numpy(), same.cpu().numpy()
    if right.all() or not right.any():
        raise ValueError("An equal error rate needs pairs of one person and pairs of two.")
    values, place = np.unique(values, return_inverse=True)  # equal scores are accepted or refused together
    of_one, of_two = (np.bincount(place[chosen], minlength=len(values)) for chosen in (right, ~right))
    # With the threshold below all scores, then above each in turn.
    refused = np.concatenate([[0], of_one.cumsum()]) / right.sum()
    accepted = 1 - np.concatenate([[0], of_two.cumsum()]) / (~right).sum()
    after = int((refused >= accepted).argmax())
    before = max(0, after - 1)
    gap_before, gap_after = accepted[before] - refused[before], refused[after] - accepted[after]
    share = gap_before / (gap_before + gap_after) if gap_before + gap_after else 0.0
    return float(refused[before] + share * (refused[after] - refused[before]))
