"""What every network that tells speakers apart shares: levels, the contract, how well it verifies.

A method's file holds its network, and its loss where that is its own; it implements ``embed``, from a batch of
recordings to vectors. Recipes may name another loss (``training.tasks.speakers``).
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.nn.kinds.network import Network
from unbabble.nn.speaker_losses import end_to_end_loss
from unbabble.signal.level import check_mixture
from unbabble.signal.verification import equal_error_rate


class NeuralEmbedder(Network):
    """A network that turns recordings of one person into vectors that are near to each other.

    Args:
        sample_rate: Hz, that of its training data.
    """

    SCALE: ClassVar[float] = 10.0
    """Of cosines, in the loss of networks that have none of their own."""
    EVERYTHING: ClassVar[bool] = False
    """Whether all of a recording counts; else what is said in it."""
    FIGURE = ("equal_error_rate", "equal error rate {:.1%}")
    ITEM = ("utterances",)

    def __init__(self, *, sample_rate: int = 16000) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)

    @abstractmethod
    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """The network itself: differentiable, for recordings of any length at about unit level; of unit norm."""

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Embed each recording; the ``Embedder`` contract.

        Args:
            waveform: finite samples of one speaker, any level.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(waveform[:, None])
        centred = waveform - waveform.mean(-1, keepdim=True)
        level = centred.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
        with torch.no_grad():
            return self.embed(centred / level).float()

    def embeddings(
        self, utterances: Float[Tensor, "batch speaker utterance time"]
    ) -> Float[Tensor, "batch speaker utterance dimension"]:
        """Of what several people said."""
        return self.embed(utterances.flatten(0, 2)).float().unflatten(0, utterances.shape[:3])

    def loss(self, utterances: Float[Tensor, "batch speaker utterance time"]) -> Float[Tensor, " batch"]:
        """GE2E, ``nn.speaker_losses``; a method may have another."""
        return end_to_end_loss(self.embeddings(utterances), self.SCALE)

    def figure(self, utterances: Float[Tensor, "1 speaker utterance time"]) -> float:
        """Equal error rate over all pairs of an item's utterances."""
        vectors = self.embeddings(utterances)[0]
        speaker = torch.arange(len(vectors)).repeat_interleave(vectors.shape[1])
        flat = vectors.flatten(0, 1).detach().cpu()
        one, other = torch.triu_indices(len(flat), len(flat), 1)
        scores, same = (flat[one] * flat[other]).sum(-1), speaker[one] == speaker[other]
        return equal_error_rate(scores.numpy(), same.numpy())
