"""REAL-M's blind SI-SNR estimator: how good a separated voice is, from the mixture and the voice alone.

Subakan, Ravanelli, Cornell and Grondin, "REAL-M: Towards Speech Separation on Real Mixtures", ICASSP 2022, section 3.
Mixture and estimate, each without its mean and at unit variance, are two channels of a convolutional network in
the time domain; mean and standard deviation over time are pooled, and an MLP tells the SI-SNR, compressed to 0 ... 1:

    h = conv5(relu(conv4(... relu(conv1([estimate, mixture])))))     kernel 4, strides 1, 2, 2, 2, 2
    y = sigmoid(W2 relu(W1 [mean_t h, std_t h] + b1) + b2)
    SI-SNR = low + (high - low) y,   loss |y - clip((SI-SNR - low) / (high - low), 0, 1)|

The published one compresses 0 to 10 dB. It has no word on how sure it is: ``spread`` is 1 dB everywhere until
``calibrate`` finds out how far it is off.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.scorer import NeuralScorer, Prediction, mean_over, true_db, unit

KERNEL, STRIDES = 4, (1, 2, 2, 2, 2)
FLOOR = 1e-5
"""Added to standard deviations, as in the published code."""


@register(
    name="blind_sisnr",
    contract="scorer",
    summary="Estimates SI-SNR from mixture and estimate: convolutions in the time domain (REAL-M).",
    citation="Subakan, Ravanelli, Cornell, Grondin: REAL-M: Towards Speech Separation on Real Mixtures, ICASSP 2022",
    network=True,
)
class BlindSiSnr(NeuralScorer):
    """The published estimator.

    Args:
        sample_rate: Hz, that of its training data.
        channels: of the convolutions; the MLP has twice as many.
        low_db: SI-SNR that is 0 within the network.
        high_db: SI-SNR that is 1 within the network.

    Raises:
        UsageError: a range that is none, or fewer than one channel.
    """

    TINY: ClassVar[dict[str, Any]] = {"channels": 4}

    def __init__(
        self, *, sample_rate: int = 8000, channels: int = 128, low_db: float = 0.0, high_db: float = 10.0
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if channels < 1 or not low_db < high_db:
            raise UsageError("An estimator has at least 1 channel, and low_db below high_db.")
        self.low_db, self.high_db = low_db, high_db
        sizes = [2, *[channels] * len(STRIDES)]
        self.encoder = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, stride)
            for before, after, stride in zip(sizes, sizes[1:], STRIDES, strict=False)
        )
        self.hidden, self.output = nn.Linear(2 * channels, 2 * channels), nn.Linear(2 * channels, 1)

    def compressed(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, "batch source"]:
        """The score of each estimate as the network tells it, 0 to 1."""
        mixtures = mixture[:, None].expand_as(estimates)
        features = torch.stack([unit(estimates), unit(mixtures)], -2).flatten(0, 1)
        for number, layer in enumerate(self.encoder):
            features = layer(features if number == 0 else features.relu())
        pooled = torch.cat([features.mean(-1), features.std(-1) + FLOOR], -1)
        return self.output(self.hidden(pooled).relu()).float().sigmoid().view(estimates.shape[:2])

    def predict(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Prediction:
        """Scores in dB; all equally uncertain."""
        db = self.low_db + (self.high_db - self.low_db) * self.compressed(mixture, estimates)
        return Prediction(db, torch.ones_like(db))

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        estimates: Float[Tensor, "batch source time"],
        references: Float[Tensor, "batch source time"],
    ) -> Float[Tensor, " batch"]:
        """L1 of compressed scores."""
        true, there = true_db(estimates, references)
        wanted = ((true - self.low_db) / (self.high_db - self.low_db)).clamp(0, 1)
        return mean_over((self.compressed(mixture, estimates) - wanted).abs(), there)
