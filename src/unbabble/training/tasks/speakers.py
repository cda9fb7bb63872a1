"""Telling people apart by the losses of ``nn.speaker_losses``, judged by people who were not learnt from.

What only training needs, as the direction of each of its people, lies beside the embedder and is not saved with it.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.data.sets import Data
from unbabble.data.speakers import SpeakerGroups
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.speaker_losses import AngularMargin, EndToEnd, Prototypes
from unbabble.training.tasks.plain import Plain

NEEDS = {"margin": ("person",), "distillation": ("person", "vectors")}
"""Fields of items that a loss takes beside the utterances."""
TAUGHT_WEIGHT = 10.0
"""Of 1 - cosine to the teacher's vector of the very recording, beside a cross-entropy as steep as ``scale`` at most."""


class Taught(nn.Module):
    """An embedder, and what its loss learns with it."""

    def __init__(self, embedder: NeuralEmbedder, head: nn.Module) -> None:
        super().__init__()
        self.embedder, self.head = embedder, head


class Speakers(Plain):
    """An embedder that learns who the people of its training set are, or to compare what they say.

    Args:
        network: to be trained.
        loss: ``margin`` names people (AAM-softmax); ``end_to_end`` (GE2E) and ``prototypes`` (angular) compare;
            ``distillation`` learns the vectors of a teacher, which has heard each recording clean: AAM-softmax whose
            directions begin as the teacher's mean vectors of people, and 1 - cosine to its very vector.
        margin: of AAM-softmax, radians.
        margin_steps: until the first of these there is no margin, which then rises and is whole from the second on.
        scale: of the cosines of AAM-softmax.

    Raises:
        UsageError: a network that is no embedder, or a margin and a scale that make no sense.
    """

    def __init__(
        self,
        network: NeuralEmbedder,
        *,
        loss: Literal["margin", "end_to_end", "prototypes", "distillation"] = "margin",
        margin: float = 0.2,
        margin_steps: tuple[int, int] = (0, 0),
        scale: float = 30.0,
    ) -> None:
        if not isinstance(network, NeuralEmbedder):
            raise UsageError(
                f"A {network.card.name} {network.kind.does}: the task 'speakers' is for embedders."
            )
        if not (0 <= margin < torch.pi / 2 and 0 <= margin_steps[0] <= margin_steps[1] and scale > 0):
            raise UsageError(
                "The task 'speakers' has a margin from 0 to below pi / 2, steps that do not go back, and a positive "
                "scale."
            )
        super().__init__(network)
        self.loss, self.margin, self.margin_steps, self.scale = loss, margin, margin_steps, scale
        self.networks = {"network": Taught(network, Prototypes() if loss == "prototypes" else EndToEnd())}
        self.needs = (*self.needs, *NEEDS.get(loss, ()))

    @property
    def embedder(self) -> NeuralEmbedder:
        """What learns to tell people apart."""
        return self.network.embedder

    def curriculum(self, described: Data) -> Data:
        """What is described; where people are named, each gets a direction.

        Raises:
            InputError: its recordings cannot be used.
            UsageError: it does not say who speaks, or its teacher's vectors are not as long as the embedder's.
        """
        if not isinstance(described, SpeakerGroups):
            raise UsageError("The task 'speakers' learns from utterances by speaker (train.kind: speakers).")
        if self.loss == "margin":
            people = described.open(0).people
            self.network.head = AngularMargin(dimension_of(self.embedder), people, self.scale)
        if self.loss == "distillation":
            self.network.head = self._directions_of_teacher(described.open(0).directions)
        return described

    def _directions_of_teacher(self, directions: Float[np.ndarray, "person dimension"]) -> AngularMargin:
        people, taught = directions.shape
        if not taught:
            raise UsageError("Distillation needs the vectors of a teacher (train.teacher).")
        if taught != (dimension := dimension_of(self.embedder)):
            raise UsageError(
                f"The teacher's vectors have {taught} numbers and the embedder's {dimension}: set options.dimension."
            )
        head = AngularMargin(taught, people, self.scale)
        head.directions.data = torch.from_numpy(directions)
        return head

    def check(self, item: Any, section: str) -> None:
        """Fields."""
        super(Plain, self).check(item, section)

    def losses(self, player: str, batch: Any, step: int) -> dict[str, Tensor]:
        """The mean over the utterances of all items, or over items."""
        utterances, *known = batch
        vectors = self.embedder.embeddings(utterances)
        if not known:
            return {"loss": self.network.head(vectors).mean()}
        who = known[0][..., None].expand(vectors.shape[:-1])
        losses = {"loss": self.network.head(vectors, who, self.margin_at(step)).mean()}
        if self.loss == "distillation":
            heard = known[1].square().sum(-1)
            losses["taught"] = TAUGHT_WEIGHT * (heard - (vectors * known[1]).sum(-1)).mean()
        return losses

    def margin_at(self, step: int) -> float:
        """The margin after so many steps."""
        first, last = self.margin_steps
        return self.margin * (min(1.0, max(0.0, (step - first) / (last - first))) if last > first else 1.0)

    def each(self, batch: Any, step: int | None = None) -> Float[Tensor, " batch"]:
        """Of validation, whose people have no directions: how well the embedder compares, by its own loss."""
        return self.embedder.loss(batch[0])

    def figure(self, batch: Any) -> float:
        """Equal error rate of one item."""
        return self.embedder.figure(batch[0])

    def regret(self, measured: Mapping[str, float]) -> float:
        """The equal error rate: people are told apart by one threshold for all."""
        return measured[self.figure_name]

    def after(self, step: int, batch: Any) -> None:
        """What changes in the embedder itself."""
        self.embedder.after(step)

    def product(self, network: Taught) -> NeuralEmbedder:
        """The embedder alone."""
        return network.embedder


def dimension_of(embedder: NeuralEmbedder) -> int:
    """Numbers of a vector."""
    training = embedder.training
    with torch.no_grad():
        vectors = embedder.eval().embed(torch.ones(1, embedder.sample_rate))
    embedder.train(training)
    return vectors.shape[1]
