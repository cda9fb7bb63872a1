"""RemixIT: a copy of the network tells voices and noises apart, they are mixed anew, and the network learns from that.

E. Tzinis et al., "RemixIT: continual self-training of speech enhancement models via bootstrapped remixing", IEEE JSTSP
16(6), 2022. For a batch of recordings m the teacher gives voices s~ and noises n~ = m - s~; with P a permutation of
the batch, m~ = s~ + P n~, and

    L = 1/2 L(s^, s~) + 1/2 L(n^, P n~),   s^, n^ = m~ - s^ of the student,   L = -SI-SDR within +-30 dB   (section III)

The teacher follows the student: theta_T <- gamma theta_T + (1 - gamma) theta_S every so many updates.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.material import Way, batched
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
class RemixIT(Way):
    """See the module."""

    def loss(self, network: NeuralSeparator, rng: np.random.Generator, batch: int) -> Float[Tensor, ""]:
        """L."""
        (noisy,) = batched([self.material.excerpt(rng)[:1] for _ in range(batch)])
        with torch.no_grad():
            voices = self.start.estimate(noisy)[:, 0]
        noises = (noisy - voices)[torch.from_numpy(rng.permutation(batch))]
        mixtures, voices, noises = batched(list(zip(voices + noises, voices, noises, strict=True)))
        found = network.estimate(mixtures)[:, 0]
        scores = [si_sdr(found, voices), si_sdr(mixtures - found, noises)]
        return -torch.stack(scores).nan_to_num(0).clamp(-LIMIT_DB, LIMIT_DB).mean()

    @torch.no_grad()
    def after(self, network: NeuralSeparator, step: int) -> None:
        """The teacher follows."""
        if step % EVERY:
            return
        theirs = network.state_dict()
        for name, tensor in self.start.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], 1 - KEPT)
