"""The source model of ILRMA: variances of rank L, fitted to the outputs' power by the Itakura-Saito divergence."""

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.signal.blind.demixing import Demixer

FLOOR = 1e-10
"""Least variance, against whitened outputs of unit power."""
TINY = 1e-30
"""Keeps a shape finite whose activities have all vanished."""


class LowRank:
    """Shapes T and activities V with |y_kft|^2 ~ r_kft = sum_l T_fkl V_klt.

    Minimises sum_kf mean_t log r + |y|^2 / r by multiplicative updates with exponent 1/2, which never raise it
    (Kitamura et al. 2016, eq. 16-17; Fevotte & Idier, Neural Computation 2011).

    Args:
        demixer: where the outputs are.
        rank: shapes per source.
        seed: of the random start.
    """

    def __init__(self, demixer: Demixer, rank: int, seed: int) -> None:
        self.demixer = demixer
        like = demixer.outputs.real
        bins, sources, frames = like.shape
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(bins * sources * rank + sources * rank * frames, generator=generator) * 0.9 + 0.1
        shapes, activities = start.split([bins * sources * rank, sources * rank * frames])
        self.shapes: Float[Tensor, "frequency source rank"] = shapes.reshape(bins, sources, rank).to(like)
        self.activities: Float[Tensor, "source rank frame"] = activities.reshape(sources, rank, frames).to(
            like
        )

    def variance(self) -> Float[Tensor, "source frequency frame"]:
        """r, not below the floor."""
        return (self.shapes.transpose(0, 1) @ self.activities).clamp_min_(FLOOR)

    def weights(self) -> Float[Tensor, "frequency source frame"]:
        """The majoriser's weights 1 / r."""
        return self.variance().reciprocal_().transpose(0, 1)

    def update(self) -> None:
        """One step of the shapes, one of the activities."""
        power, activities = self._power(), self.activities.mT
        up, down = self._fit(power)
        ratio = (up @ activities) / (down @ activities).clamp_min_(TINY)
        self.shapes = self.shapes * ratio.sqrt_().transpose(0, 1)
        up, down = self._fit(power)
        shapes = self.shapes.permute(1, 2, 0)
        ratio = (shapes @ up) / (shapes @ down).clamp_min_(TINY)
        self.activities = self.activities * ratio.sqrt_()

    def cost(self) -> float:
        """sum_kf mean_t log r + |y|^2 / r."""
        variance = self.variance()
        costs = (self._power() / variance).add_(variance.log_())
        return float(costs.sum(dtype=torch.float64)) / costs.shape[-1]

    def _power(self) -> Float[Tensor, "source frequency frame"]:
        return self.demixer.bin_power().transpose(0, 1)

    def _fit(self, power: Tensor) -> tuple[Tensor, Tensor]:
        """|y|^2 / r^2 and 1 / r: where the first is larger, the variance is too small."""
        inverse = self.variance().reciprocal_()
        return (power * inverse).mul_(inverse), inverse
