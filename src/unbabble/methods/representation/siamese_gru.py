"""Siamese recurrent network: who speaks, as far as a tiny network hears it through noise; the ear of gates.

A. Sivaraman, M. Kim, "Zero-shot personalized speech enhancement through speaker-informed model selection", WASPAA 2021:
two utterances go through the same small network, and the product of its last states says whether one person speaks.

    z = GRU(|X|) at the last frame,   p(same) = sigmoid(z_i . z_j),   loss: cross-entropy        (section 2.1)

Learns from noisy utterances, so that its states tell speakers and not noises apart. Differences: features as in
``nn.live_masks``; as many same pairs as others count, however many there are.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.live_masks import Frames, Recurrence


@register(
    name="siamese_gru",
    contract="embedder",
    summary="Tells speakers apart through noise with a tiny recurrent network: the ear of an ensemble's gate.",
    citation="Sivaraman & Kim, WASPAA 2021",
    network=True,
)
class SiameseGRU(NeuralEmbedder):
    """See the module.

    Args:
        hidden: units of a layer, and numbers of an embedding.
        layers: of recurrent units.
        window_length: samples that a frame looks at.
        heard_length: see ``nn.live_masks.Frames``.
        hop_length: samples between frames.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: lengths that do not fit.
    """

    TINY: ClassVar[dict[str, Any]] = {"hidden": 8, "window_length": 64, "heard_length": 32, "hop_length": 16}

    def __init__(
        self,
        *,
        hidden: int = 32,
        layers: int = 2,
        window_length: int = 1024,
        heard_length: int = 512,
        hop_length: int = 256,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        self.frames = Frames(window_length, heard_length, hop_length)
        self.recurrence = Recurrence(self.frames.bins, hidden, layers)

    def states(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """z."""
        spectra = self.frames.spectra(self.frames.cut(waveform))
        return self.recurrence(self.frames.features(spectra))[:, -1]

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """z / |z|."""
        return nn.functional.normalize(self.states(waveform), dim=-1)

    def loss(self, utterances: Float[Tensor, "batch speaker utterance time"]) -> Float[Tensor, " batch"]:
        """Mean cross-entropy of the pairs of one speaker, and of those of two."""
        batch, speakers, each, _ = utterances.shape
        z = self.states(utterances.flatten(0, 2)).float().unflatten(0, (batch, speakers * each))
        speaker = torch.arange(speakers, device=z.device).repeat_interleave(each)
        one, other = torch.triu_indices(len(speaker), len(speaker), 1, device=z.device)
        scores, same = (z[:, one] * z[:, other]).sum(-1), speaker[one] == speaker[other]
        errors = nn.functional.softplus(torch.where(same, -scores, scores))
        return (errors[:, same].mean(1) + errors[:, ~same].mean(1)) / 2
