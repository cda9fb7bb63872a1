"""d-vectors: who speaks, from an LSTM over mel bands that pulls a speaker's utterances to their centre.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018; the
embedder of VoiceFilter. Utterance i of speaker j has the vector e_ji, of unit norm; c_k is the centre of speaker k.

    S_ji,k = w cos(e_ji, c_k) + b,   without e_ji in c_j                                        (eqs. 5, 8, 9)
    L(e_ji) = -S_ji,j + log sum_k exp S_ji,k                                 (eq. 6; ``end_to_end_loss``)
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.speaker_encoder import SpeakerEncoder
from unbabble.nn.speaker_losses import end_to_end_loss


@register(
    name="dvector",
    contract="embedder",
    summary="Tells speakers apart with a recurrent network that learnt with the GE2E loss.",
    citation="Wan, Wang, Papir, Lopez Moreno: Generalized end-to-end loss for speaker verification, ICASSP 2018",
    network=True,
)
class DVector(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands, 8 or more.
        hidden: units of a layer.
        layers: of the LSTM.
        dimension: numbers of an embedding.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"bands": 8, "hidden": 8, "layers": 1, "dimension": 6}

    def __init__(
        self,
        *,
        bands: int = 40,
        hidden: int = 768,
        layers: int = 3,
        dimension: int = 256,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        self.encoder = SpeakerEncoder(bands, hidden, layers, dimension, sample_rate)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.shift = nn.Parameter(torch.tensor(-5.0))

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Mean over windows of the LSTM's mean outputs."""
        return self.encoder(waveform)

    def loss(self, utterances: Float[Tensor, "batch speaker utterance time"]) -> Float[Tensor, " batch"]:
        """Mean of L over all utterances of an item."""
        return end_to_end_loss(self.embeddings(utterances), self.scale, self.shift)
