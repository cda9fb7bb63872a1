"""What every network that embeds recordings and texts in one space shares: levels, the contract, how well it finds.

A method's file holds its networks; it implements ``embed``, from a batch of recordings to vectors, and ``describe``,
from rows of tokens to vectors. It learns from recordings and texts in pairs (``training.tasks.pairs``).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.nn.contrast import contrastive_loss
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.text_encoder import NeuralTextEncoder
from unbabble.signal.level import check_mixture
from unbabble.signal.retrieval import mean_average_precision


class NeuralJointEmbedder(Network):
    """A network that turns recordings, and texts that describe some, into vectors that are near where these fit.

    Args:
        sample_rate: Hz, that of its training data.
        window_seconds: how much of a recording it is best given at once.
        words: what it has learnt to hear, by name, with commas between.
    """

    FIGURE = ("mean_average_precision", "mean average precision {:.3f}")
    ITEM = ("waveform", "text")
    TASK: ClassVar[str] = "pairs"
    text: NeuralTextEncoder

    def __init__(self, *, sample_rate: int = 16000, window_seconds: float = 5.0, words: str = "") -> None:
        super().__init__(sources=1, sample_rate=sample_rate)
        self.window_seconds = window_seconds
        self.words = tuple(filter(None, words.split(",")))

    @abstractmethod
    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """The vectors of recordings at about unit level, of unit norm; differentiable."""

    @abstractmethod
    def describe(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """The vectors of texts, as ``text.tokens`` has them, of unit norm; differentiable."""

    @abstractmethod
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with to become log-odds."""

    def shares(
        self, audio: Float[Tensor, "recording dimension"], text: Float[Tensor, "text dimension"]
    ) -> Float[Tensor, "recording text"]:
        """How probable it is that a recording is described by each of several texts, if one of them describes it."""
        return (self.scale() * audio @ text.T).softmax(1)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Embed each recording; the ``JointEmbedder`` contract.

        Args:
            waveform: finite samples, any level.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(waveform[:, None])
        with torch.no_grad():
            return self.embed(at_unit_level(waveform)).float()

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """Embed each text; the ``JointEmbedder`` contract.

        Raises:
            InputError: a text of which nothing can be read.
        """
        return self.describe(self.text.tokens(texts)).float()

    def loss(
        self, waveform: Float[Tensor, "batch time"], text: Int[Tensor, "batch token"]
    ) -> Float[Tensor, " batch"]:
        """How badly each recording and its text know each other among all of the batch (``nn.contrast``)."""
        return contrastive_loss(self.embed(waveform), self.describe(text), self.scale())

    def figure(self, waveform: Float[Tensor, "batch time"], text: Int[Tensor, "batch token"]) -> float:
        """Mean average precision of finding the recordings by their texts."""
        with torch.no_grad():
            likeness = self.describe(text) @ self.embed(waveform).T
        return mean_average_precision(likeness.cpu().numpy(), torch.eye(len(text), dtype=torch.bool).numpy())


def at_unit_level(waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """Recordings without an offset, of unit power."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
