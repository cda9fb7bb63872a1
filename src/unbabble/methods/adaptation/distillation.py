"""Knowledge distillation at test time: the tiny network learns to do as a large one does with the same recordings.

S. Kim, M. Kim, "Test-time adaptation toward personalized speech enhancement: zero-shot learning with knowledge
distillation", WASPAA 2021: the loss is between the student's and the frozen teacher's output.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.material import AdaptationTask, batched


@register(
    name="distillation",
    contract="adaptation",
    summary="Adapts an enhancer to one person by what a large network makes of that person's recordings.",
    citation="Kim & Kim, WASPAA 2021",
)
class Distillation(AdaptationTask):
    """See the module."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """Recordings, and what the teacher makes of them."""
        return batched([self.material.excerpt(rng) for _ in range(count)])

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """The network's own, with the teacher's voice in place of the true one."""
        noisy, estimate = drawn
        return self.network.loss(noisy, estimate[:, None]).mean()
