"""Learning which texts describe which recordings, judged by how well recordings are found by their labels.

With a teacher, targets are softer where it finds items alike: UI-CLAP's SL (``methods.representation.ui_clap``), whose
curated pairs are just a further set of the recipe.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.data.captioned import readable
from unbabble.data.sets import Items
from unbabble.methods.representation.ui_clap import SOFTNESS, soft_targets
from unbabble.networks.load import load
from unbabble.nn.contrast import contrastive_loss, soft_contrastive_loss
from unbabble.nn.kinds.joint_embedder import NeuralJointEmbedder
from unbabble.signal.retrieval import mean_average_precision
from unbabble.training.tasks.plain import Plain

MEASURED_AT_ONCE = 50


class Pairs(Plain):
    """A joint embedder that learns from recordings and their texts.

    Args:
        network: to be trained.
        teacher: a joint embedder whose likenesses soften the targets; none without.
        softness: how much the teacher's likenesses count.

    Raises:
        UsageError: a network that embeds no texts, or a softness that makes no sense.
    """

    def __init__(
        self, network: NeuralJointEmbedder, *, teacher: Path | None = None, softness: float = SOFTNESS
    ) -> None:
        if not isinstance(network, NeuralJointEmbedder):
            raise UsageError(
                f"A {network.card.name} {network.kind.does}: the task 'pairs' is for joint embedders."
            )
        if not 0 <= softness < 1:
            raise UsageError("The task 'pairs' has a softness from 0 to below 1.")
        super().__init__(network)
        self.softness = softness
        self.needs = ("waveform", "text", "label")
        self.measures = ("loss", self.figure_name, "accuracy")
        if teacher is not None:
            self.networks["teacher"] = load(str(teacher), "joint embedder").network.requires_grad_(False)

    def check(self, item: Any, section: str) -> None:
        """Fields, and words that can be read."""
        super(Plain, self).check(item, section)
        self.network.text.tokens([item.text, readable(item.label)])

    def collate(self, items: Sequence[Any]) -> tuple[Tensor, list[str], list[str]]:
        """Recordings as one tensor; texts and labels as they are."""
        waveforms = torch.from_numpy(np.stack([each.waveform for each in items]))
        return waveforms, [each.text for each in items], [each.label for each in items]

    def losses(self, player: str, batch: Any, step: int) -> dict[str, Tensor]:
        """Contrastive, over the whole batch."""
        waveform, texts, labels = batch
        network, same = self.network, alike(labels).to(self.device)
        tokens = network.text.tokens(texts)
        audio, text, scale = network.embed(waveform), network.describe(tokens), network.scale()
        if "teacher" not in self.networks:
            return {"loss": contrastive_loss(audio, text, scale, same).mean()}
        teacher: Any = self.networks["teacher"].eval()
        with torch.no_grad():
            of_audio = soft_targets(teacher.embed(waveform), self.softness, same)
            of_text = soft_targets(teacher.describe(teacher.text.tokens(texts)), self.softness, same)
        return {"loss": soft_contrastive_loss(audio, text, scale, of_audio, of_text).mean()}

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """Over the whole set: how well recordings are found by their labels, and labels by recordings."""
        audio, labels = self.embedded(items, count)
        names = sorted(set(labels))
        with torch.no_grad():
            text = self.network.embed_text([readable(name) for name in names])
        likeness = (text @ audio.T).cpu().numpy()
        relevant = np.array([[label == name for label in labels] for name in names])
        precision = mean_average_precision(likeness, relevant)
        accuracy = float(relevant[likeness.argmax(0), np.arange(len(labels))].mean())
        return {"loss": 1 - precision, self.figure_name: precision, "accuracy": accuracy}

    @torch.no_grad()
    def embedded(self, items: Items, count: int) -> tuple[Float[Tensor, "item dimension"], list[str]]:
        """Vectors of the first ``count`` items, and their labels."""
        vectors, labels = [], []
        for first in range(0, count, MEASURED_AT_ONCE):
            some = [items[number] for number in range(first, min(count, first + MEASURED_AT_ONCE))]
            waveform, _, named = self.collate(some)
            vectors.append(self.network.embed(waveform.to(self.device)))
            labels += named
        return torch.cat(vectors), labels

    def reported(self, measured: Mapping[str, float]) -> str:
        """As precision and accuracy."""
        return f"mean average precision {measured[self.figure_name]:.3f}, accuracy {measured['accuracy']:.1%}"


def alike(labels: Sequence[str]) -> Bool[Tensor, "item item"]:
    """Which items are of the same."""
    numbers = torch.tensor([sorted(set(labels)).index(label) for label in labels])
    return numbers[:, None] == numbers
