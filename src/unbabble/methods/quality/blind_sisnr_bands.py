"""Blind SI-SNR from spectra: which part of an estimate is its talker, and which part of the rest is, too.

A variant of REAL-M's estimator (``blind_sisnr``; Subakan et al., ICASSP 2022) that uses what it leaves aside: spectra
in place of samples, all estimates of a mixture together, and a word on how sure it is. With x the mixture, e an
estimate, brought to its level there (g = <x, e> / <e, e>), in mel bands and frames:

    c = log powers of x, e, x - g e, all other g e; cosines of e with x, of e with the others; SI-SDR of e against x
    p, q = sigmoid(network(c))                       shares of the talker in e and in what e leaves out, x - g e
    SI-SNR = 10 log10(sum p E / sum ((1 - p) E + q R)) + d            E, R: powers of g e and of x - g e

d and the spread of the error come from the mean and maximum of the network's last layer over time. Learns by the
likelihood of the SI-SNR, as errors were Laplace's, and from the true shares of the talker in e, frame by frame.
"""

import math
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.scorer import HIGHEST_DB, LOWEST_DB, NeuralScorer, Prediction, mean_over, true_db
from unbabble.nn.spectrum import Spectrum
from unbabble.signal.mel import mel_filters

WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.016
FLOOR = 1e-5
"""Of powers, over that of the mixture."""
SCALE = 0.3
"""Brings the spread of log powers near one."""
FEATURES = 7
LEAST_BANDS, PARTS = 8, 8
"""Bands of features, at least; and bands in which shares are told."""
SHARE_WEIGHT = 2.0
LEAST_SPREAD_DB = 0.2
LEAST_SHARE = 1e-6
"""Of the mixture's power."""
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)


@register(
    name="blind_sisnr_bands",
    contract="scorer",
    summary="Estimates SI-SNR, and how sure it is, from the spectra of mixture and all estimates together.",
    citation="After Subakan, Ravanelli, Cornell, Grondin: REAL-M: Towards Speech Separation on Real Mixtures, "
    "ICASSP 2022",
    network=True,
)
class BlindSiSnrBands(NeuralScorer):
    """The variant.

    Args:
        sample_rate: Hz, that of its training data.
        bands: mel bands, a multiple of 8.
        channels: of the first convolution.
        width: of the layers over time.
        joint: whether the other estimates are looked at.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"bands": 8, "channels": 4, "width": 8}
    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 8000,
        bands: int = 40,
        channels: int = 24,
        width: int = 96,
        joint: bool = True,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if bands < LEAST_BANDS or bands % PARTS or min(channels, width) < 1:
            raise UsageError(
                f"The number of bands is a multiple of {PARTS}; channels and width are at least 1."
            )
        self.joint = joint
        hop = round(HOP_SECONDS * sample_rate)
        self.spectrum = Spectrum(2 * hop, hop)
        self.register_buffer(
            "filters", mel_filters(bands, 2 * hop, sample_rate).mT.contiguous(), persistent=False
        )
        sizes = (FEATURES, channels, channels, 2 * channels)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            # Frames keep their rate, bands are halved: (batch, channel, frame, band).
            layers += [nn.Conv2d(before, after, 3, (1, 2), 1), nn.GroupNorm(1, after), nn.PReLU()]
        self.convolutions = nn.Sequential(*layers)
        left = math.ceil(math.ceil(math.ceil(bands / 2) / 2) / 2)
        self.narrow = nn.Conv1d(2 * channels * left, width, 1)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in DILATIONS)
        self.shares = nn.Conv1d(width, 2 * PARTS, 1)
        self.head = nn.Sequential(nn.Linear(2 * width + 1, width), nn.PReLU(), nn.Linear(width, 2))

    def predict(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Prediction:
        """Scores and spreads in dB."""
        return self._scored(mixture, estimates)[0]

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        estimates: Float[Tensor, "batch source time"],
        references: Float[Tensor, "batch source time"],
    ) -> Float[Tensor, " batch"]:
        """Laplace's likelihood of the scores, and the error of the shares where the estimate has power."""
        found, shares, powers = self._scored(mixture, estimates)
        true, there = true_db(estimates, references)
        true = true.clamp(LOWEST_DB, HIGHEST_DB)
        error = (found.db - true).abs()
        with torch.no_grad():
            wanted = self._true_shares(estimates, references)
            weight = powers / powers.sum((-2, -1), keepdim=True).clamp(min=1e-20)
        apart = (weight * (shares - wanted).abs()).sum((-2, -1))
        return mean_over(error / found.spread + found.spread.log() + SHARE_WEIGHT * apart, there)

    def _scored(self, mixture: Tensor, estimates: Tensor) -> tuple[Prediction, Tensor, Tensor]:
        """The prediction, the talker's share of each estimate in (batch, source, part, frame), and its powers there."""
        with torch.autocast(mixture.device.type, enabled=False):
            features, told, rest = self._features(mixture.float(), estimates.float())
        batch, sources = estimates.shape[:2]
        found = self.convolutions(features.flatten(0, 1))
        found = self.narrow(found.transpose(2, 3).flatten(1, 2))
        for block in self.blocks:
            found = block(found)
        shares = self.shares(found).float().view(batch, sources, 2, PARTS, -1).sigmoid()
        voice = (shares[:, :, 0] * told).sum((-2, -1))
        error = ((1 - shares[:, :, 0]) * told + shares[:, :, 1] * rest).sum((-2, -1))
        coarse = 10 * torch.log10((voice + LEAST_SHARE) / (error + LEAST_SHARE))
        pooled = torch.cat([found.mean(-1), found.amax(-1)], -1).float()
        shift, spread = self.head(torch.cat([pooled, 0.1 * coarse.flatten()[:, None]], -1)).float().unbind(-1)
        db = coarse + 3 * shift.view_as(coarse)
        spread = LEAST_SPREAD_DB + nn.functional.softplus(spread.view_as(coarse)) * 3
        return Prediction(db, spread), shares[:, :, 0], told

    def _features(self, mixture: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, source, feature, frame, band); powers of estimate and rest in (batch, source, part, frame)."""
        least = self.spectrum.window_length
        if mixture.shape[-1] < least:
            mixture, estimates = (
                nn.functional.pad(each, (0, least - mixture.shape[-1])) for each in (mixture, estimates)
            )
        level = mixture.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-20)
        mixture = (mixture / level)[:, None]
        power = estimates.square().mean(-1, keepdim=True)
        unit = estimates / power.sqrt().where(power > 0, torch.inf)
        gain = (mixture * unit).mean(-1, keepdim=True)  # also the correlation of the two
        unit, gain = torch.where(gain < 0, -unit, unit), gain.abs()
        likeness = gain.square().clamp(1e-4, 1 - 1e-4)
        x = self.spectrum.analyse(mixture)  # (batch, 1, 2, frame, bin)
        e = self.spectrum.analyse(unit)
        placed = gain[..., None, None] * e
        others = placed.sum(1, keepdim=True) - placed if self.joint else torch.zeros_like(placed)
        rest = x - placed
        bands = [self._bands(each) for each in (x.expand_as(e), e, rest, others)]
        cosines = [
            ((e * each).sum(2) @ self.filters) / (first * second + FLOOR**2).sqrt()
            for each, first, second in ((x, bands[0], bands[1]), (others, bands[3], bands[1]))
        ]
        whole = (10 * torch.log10(likeness / (1 - likeness)))[..., None].expand_as(bands[0])
        norm = bands[0].mean((-2, -1), keepdim=True)
        logs = [SCALE * (each / norm.clamp(min=1e-20) + FLOOR).log() for each in bands]
        features = torch.stack([*logs, *cosines, 0.1 * whole], 2)
        total = bands[0].sum((-2, -1), keepdim=True).clamp(min=1e-20)
        powers = (gain[..., None].square() * bands[1] / total, bands[2] / total)
        told, missed = (each.unflatten(-1, (PARTS, -1)).sum(-1).mT for each in powers)
        return features, told, missed

    def _bands(self, spectrum: Tensor) -> Tensor:
        return spectrum.square().sum(-3) @ self.filters

    def _true_shares(self, estimates: Tensor, references: Tensor) -> Tensor:
        """|a s|^2 / (|a s|^2 + |e - a s|^2) in (batch, source, part, frame)."""
        power = references.square().sum(-1, keepdim=True)
        voice = (
            (estimates * references).sum(-1, keepdim=True) / power.where(power > 0, torch.inf) * references
        )
        voice, error = (
            self._bands(self.spectrum.analyse(each.float())).unflatten(-1, (PARTS, -1)).sum(-1).mT
            for each in (voice, estimates - voice)
        )
        return voice / (voice + error).clamp(min=1e-20)


class _Block(nn.Module):
    """Each channel over time, then all channels, around a residual."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation, groups=width)
        self.norm, self.activation = nn.GroupNorm(1, width), nn.PReLU()
        self.over_channels = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.over_channels(self.activation(self.norm(self.over_time(x))))
