"""RemixIT: a copy of the network tells voices and noises apart, they are mixed anew, and the network learns from that.

E. Tzinis et al., "RemixIT: continual self-training of speech enhancement models via bootstrapped remixing", IEEE JSTSP
16(6), 2022. For a batch of recordings m the teacher gives voices s~ and noises n~ = m - s~; with P a permutation of
the batch, m~ = s~ + P n~, and

    L = 1/2 L(s^, s~) + 1/2 L(n^, P n~),   s^, n^ = m~ - s^ of the student,   L = -SI-SDR within +-30 dB   (section III)

The teacher follows the student: theta_T <- gamma theta_T + (1 - gamma) theta_S every so many updates.
"""

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.material import AdaptationTask, Material, batched
from unbabble.signal.metrics import si_sdr

KEPT, EVERY = 0.99, 5
"""gamma, and updates between two steps of the teacher."""
LIMIT_DB = 30.0


@register(
    name="remixit",
    contract="adaptation",
    summary="Adapts an enhancer by recordings that a copy of it takes apart, mixed anew.",
    citation="Tzinis et al., RemixIT, IEEE JSTSP 2022",
)
class RemixIT(AdaptationTask):
    """See the module."""

    def __init__(self, material: Material, network: NeuralSeparator) -> None:
        teacher = copy.deepcopy(network).eval().requires_grad_(False)
        super().__init__(material, network, teacher=teacher)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """m, and P as the number of the recording whose noise each voice gets."""
        (noisy,) = batched([self.material.excerpt(rng)[:1] for _ in range(count)])
        return noisy, torch.from_numpy(rng.permutation(count))

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """L."""
        noisy, permutation = drawn
        with torch.no_grad():
            voices = self.networks["teacher"].estimate(noisy)[:, 0]  # type: ignore[operator]
        noises = (noisy - voices)[permutation]
        mixtures, voices, noises = batched(list(zip(voices + noises, voices, noises, strict=True)))
        estimates = self.network.estimate(mixtures)[:, 0]
        scores = [si_sdr(estimates, voices), si_sdr(mixtures - estimates, noises)]
        return -torch.stack(scores).nan_to_num(0).clamp(-LIMIT_DB, LIMIT_DB).mean()

    @torch.no_grad()
    def after(self, step: int, batch: Any) -> None:
        """The teacher follows."""
        super().after(step, batch)
        if step % EVERY:
            return
        theirs = self.network.state_dict()
        for name, tensor in self.networks["teacher"].state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], 1 - KEPT)
