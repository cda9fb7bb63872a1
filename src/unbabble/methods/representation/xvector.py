"""x-vectors: who speaks, from convolutions over some frames each, and mean and deviation of what they find over time.

D. Snyder, D. Garcia-Romero, G. Sell, D. Povey, S. Khudanpur, "X-vectors: robust DNN embeddings for speaker
recognition", ICASSP 2018. Differences: learns with the loss of d-vectors (``end_to_end_loss``) instead of
naming the speakers of its training data, of which there may be few; one layer behind the statistics.

=========== =================== ====================================================================
paper       code                meaning
=========== =================== ====================================================================
frame1-5    ``frames``          convolutions over time: 5 frames; 3 of every 2nd; 3 of every 3rd; 1; 1
stats       ``embed``           mean and deviation over all frames
segment6    ``projection``      to the embedding
=========== =================== ====================================================================
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.features import MelBands
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.speaker_losses import end_to_end_loss

LAYERS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))
"""Frames that a layer looks at, and how far apart they are."""
WIDER = 3
"""The last layer has so many times the channels (1500 and 512 in the paper)."""


@register(
    name="xvector",
    contract="embedder",
    summary="Tells speakers apart with convolutions over time, and the mean and deviation of what they find.",
    citation="Snyder, Garcia-Romero, Sell, Povey, Khudanpur: X-vectors, ICASSP 2018",
    network=True,
)
class XVector(NeuralEmbedder):
    """See the module.

    Args:
        bands: mel bands, 8 or more.
        channels: of the layers over frames.
        dimension: numbers of an embedding.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"bands": 8, "channels": 8, "dimension": 6}

    def __init__(
        self, *, bands: int = 40, channels: int = 512, dimension: int = 512, sample_rate: int = 16000
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if min(channels, dimension) < 1:
            raise UsageError("An x-vector has at least one channel and one dimension.")
        self.bands = MelBands(bands, sample_rate)
        widths = [bands, *[channels] * (len(LAYERS) - 1), WIDER * channels]
        self.frames = nn.Sequential()
        for (kernel, dilation), before, width in zip(LAYERS, widths[:-1], widths[1:], strict=True):
            padding = dilation * (kernel // 2)
            self.frames += nn.Sequential(
                nn.Conv1d(before, width, kernel, dilation=dilation, padding=padding),
                nn.ReLU(),
                nn.BatchNorm1d(width),
            )
        self.projection = nn.Linear(2 * WIDER * channels, dimension)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.shift = nn.Parameter(torch.tensor(-5.0))

    def embed(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """From the statistics of the whole recording."""
        frames = self.frames(self.bands(waveform).mT).float()
        deviation = (frames.var(-1, correction=0) + 1e-5).sqrt()
        return nn.functional.normalize(self.projection(torch.cat([frames.mean(-1), deviation], -1)), dim=-1)

    def loss(self, utterances: Float[Tensor, "batch speaker utterance time"]) -> Float[Tensor, " batch"]:
        """That of d-vectors."""
        return end_to_end_loss(self.embeddings(utterances), self.scale, self.shift)
