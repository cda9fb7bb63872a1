"""What objectives share by which an encoder learns from two views of each recording: heads, and their contract.

A method's file (``methods.representation``) holds one published objective and derives from ``Objective``. What it adds
to an encoder, such as a projection, is learnt with it and thrown away.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.registry import Card


class Objective(nn.Module):
    """A loss of an encoder's vectors of two views of each recording of a batch.

    Args:
        dimension: numbers of an encoder's vector.
        classes: labels that there are, in all groups together.
    """

    FOLLOWED: ClassVar[float] = 0.0
    """Where above 0, a teacher follows the encoder and its heads: theta' <- m theta' + (1 - m) theta, m this."""
    LABELS: ClassVar[bool] = False
    """Whether it learns by labels."""
    card: ClassVar[Card]

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.dimension, self.classes = dimension, classes

    @abstractmethod
    def loss(
        self,
        vectors: Float[Tensor, "2 batch dimension"],
        label: Int[Tensor, " batch"],
        keys: Float[Tensor, "batch projected"] | None = None,
    ) -> Float[Tensor, ""]:
        """What is descended; it changes nothing.

        Args:
            vectors: of both views.
            label: of each recording; those that learn without labels do not look.
            keys: what the teacher's ``key`` makes of the second views, where ``FOLLOWED``.
        """

    def key(self, vectors: Float[Tensor, "batch dimension"]) -> Float[Tensor, "batch projected"]:
        """What a teacher makes of its encoder's vectors, where ``FOLLOWED``."""
        raise NotImplementedError(f"{type(self).__name__} has no teacher.")

    def remember(self, keys: Float[Tensor, "batch projected"]) -> None:
        """Keep the teacher's keys for the batches to come, where ``FOLLOWED``."""


def projector(dimension: int, projected: int, hidden: int = 512) -> nn.Sequential:
    """Two layers with batch norm and ReLU between them.

    Args:
        dimension: numbers that come in.
        projected: numbers that go out.
        hidden: numbers between.
    """
    return nn.Sequential(
        nn.Linear(dimension, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, projected),
    )


def nt_xent(
    one: Float[Tensor, "batch dimension"], other: Float[Tensor, "batch dimension"], temperature: float
) -> Float[Tensor, ""]:
    """Normalised temperature-scaled cross entropy: of 2 N vectors, each has its partner for its class.

    For unit vectors z and a pair (i, j) of the 2 N,  l_ij = -log(exp(z_i . z_j / tau) / sum_{k != i} exp(z_i . z_k /
    tau)); the mean over all ordered pairs (SimCLR, eq. 1).
    """
    z = nn.functional.normalize(torch.cat([one, other]).float(), dim=-1)
    likeness = z @ z.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    partner = torch.arange(len(z), device=z.device).roll(len(one))
    return nn.functional.cross_entropy(likeness.masked_fill(itself, -torch.inf), partner)
