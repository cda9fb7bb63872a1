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
        bins, sources, frames = demixer.outputs.shape
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(bins * sources * rank + sources * rank * frames, generator=generator) * 0.9 + 0.1
        shapes, activities = start.split([bins * sources * rank, sources * rank * frames])
        device = demixer.outputs.device
        self.shapes: Float[Tensor, "frequency source rank"] = shapes.reshape(bins, sources, rank).to(device)
        self.activities: Float[Tensor, "source rank frame"] = activities.reshape(sources, rank, frames).to(
            device
        )

    def variance(self) -> Float[Tensor, "frequency source frame"]:
        """r, not below the floor."""
        return torch.einsum("fkl,klt->fkt", self.shapes, self.activities).clamp_min(FLOOR)

    def weights(self) -> Float[Tensor, "frequency source frame"]:
        """The majoriser's weights 1 / r."""
        return 1 / self.variance()

    def update(self) -> None:
        """One step of the shapes, one of the activities."""
        power = self.demixer.bin_power()
        for factor, equation in (("shapes", "fkt,klt->fkl"), ("activities", "fkt,fkl->klt")):
            variance = self.variance()
            other = self.activities if factor == "shapes" else self.shapes
            up = torch.einsum(equation, power / variance.square(), other)
            down = torch.einsum(equation, 1 / variance, other)
            setattr(self, factor, getattr(self, factor) * (up / down.clamp_min(TINY)).sqrt())

    def cost(self) -> float:
        """sum_kf mean_t log r + |y|^2 / r."""
        variance = self.variance().double()
        return float((variance.log() + self.demixer.bin_power() / variance).mean(-1).sum())
