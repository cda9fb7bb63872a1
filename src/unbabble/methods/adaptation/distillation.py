"""Knowledge distillation at test time: the tiny network learns to do as a large one does with the same recordings.

S. Kim, M. Kim, "Test-time adaptation toward personalized speech enhancement: zero-shot learning with knowledge
distillation", WASPAA 2021: the loss is between the student's and the frozen teacher's output.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.material import Way, batched


@register(
    name="distillation",
    contract="adaptation",
    summary="Adapts an enhancer to one person by what a large network makes of that person's recordings.",
    citation="Kim & Kim, WASPAA 2021",
)
class Distillation(Way):
    """See the module."""

    def loss(self, network: NeuralSeparator, rng: np.random.Generator, batch: int) -> Float[Tensor, ""]:
        """The network's own, with the teacher's voice in place of the true one."""
        noisy, taught = batched([self.material.excerpt(rng) for _ in range(batch)])
        return network.loss(noisy, taught[:, None]).mean()
