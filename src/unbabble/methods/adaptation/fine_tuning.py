"""Fine-tuning on seconds of clean speech, in the noise of the person's own recordings: few-shot personalisation.

What other ways are compared with, and end in, in A. Sivaraman, M. Kim, "Efficient personalized speech enhancement
through self-supervised learning", IEEE JSTSP 16(6), 2022.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.material import AdaptationTask, Material, batched


@register(
    name="fine_tuning",
    contract="adaptation",
    summary="Adapts an enhancer by seconds of the person's clean speech alone.",
    citation="Sivaraman & Kim, IEEE JSTSP 2022",
)
class FineTuning(AdaptationTask):
    """See the module.

    Raises:
        UsageError: there is no clean speech.
    """

    def __init__(self, material: Material, network: NeuralSeparator) -> None:
        super().__init__(material, network)
        if not material.voices:
            raise UsageError("Fine-tuning needs clean speech of the person: name some with --clean.")

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """Clean speech in noise, and alone."""
        return batched([self.material.clean(rng) for _ in range(count)])

    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """The network's own."""
        mixture, voice = drawn
        return self.network.loss(mixture, voice[:, None]).mean()
