"""CNN14: which sounds are in a recording, by six blocks of convolutions over its mel bands.

Q. Kong et al., "PANNs: large-scale pretrained audio neural networks for audio pattern recognition", IEEE/ACM TASLP 28,
2020. Each block halves frames and bands and doubles the channels (table I); over the bands that are left there is a
mean, over the frames the sum of mean and maximum (section III-B). Details are SpeechBrain's, whose weights load
(``networks.foreign.speechbrain_classifier``): no fully connected layer stands between that and the last one.

Three widths: 64 as published (75 million parameters), 32 (19 million), 16 (5 million). Convolutions: ``nn.cnn14``.
"""

from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.cnn14 import DROPPED, LEAST_FRAMES, Cnn14Trunk
from unbabble.nn.kinds.classifier import NeuralClassifier
from unbabble.nn.sound_features import SoundFeatures, sound_features


@register(
    name="cnn14",
    contract="classifier",
    summary="Names sounds with blocks of convolutions over mel bands; reads SpeechBrain's weights.",
    citation="Kong et al.: PANNs, IEEE/ACM TASLP 2020",
    network=True,
)
class Cnn14(NeuralClassifier):
    """See the module.

    Args:
        labels: what it tells apart: a list, or one text with ``|`` between them.
        several: a recording may have several labels at once, or none; else it has exactly one.
        width: channels of the first block.
        dimension: numbers of what the last layer decides by; 0 for 32 times the width.
        bands: of the mel scale, at least 32.
        features: how loud a band is: ``decibels`` less its mean over the recording, or ``log1p`` (SpeechBrain's).
        dropped: share of the numbers between blocks that is left out while it learns.
        head: the last layer: ``linear``, or ``cosine``.
        hidden: of a ``cosine`` head, numbers of a projection before it; 0 for none.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "labels": NeuralClassifier.LABELS,
        "width": 2,
        "bands": 32,
        "dropped": 0.0,
    }

    def __init__(
        self,
        *,
        labels: str | list[str] = "sound",
        several: bool = False,
        width: int = 16,
        dimension: int = 0,
        bands: int = 80,
        features: SoundFeatures = "decibels",
        dropped: float = DROPPED,
        head: Literal["linear", "cosine"] = "linear",
        hidden: int = 0,
        sample_rate: int = 16000,
    ) -> None:
        if width < 1 or dimension < 0 or hidden < 0 or bands < LEAST_FRAMES or not 0 <= dropped < 1:
            raise UsageError(
                f"cnn14 has a width of at least 1, {LEAST_FRAMES} bands and more, and drops a share below 1."
            )
        dimension = dimension or 32 * width
        super().__init__(
            labels=labels, several=several, dimension=dimension, head=head, hidden=hidden, sample_rate=sample_rate
        )  # fmt: skip
        self.mel = sound_features(features, bands, sample_rate, LEAST_FRAMES)
        self.trunk = Cnn14Trunk(bands, width, dimension, dropped)

    def represent(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """By the trunk."""
        return self.trunk(self.mel(waveform))
