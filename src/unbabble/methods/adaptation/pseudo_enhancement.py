"""Pseudo speech enhancement: the person's noisy recordings are taken for clean, and more noise is put to them.

A. Sivaraman, S. Kim, M. Kim, "Personalized speech enhancement through self-supervised data augmentation and
purification", Interspeech 2021: with the recording p (a "premixture" of voice and noise), x = p + n, the network
learns to bring p out of x. Of everybody's recordings in place of one person's it is noisy-target training (T.
Fujimura et al., "Noisy-target training: a training strategy for DNN-based speech enhancement without clean speech",
EUSIPCO 2021), which `unbabble train` does where its table of speech is one of noisy recordings.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.material import MIXED_SNR_DB, AdaptationTask, batched, mixed


@register(
    name="pseudo_enhancement",
    contract="adaptation",
    summary="Adapts an enhancer by taking more noise off the person's noisy recordings.",
    citation="Sivaraman, Kim, Kim, Interspeech 2021; Fujimura et al., EUSIPCO 2021",
)
class PseudoEnhancement(AdaptationTask):
    """See the module."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """x and p."""
        pairs = []
        for _ in range(count):
            recording, _ = self.material.excerpt(rng)
            pairs.append((mixed(recording, self.material.noise(rng), rng.uniform(*MIXED_SNR_DB)), recording))
        return batched(pairs)

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """E(y, p)."""
        mixture, target = drawn
        return self.network.loss(mixture, target[:, None]).mean()
