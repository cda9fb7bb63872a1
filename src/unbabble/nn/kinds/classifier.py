"""What every network that names sounds shares: levels, labels, the last layer, its loss.

A method's file holds its network; it implements ``represent``, from recordings to vectors. The last layer, which makes
logits of these, is one of two.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_mixture

PEAK = 0.9
"""To which every recording is scaled."""
STEEPNESS = 30.0
"""Of cosines. Bare ones are no logits: with 50 classes, softmax gives the best of them 13 % at most."""


class Cosines(nn.Module):
    """Logits as cosines to a direction for each class, ``STEEPNESS`` times.

    Args:
        dimension: of what comes in.
        classes: how many there are.
        hidden: numbers of a projection before; 0 for none.
    """

    def __init__(self, dimension: int, classes: int, hidden: int = 0) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        if hidden:
            self.blocks += nn.Sequential(nn.BatchNorm1d(dimension), nn.Linear(dimension, hidden))
        self.weight = nn.Parameter(torch.empty(classes, hidden or dimension))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, vectors: Float[Tensor, "batch dimension"]) -> Float[Tensor, "batch label"]:
        """Logits."""
        return STEEPNESS * nn.functional.linear(
            nn.functional.normalize(self.blocks(vectors)), nn.functional.normalize(self.weight)
        )


class NeuralClassifier(Network):
    """A network that says which of its labels recordings have.

    Args:
        labels: what it tells apart: a list, or one text with ``|`` between them.
        several: a recording may have several labels at once, or none; else it has exactly one.
        dimension: numbers of what the last layer decides by.
        head: the last layer: ``linear``, or ``cosine`` (``Cosines``).
        hidden: of ``cosine``.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: no labels, or one of them twice.
    """

    FIGURE = ("accuracy", "{:.1%} labelled right")
    ITEM = ("waveform", "label")
    LABELS: ClassVar[str] = "dog|rain|siren"
    """Of tiny variants."""

    def __init__(
        self,
        *,
        labels: str | list[str],
        several: bool,
        dimension: int,
        head: Literal["linear", "cosine"],
        hidden: int,
        sample_rate: int,
    ) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)
        names = labels.split("|") if isinstance(labels, str) else labels
        self.labels, self.several = tuple(each.strip() for each in names), several
        if "" in self.labels or len({*self.labels}) < len(self.labels):
            raise UsageError("A classifier has at least one label, and each once.")
        classes = len(self.labels)
        self.head = nn.Linear(dimension, classes) if head == "linear" else Cosines(dimension, classes, hidden)

    @abstractmethod
    def represent(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """What the last layer decides by: differentiable, for recordings of any length, whose peak is ``PEAK``."""

    def logits(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """As ``forward``, differentiable."""
        return self.head(self.represent(levelled(waveform)).float())

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch label"]:
        """Logits of each label; the ``Classifier`` contract.

        Args:
            waveform: finite samples, any level.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(waveform[:, None])
        with torch.no_grad():
            return self.logits(waveform).float()

    def probabilities(self, logits: Float[Tensor, "batch label"]) -> Float[Tensor, "batch label"]:
        """How likely each label is: together 1, or, where there may be several, each by itself."""
        return logits.sigmoid() if self.several else logits.softmax(-1)

    def loss(self, waveform: Float[Tensor, "batch time"], label: Tensor) -> Float[Tensor, " batch"]:
        """Cross entropy; where there may be several labels, its mean over them.

        Args:
            waveform: of any level.
            label: the number of each recording's label, (batch,); or 1 for those it has and else 0, (batch, label).
        """
        logits = self.logits(waveform)
        if self.several:
            every = nn.functional.binary_cross_entropy_with_logits(logits, label.float(), reduction="none")
            return every.mean(-1)
        return nn.functional.cross_entropy(logits, label.long(), reduction="none")

    def figure(self, waveform: Float[Tensor, "1 time"], label: Int[Tensor, "1 ..."]) -> float:
        """1 where the most likely label is one of the recording's, else 0."""
        (best,) = self.logits(waveform).argmax(-1)
        return float(label[0, best] > 0) if self.several else float(best == label[0])


def levelled(waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """Without an offset, with a peak of ``PEAK``."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return centred * (PEAK / centred.abs().amax(-1, keepdim=True).clamp(min=1e-20))
