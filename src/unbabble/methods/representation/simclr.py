"""SimCLR: two views of a recording are nearer to each other than to the views of all others of the batch.

T. Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020; of sounds that
arrive class after class, Z. Wang et al., "Learning representations for new sound classes with continual
self-supervised learning", IEEE SPL 29, 2022, from whom the temperature is.

    z = g(h),  h the encoder's vector, g two layers
    L = mean of  -log(exp(z_i . z_j / tau) / sum_{k != i} exp(z_i . z_k / tau))      (eq. 1, ``nn.objective.nt_xent``)
"""

from jaxtyping import Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.nn.objective import Objective, nt_xent, projector

TEMPERATURE, PROJECTED = 0.5, 128


@register(
    name="simclr",
    contract="objective",
    summary="Teaches an encoder, without labels, that two excerpts of one recording are alike.",
    citation="Chen et al.: SimCLR, ICML 2020",
)
class SimCLR(Objective):
    """See the module."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__(dimension, classes)
        self.projector = projector(dimension, PROJECTED)

    def loss(
        self, vectors: Float[Tensor, "2 batch dimension"], label: Tensor, keys: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """L."""
        one, other = self.projector(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
        return nt_xent(one, other, TEMPERATURE)
