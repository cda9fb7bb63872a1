"""Contrastive mixtures: of one recording in two noises the same comes out, of two recordings in one noise not.

A. Sivaraman, M. Kim, "Efficient personalized speech enhancement through self-supervised learning", IEEE JSTSP 16(6),
2022. With x = p + n and y what the network makes of it, E the negative SNR in decibels,

    positive pair (one p, n1 and n2):   sum_i E(y_i, p) + lambda+ E(y_1, y_2)
    negative pair (p1 and p2, one n):   sum_i E(y_i, p_i) + lambda- (E(y_1, y_2) - E(p_1, p_2))^2

so that two outputs are as unlike as what they come from: what they share beyond that is the noise.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.material import MIXED_SNR_DB, AdaptationTask, batched, mixed, negative_snr_db

AGREEMENT, DISAGREEMENT = 0.1, 0.01
"""lambda+ and lambda-, of decibels and of squared decibels; the paper searches for them."""


@register(
    name="contrastive_mixtures",
    contract="adaptation",
    summary="Adapts an enhancer by what must be alike, and what must not, between pairs of noisy recordings.",
    citation="Sivaraman & Kim, IEEE JSTSP 2022",
)
class ContrastiveMixtures(AdaptationTask):
    """See the module."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """x1, x2, p1 and p2 of pairs, of which half are positive, half negative."""
        pairs: list[tuple[Tensor, ...]] = []
        for number in range(max(2, count // 2)):
            (first, _), (second, _) = self.material.excerpt(rng), self.material.excerpt(rng)
            noises = self.material.noise(rng), self.material.noise(rng)
            snr_db = rng.uniform(*MIXED_SNR_DB)
            if number % 2:
                second = first
            else:
                noises = (noises[0], noises[0])
            pairs.append((mixed(first, noises[0], snr_db), mixed(second, noises[1], snr_db), first, second))
        return batched(pairs)

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """The mean over all pairs, in which those of even number are negative."""
        one, other, p1, p2 = drawn
        y1, y2 = self.network.estimate(one)[:, 0], self.network.estimate(other)[:, 0]
        own = (negative_snr_db(y1, p1) + negative_snr_db(y2, p2)) / 2
        between, wanted = negative_snr_db(y1, y2), negative_snr_db(p1, p2)
        negative, positive = slice(0, None, 2), slice(1, None, 2)
        alike = AGREEMENT * between[positive]
        unlike = DISAGREEMENT * (between - wanted)[negative].square()
        return own.mean() + (alike.sum() + unlike.sum()) / len(own)
