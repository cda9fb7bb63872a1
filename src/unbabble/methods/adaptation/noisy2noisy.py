"""Noisy to noisy: the same recording in one noise is what the network is to find in another.

M. M. Kashyap et al., "Speech denoising without clean training data: a Noise2Noise approach", Interspeech 2021: with
x1 = p + n1 and x2 = p + n2 the network learns x2 from x1. It cannot know n2; what is left to learn in the mean is p.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.material import MIXED_SNR_DB, AdaptationTask, batched, mixed


@register(
    name="noisy2noisy",
    contract="adaptation",
    summary="Adapts an enhancer by finding a recording in one noise within the same recording in another.",
    citation="Kashyap et al., Interspeech 2021",
)
class Noisy2Noisy(AdaptationTask):
    """See the module."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """x1 and x2."""
        pairs = []
        for _ in range(count):
            recording, _ = self.material.excerpt(rng)
            first, second = (
                mixed(recording, self.material.noise(rng), rng.uniform(*MIXED_SNR_DB)) for _ in range(2)
            )
            pairs.append((first, second))
        return batched(pairs)

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """E(y1, x2)."""
        mixture, target = drawn
        return self.network.loss(mixture, target[:, None]).mean()
