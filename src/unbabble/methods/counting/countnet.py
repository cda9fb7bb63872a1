"""CountNet: how many talk in the recording of one microphone.

Stöter, Chakrabarty, Edler and Habets, "Classification vs. regression in supervised learning for single channel
speaker count estimation", ICASSP 2018: convolutions over the spectrogram, a recurrent layer over time, pooling, and
one class for each number of talkers. Ours is small: mel bands, a bidirectional LSTM, mean and maximum over time, so
that recordings may have any length; and it counts who talks at all, not who talks at once.

    c = log(M |STFT(x)|^2 + floor),  c <- c - mean(c)
    h = BLSTM(conv(c)),  p(n talkers) = softmax(MLP([mean_t h, max_t h]))

``c`` is (band, frame), M the mel filters.
"""

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.counter import NeuralCounter
from unbabble.signal.mel import mel_filters

WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.01
LEAST_SECONDS = 0.5
"""Shorter recordings are padded with silence to this."""
FLOOR = 1e-4
SCALE = 1 / 3
"""Brings the spread of log spectra near one."""
LEAST_BANDS = 8
CHANNELS = (24, 32, 48)
POOLS = ((2, 2), (2, 2), (2, 1))
"""Of bands and of frames."""


@register(
    name="countnet",
    contract="counter",
    summary="Counts the talkers of one microphone: convolutions and a recurrent layer over mel bands.",
    citation="Stöter, Chakrabarty, Edler, Habets: Classification vs. regression in supervised learning for single "
    "channel speaker count estimation, ICASSP 2018",
    network=True,
)
class CountNet(NeuralCounter):
    """A classifier of recordings by the number of their talkers.

    Args:
        sources: the most talkers that it tells apart.
        sample_rate: Hz, that of its training data.
        bands: mel bands, 8 or more.
        hidden: units of the LSTM, for each direction.
        dropout: share of its input that is left out in training.

    Raises:
        UsageError: fewer than one source, one Hz or eight bands.
    """

    TINY: ClassVar[dict[str, Any]] = {"bands": 8, "hidden": 4}
    window: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        sources: int = 3,
        sample_rate: int = 8000,
        bands: int = 40,
        hidden: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(sources=sources, sample_rate=sample_rate)
        if bands < LEAST_BANDS:
            raise UsageError(f"CountNet has at least {LEAST_BANDS} bands, not {bands}.")
        self.window_length = 2 * round(WINDOW_SECONDS * sample_rate / 2)
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)
        self.register_buffer("filters", mel_filters(bands, self.window_length, sample_rate), persistent=False)
        layers: list[nn.Module] = []
        for before, channels, pool in zip((1, *CHANNELS), CHANNELS, POOLS, strict=False):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.MaxPool2d(pool)]
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        left = math.prod(pool[0] for pool in POOLS)
        self.lstm = nn.LSTM(CHANNELS[-1] * (bands // left), hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(4 * hidden, 64), nn.ReLU(), nn.Linear(64, sources))

    def logits(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source"]:
        """Unnormalised log-probabilities of 1, 2 ... talkers."""
        short = round(LEAST_SECONDS * self.sample_rate) - mixture.shape[-1]
        if short > 0:
            mixture = nn.functional.pad(mixture, (0, short))
        with torch.autocast(mixture.device.type, enabled=False):
            hop = round(HOP_SECONDS * self.sample_rate)
            spectrum = torch.stft(
                mixture.float(), self.window_length, hop, window=self.window, return_complex=True
            )
            bands = (self.filters @ spectrum.abs().square() + FLOOR).log()
            bands = SCALE * (bands - bands.mean((1, 2), keepdim=True))
        features = self.convolutions(bands[:, None])  # (batch, channel, band, frame)
        features, _ = self.lstm(self.dropout(features.flatten(1, 2).mT))
        return self.head(torch.cat([features.mean(1), features.amax(1)], 1))
