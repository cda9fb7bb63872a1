"""A small convolutional classifier of sounds: four layers that halve a spectrogram, one that adds to what is there.

The classifier that F. Paissan, C. Subakan, M. Ravanelli, "Posthoc interpretation via quantization", arXiv 2303.12659,
explain (their section 4.1; SpeechBrain's ``Conv2dEncoder_v2``, whose weights load: ``networks.foreign``). It hears
log(1 + magnitude) of a short-time spectrum, and decides by the mean over what is left of frames and frequencies.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.classifier import NeuralClassifier
from unbabble.nn.sound_features import LogMagnitudes

LEAST_FRAMES = 16
"""Four times, two frames become one."""


@register(
    name="conv2d",
    contract="classifier",
    summary="Names sounds with four layers of convolutions over the spectrum; reads SpeechBrain's weights.",
    citation="Paissan, Subakan, Ravanelli: Posthoc interpretation via quantization, arXiv 2303.12659",
    network=True,
)
class Conv2d(NeuralClassifier):
    """See the module.

    Args:
        labels: what it tells apart: a list, or one text with ``|`` between them.
        several: a recording may have several labels at once, or none; else it has exactly one.
        channels: of all layers; 256 as published.
        bands: of the mel scale; 0 for the spectrum itself, as published.
        head: the last layer: ``linear``, or ``cosine``.
        hidden: of a ``cosine`` head, numbers of a projection before it; 0 for none.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"labels": NeuralClassifier.LABELS, "channels": 4, "bands": 16}

    def __init__(
        self,
        *,
        labels: str | list[str] = "sound",
        several: bool = False,
        channels: int = 64,
        bands: int = 0,
        head: Literal["linear", "cosine"] = "linear",
        hidden: int = 0,
        sample_rate: int = 16000,
    ) -> None:
        if channels < 1 or hidden < 0 or 0 < bands < LEAST_FRAMES or bands < 0:
            raise UsageError(f"conv2d has at least 1 channel, and {LEAST_FRAMES} bands and more, or none.")
        super().__init__(
            labels=labels, several=several, dimension=channels, head=head, hidden=hidden, sample_rate=sample_rate
        )  # fmt: skip
        self.spectrum = LogMagnitudes(bands, sample_rate, LEAST_FRAMES)
        self.layers = nn.Sequential()
        for inputs in (1, channels, channels, channels):
            self.layers += nn.Sequential(
                nn.Conv2d(inputs, channels, 4, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()
            )
        self.added = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def represent(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Their mean over frames and frequencies."""
        x = self.layers(self.spectrum(waveform)[:, None])
        return (x + self.added(x)).mean((2, 3))
