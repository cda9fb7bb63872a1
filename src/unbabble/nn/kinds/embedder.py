"""What every network that tells speakers apart shares: levels, the contract, how well it verifies.

A method's file holds its network and its loss; it implements ``embed``, from a batch of recordings to vectors.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_mixture
from unbabble.signal.verification import equal_error_rate


class NeuralEmbedder(Network):
    """A network that turns recordings of one person into vectors that are near to each other.

    Args:
        sample_rate: Hz, that of its training data.
    """

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

    def figure(self, utterances: Float[Tensor, "1 speaker utterance time"]) -> float:
        """Equal error rate over all pairs of an item's utterances."""
        vectors = self.embeddings(utterances)[0]
        speaker = torch.arange(len(vectors)).repeat_interleave(vectors.shape[1])
        flat = vectors.flatten(0, 1).cpu()
        one, other = torch.triu_indices(len(flat), len(flat), 1)
        return equal_error_rate((flat[one] * flat[other]).sum(-1), speaker[one] == speaker[other])


def end_to_end_loss(
    vectors: Float[Tensor, "batch speaker utterance dimension"], scale: Tensor, shift: Tensor
) -> Float[Tensor, " batch"]:
    """How surely each utterance is nearer to the centre of its speaker than to those of others: cross-entropy, mean.

    L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018,
    eqs. 5 to 9: the softmax of ``scale`` times the cosine plus ``shift``; its own centre is one without the utterance.

    Args:
        vectors: of unit norm, two utterances of a speaker or more.
        scale: positive number, learnt.
        shift: number, learnt.
    """
    speakers, each = vectors.shape[1:3]
    total = vectors.sum(2)
    likeness = torch.einsum("bjid,bkd->bjik", vectors, nn.functional.normalize(total, dim=-1))
    others = nn.functional.normalize((total[:, :, None] - vectors) / (each - 1), dim=-1)
    own = (vectors * others).sum(-1)
    diagonal = torch.eye(speakers, dtype=torch.bool, device=own.device)[:, None]
    likeness = torch.where(diagonal, own[..., None], likeness)
    scores = scale.clamp(min=1e-6) * likeness + shift
    right = scores.diagonal(dim1=1, dim2=3).mT  # (batch, speaker, utterance)
    return (scores.logsumexp(-1) - right).mean((1, 2))
