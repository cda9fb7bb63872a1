"""Quality-Net: the PESQ of speech, without the clean speech.

S.-W. Fu, Y. Tsao, H.-T. Hwang, H.-M. Wang, "Quality-Net: an end-to-end non-intrusive speech quality assessment model
based on BLSTM", Interspeech 2018. A bidirectional LSTM over magnitudes gives a quality q_t for each frame; the mean of
these is that of the utterance.

    L = (Q - mean_t q_t)^2 + 10^(Q - 4.5) mean_t (q_t - Q)^2                                      (eq. 1)

so that in good utterances all frames are good. The forget gates start closed (bias -3), which keeps q_t local. Chooses
among enhancers in R. E. Zezario et al., "Specialized speech enhancement model selection based on learned non-intrusive
quality assessment metric", Interspeech 2019.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.meter import NeuralMeter
from unbabble.nn.kinds.scorer import unit
from unbabble.nn.spectrum import Spectrum

BEST = 4.5
FORGET_BIAS = -3.0
MEDIAN = 2.0
"""What an untrained network says."""


@register(
    name="quality_net",
    contract="meter",
    summary="Says how good enhanced speech sounds, as PESQ would, without the clean speech.",
    citation="Fu, Tsao, Hwang, Wang, Quality-Net, Interspeech 2018",
    network=True,
)
class QualityNet(NeuralMeter):
    """See the module.

    Args:
        hidden: units of the LSTM, for each direction.
        units: of the layer behind it.
        window_length: samples of a window.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"hidden": 4, "units": 4, "window_length": 64}
    FIGURE = ("error", "PESQ {:.2f} off")
    ITEM = ("waveform", "rating")

    def __init__(
        self, *, hidden: int = 100, units: int = 50, window_length: int = 512, sample_rate: int = 16000
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if min(hidden, units) < 1:
            raise UsageError("Quality-Net has at least one unit.")
        self.spectrum = Spectrum(window_length, window_length // 2)
        self.lstm = nn.LSTM(self.spectrum.bins, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(2 * hidden, units), nn.ELU(), nn.Linear(units, 1))
        with torch.no_grad():
            self.head[-1].bias.fill_(MEDIAN)  # type: ignore[operator]
            for name, bias in self.lstm.named_parameters():
                if name.startswith("bias"):  # input, forget, cell and output gates
                    bias[hidden : 2 * hidden] = FORGET_BIAS / 2

    def qualities(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame"]:
        """q_t."""
        magnitudes = self.spectrum.analyse(waveform).square().sum(1).clamp(min=1e-12).sqrt()
        return self.head(self.lstm(magnitudes)[0])[..., 0].float()

    def measure(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """PESQ, 1 to 4.5."""
        return self.qualities(unit(waveform)).mean(-1).clamp(1, BEST)

    def loss(
        self, waveform: Float[Tensor, "batch time"], rating: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """L."""
        predicted = self.qualities(unit(waveform))
        rating = rating.to(predicted)
        frames = (predicted - rating[:, None]).square().mean(-1)
        return (rating - predicted.mean(-1)).square() + 10 ** (rating - BEST) * frames

    def figure(self, waveform: Float[Tensor, "1 time"], rating: Float[Tensor, " 1"]) -> float:
        """Absolute error."""
        return float((self(waveform) - rating).abs())
