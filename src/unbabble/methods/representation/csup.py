"""CSUP: an encoder learns by the labels of each group of classes as it arrives, what learning without labels beats.

The supervised counterpart in Z. Wang et al., "Learning representations for new sound classes with continual
self-supervised learning", IEEE SPL 29, 2022: a layer with an output for each class of all groups, cross-entropy over
both views. Its own layer can also say what a recording is (``logits``), which is how much of earlier groups it has
forgotten itself, without any probe.
"""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.objective import Objective


@register(
    name="csup",
    contract="objective",
    summary="Teaches an encoder by labels, group of classes after group.",
    citation="Wang et al.: Continual self-supervised learning of sound classes, IEEE SPL 2022",
)
class CSUP(Objective):
    """See the module."""

    LABELS: ClassVar[bool] = True

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__(dimension, classes)
        self.classifier = nn.Linear(dimension, max(1, classes))

    def logits(self, vectors: Float[Tensor, "... dimension"]) -> Float[Tensor, "... label"]:
        """Of every class of all groups."""
        return self.classifier(vectors)

    def loss(
        self,
        vectors: Float[Tensor, "2 batch dimension"],
        label: Int[Tensor, " batch"],
        keys: Tensor | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over views and recordings."""
        return nn.functional.cross_entropy(self.logits(vectors).flatten(0, 1).float(), label.repeat(2))
