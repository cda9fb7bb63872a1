"""Barlow Twins: what one number of a vector says is the same in both views, and is said by no other number.

J. Zbontar et al., "Barlow twins: self-supervised learning via redundancy reduction", ICML 2021.

    z = g(h), each number less its mean over the batch and over its deviation
    C_ij = sum_b z1_bi z2_bj / B                                                                             (eq. 2)
    L = 1/D (sum_i (1 - C_ii)^2 + lambda sum_i sum_{j != i} C_ij^2)                                          (eq. 1)

The paper has no 1/D; with it, L does not grow with the projection, and can be weighed against what is to be kept.
"""

from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.objective import Objective, projector

LAMBDA, PROJECTED, HIDDEN = 5e-3, 1024, 1024
EPS = 1e-6


@register(
    name="barlow_twins",
    contract="objective",
    summary="Teaches an encoder, without labels, numbers that two excerpts share and that do not repeat each other.",
    citation="Zbontar et al.: Barlow twins, ICML 2021",
)
class BarlowTwins(Objective):
    """See the module."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__(dimension, classes)
        self.projector = projector(dimension, PROJECTED, HIDDEN)

    def loss(
        self, vectors: Float[Tensor, "2 batch dimension"], label: Tensor, keys: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """L."""
        one, other = self.projector(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2]).float()
        return redundancy(one, other)


def redundancy(
    one: Float[Tensor, "batch dimension"], other: Float[Tensor, "batch dimension"]
) -> Float[Tensor, ""]:
    """L of projections."""
    one, other = ((z - z.mean(0)) / (z.std(0, correction=0) + EPS) for z in (one, other))
    correlation = one.T @ other / len(one)
    same = correlation.diagonal()
    different = correlation.square().sum() - same.square().sum()
    return ((1 - same).square().sum() + LAMBDA * different) / len(same)
