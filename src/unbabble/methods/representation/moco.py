"""MoCo: as SimCLR, but the others are what a teacher, which follows slowly, has made of the batches before.

K. He et al., "Momentum contrast for unsupervised visual representation learning", CVPR 2020.

    q = g(h) of the first view; k+ = g'(h') of the second by the teacher; k_1 ... k_K the teacher's last, a queue
    L = -log(exp(q . k+ / tau) / (exp(q . k+ / tau) + sum_i exp(q . k_i / tau)))                              (eq. 1)
    theta' <- m theta' + (1 - m) theta                                                                       (eq. 2)

so that a batch may be small. m, tau and the length of the queue are those of Z. Wang et al., "Learning representations
for new sound classes with continual self-supervised learning", IEEE SPL 29, 2022.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.objective import Objective, projector

MOMENTUM, TEMPERATURE, QUEUE, PROJECTED = 0.99, 0.3, 256, 128


@register(
    name="moco",
    contract="objective",
    summary="Teaches an encoder, without labels, to know an excerpt by another among those of many batches.",
    citation="He et al.: Momentum contrast, CVPR 2020",
)
class MoCo(Objective):
    """See the module; the queue is empty at first."""

    FOLLOWED: ClassVar[float] = MOMENTUM
    queue: Tensor
    filled: Tensor

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__(dimension, classes)
        self.projector = projector(dimension, PROJECTED)
        self.register_buffer("queue", torch.zeros(QUEUE, PROJECTED))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def key(self, vectors: Float[Tensor, "batch dimension"]) -> Float[Tensor, "batch projected"]:
        """k, of unit norm."""
        return nn.functional.normalize(self.projector(vectors).float(), dim=-1)

    def loss(
        self, vectors: Float[Tensor, "2 batch dimension"], label: Tensor, keys: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """L."""
        assert keys is not None
        query = self.key(vectors[0])
        near = (query * keys).sum(-1, keepdim=True)
        far = query @ self.queue[: int(self.filled)].T
        logits = torch.cat([near, far], 1) / TEMPERATURE
        return nn.functional.cross_entropy(logits, torch.zeros_like(label))

    @torch.no_grad()
    def remember(self, keys: Float[Tensor, "batch projected"]) -> None:
        """The newest come first, the oldest fall out."""
        self.queue.copy_(torch.cat([keys, self.queue])[:QUEUE])
        self.filled.copy_((self.filled + len(keys)).clamp(max=QUEUE))
