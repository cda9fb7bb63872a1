"""Which estimate is which source: the assignment with the best total score."""

from functools import cache
from itertools import permutations
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.signal.metrics import Metric, pairwise, si_sdr

EXHAUSTIVE_SOURCES = 4
"""Up to here all assignments (24) are compared at once, on the tensor's own device."""
NONE = -1
"""In place of an estimate's number: there is none for this reference."""


class Alignment(NamedTuple):
    """Estimates in the order of their references.

    Attributes:
        estimates: (..., reference, time); zeros where a reference has none.
        order: (..., reference), the number of each reference's estimate, ``NONE`` where it has none.
        scores: (..., reference), differentiable where the metric is; -inf where it has none.
    """

    estimates: Float[Tensor, "*batch reference time"]
    order: Int[Tensor, "*batch reference"]
    scores: Float[Tensor, "*batch reference"]


def best_permutation(
    scores: Float[Tensor, "*batch estimate reference"],
    method: Literal["auto", "exhaustive", "hungarian"] = "auto",
) -> Int[Tensor, "*batch reference"]:
    """The estimate of each reference such that the sum of the scores is largest.

    Each estimate is used once at most. With fewer estimates than references, those that are left out get
    ``NONE``. Infinite scores count as more than any sum of finite ones; NaN counts as -inf. Among equals,
    ``exhaustive`` takes the first.

    Args:
        scores: higher is better.
        method: ``exhaustive`` compares all assignments, ``hungarian`` is scipy's, ``auto`` the former up to
            ``EXHAUSTIVE_SOURCES``.

    Raises:
        ValueError: not a matrix of at least one estimate and one reference.
    """
    if scores.ndim < 2 or 0 in scores.shape[-2:]:
        raise ValueError(f"scores have the shape (..., estimate, reference), not {tuple(scores.shape)}")
    estimates, references = scores.shape[-2:]
    matrices = _finite(scores.detach().double().reshape(-1, estimates, references))
    if method == "auto":
        method = "exhaustive" if max(estimates, references) <= EXHAUSTIVE_SOURCES else "hungarian"
    wide = estimates <= references  # each row gets a column
    rows = matrices if wide else matrices.mT
    columns = (_exhaustive if method == "exhaustive" else _hungarian)(rows)  # (batch, row)
    if wide:
        order = columns.new_full((len(matrices), references), NONE)
        order.scatter_(1, columns, torch.arange(estimates, device=columns.device).expand_as(columns))
    else:
        order = columns
    return order.reshape(*scores.shape[:-2], references)


def align(
    estimates: Float[Tensor, "*batch estimate time"],
    references: Float[Tensor, "*batch reference time"],
    metric: Metric = si_sdr,
) -> Alignment:
    """Put estimates in the order of the references, by the assignment whose summed ``metric`` is largest.

    Estimates beyond the number of references are dropped.

    Raises:
        ValueError: shapes that do not fit.
    """
    scores = pairwise(estimates, references, metric)
    order = best_permutation(scores)
    missing, index = order == NONE, order.clamp(min=0)
    ordered = torch.take_along_dim(estimates, index[..., None], -2)
    chosen = torch.take_along_dim(scores, index[..., None, :], -2).squeeze(-2)
    return Alignment(
        ordered.masked_fill(missing[..., None], 0.0), order, chosen.masked_fill(missing, -torch.inf)
    )


def _finite(scores: Tensor) -> Tensor:
    """Replace -inf and NaN, then +inf, by numbers that outweigh every sum of the others."""
    size = min(scores.shape[-2:])
    low = torch.isneginf(scores) | torch.isnan(scores)
    high = torch.isposinf(scores)
    known = scores.masked_fill(low | high, 0.0)
    span = known.amax((-2, -1), keepdim=True) - known.amin((-2, -1), keepdim=True) + 1
    known = torch.where(low, known.amin((-2, -1), keepdim=True) - size * span, known)
    span = known.amax((-2, -1), keepdim=True) - known.amin((-2, -1), keepdim=True) + 1
    return torch.where(high, known.amax((-2, -1), keepdim=True) + size * span, known)


@cache
def _assignments(rows: int, columns: int) -> Tensor:
    return torch.tensor(list(permutations(range(columns), rows)))


def _exhaustive(rows: Tensor) -> Tensor:
    choices = _assignments(*rows.shape[-2:]).to(rows.device)  # (assignment, row)
    totals = rows[:, torch.arange(rows.shape[-2], device=rows.device), choices].sum(-1)
    return choices[totals.argmax(-1)]


def _hungarian(rows: Tensor) -> Tensor:
    from scipy.optimize import linear_sum_assignment

    matrices = rows.cpu().numpy()
    assignments = [linear_sum_assignment(matrix, maximize=True)[1] for matrix in matrices]
    return torch.from_numpy(np.array(assignments, dtype=np.int64).reshape(rows.shape[:-1])).to(rows.device)
