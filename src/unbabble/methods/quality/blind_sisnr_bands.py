"""Blind SI-SNR from spectra: which part of an estimate is its talker, and which part of the rest is, too.

A variant of REAL-M's estimator (``blind_sisnr``; Subakan et al., ICASSP 2022) that uses what it leaves aside: spectra
in place of samples, all estimates of a mixture together, and a word on how sure it is. With x the mixture, e an
estimate, brought to its level there (g = <x, e> / <e, e>), in mel bands and frames:

    c = log powers of x, e, x - g e, all other g e; cosines of e with x, of e with the others; SI-SDR of e against x
    p, q = sigmoid(network(c))                       shares of the talker in e and in what e leaves out, x - g e
    SI-SNR = 10 log10(sum p E / sum ((1 - p) E + q R)) + d            E, R: powers of g e and of x - g e

The network is one of convolutions over time; each of its blocks also sees its estimate as a whole, and what the block
makes of the other estimates. d and the spread of the error come from the mean and maximum of its last layer over time.
Learns by the likelihood of the SI-SNR, as errors were Laplace's, and from the true shares of the talker in e and in
what e leaves out, frame by frame.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB, NeuralScorer, Prediction, mean_over, true_db
from unbabble.signal.mel import mel_filters
from unbabble.signal.stft import Stft

FLOOR = 1e-5
"""Of powers, over that of the mixture."""
SCALE = 0.3
"""Brings the spread of log powers near one."""
FEATURES = 7
LEAST_BANDS, PARTS = 8, 8
"""Bands of features, at least; and bands in which shares are estimated."""
SHARE_WEIGHT, REST_WEIGHT = 2.0, 1.0
LEAST_SPREAD_DB = 0.2
LEAST_SHARE = 1e-6
"""Of the mixture's power."""
KERNEL, DILATIONS = 5, (1, 2, 4, 8)


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
        width: channels over time.
        blocks: of convolutions.
        hop: seconds between frames, which are twice as long.
        joint: whether the other estimates are looked at.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {"bands": 8, "width": 8, "blocks": 2}
    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 8000,
        bands: int = 40,
        width: int = 96,
        blocks: int = 8,
        hop: float = 0.032,
        joint: bool = True,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        if bands < LEAST_BANDS or bands % PARTS or min(width, blocks) < 1:
            raise UsageError(
                f"The number of bands is a multiple of {PARTS}; width and blocks are at least 1."
            )
        samples = round(hop * sample_rate)
        if samples < bands:
            raise UsageError("Frames are long enough for as many bands: hop is at least bands / sample_rate.")
        self.joint = joint
        self.spectrum = Stft(2 * samples, samples)
        self.register_buffer(
            "filters", mel_filters(bands, 2 * samples, sample_rate).mT.contiguous(), persistent=False
        )
        self.entrance = nn.Sequential(
            nn.Linear(FEATURES * bands, 2 * width), nn.PReLU(), nn.Linear(2 * width, width)
        )
        self.blocks = nn.ModuleList(
            _Block(width, DILATIONS[number % len(DILATIONS)], joint) for number in range(blocks)
        )
        self.shares = nn.Linear(width, 2 * PARTS)
        self.head = nn.Sequential(nn.Linear(2 * width + 1, width), nn.PReLU(), nn.Linear(width, 2))

    def predict(
        self, mixture: Float[Tensor, "batch time"], estimates: Float[Tensor, "batch source time"]
    ) -> Prediction:
        """Scores and spreads in dB."""
        return self._scored(mixture, estimates).prediction

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        estimates: Float[Tensor, "batch source time"],
        references: Float[Tensor, "batch source time"],
    ) -> Float[Tensor, " batch"]:
        """Laplace's likelihood of the scores, and the errors of the shares, where there is power."""
        (predicted, shares, powers), (true, there) = (
            self._scored(mixture, estimates),
            true_db(estimates, references),
        )
        error = (predicted.db - true.clamp(LOWEST_DB, HIGHEST_DB)).abs()
        with torch.no_grad(), torch.autocast(mixture.device.type, enabled=False):
            wanted = self._true_shares(mixture.float(), estimates.float(), references.float())
            weights = powers / powers.sum((-2, -1), keepdim=True).clamp(min=1e-20)
        apart = (weights * (shares - wanted).abs()).sum((-2, -1))
        apart = SHARE_WEIGHT * apart[:, :, 0] + REST_WEIGHT * apart[:, :, 1]
        return mean_over(error / predicted.spread + predicted.spread.log() + apart, there)

    def _scored(self, mixture: Tensor, estimates: Tensor) -> "_Scored":
        batch, sources = estimates.shape[:2]
        # Rows of silent estimates only fill up a batch: nothing is computed for them, and they are no others.
        row = (estimates.abs().amax(-1) > 0).flatten().nonzero()[:, 0]
        item = row // sources
        with torch.autocast(mixture.device.type, enabled=False):
            features, powers = self._features(mixture.float(), estimates.float())
        hidden = self.entrance(features.flatten(0, 1)[row].transpose(1, 2).flatten(2))
        for block in self.blocks:
            hidden = block(hidden, item, batch)

        def placed(values: Tensor) -> Tensor:
            rows = values.new_zeros(batch * sources, *values.shape[1:]).index_copy(0, row, values)
            return rows.unflatten(0, (batch, sources))

        shares = placed(self.shares(hidden).float().unflatten(-1, (2, PARTS)).permute(0, 2, 3, 1).sigmoid())
        (estimate, rest), (in_estimate, in_rest) = powers.unbind(2), shares.unbind(2)
        voice = (in_estimate * estimate).sum((-2, -1))
        error = ((1 - in_estimate) * estimate + in_rest * rest).sum((-2, -1))
        coarse = 10 * torch.log10((voice + LEAST_SHARE) / (error + LEAST_SHARE))
        pooled = placed(torch.cat([hidden.mean(1), hidden.amax(1)], -1).float())
        shift, spread = self.head(torch.cat([pooled, 0.1 * coarse[..., None]], -1)).float().unbind(-1)
        spread = LEAST_SPREAD_DB + nn.functional.softplus(spread) * 3
        return _Scored(Prediction(coarse + 3 * shift, spread), shares, powers)

    def _features(self, mixture: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, source, feature, frame, band); powers of estimate and rest in (batch, source, 2, part, frame)."""
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
        x = self._spectra(mixture)
        e = gain[..., None] * self._spectra(unit)  # both (batch, 1 or source, frame, bin)
        others = e.sum(1, keepdim=True) - e if self.joint else torch.zeros_like(e)
        bands = [self._bands(each) for each in (x, e, x - e, others)]
        norm = bands[0].mean((-2, -1), keepdim=True).clamp(min=1e-20)
        shape = gain[..., None].square().clamp(min=1e-20)  # of an estimate the shape counts, not the level
        levels = (norm, norm * shape, norm, norm)
        logs = [SCALE * (each / level + FLOOR).log() for each, level in zip(bands, levels, strict=True)]
        cosines = [
            (_product(e, each) @ self.filters)
            / (first * bands[1] + (FLOOR * gain[..., None]) ** 2 + 1e-30).sqrt()
            for each, first in ((x, bands[0]), (others, bands[3]))
        ]
        whole = (10 * torch.log10(likeness / (1 - likeness)))[..., None].expand_as(bands[1])
        features = torch.stack([logs[0].expand_as(bands[1]), *logs[1:], *cosines, 0.1 * whole], 2)
        total = bands[0].sum((-2, -1), keepdim=True).clamp(min=1e-20)
        powers = torch.stack([bands[1], bands[2]], 2) / total[:, :, None]
        return features, self._parts(powers)

    def _spectra(self, waveforms: Tensor) -> Tensor:
        return self.spectrum.analyse(waveforms).mT

    def _bands(self, spectra: Tensor) -> Tensor:
        return _product(spectra, spectra) @ self.filters

    def _parts(self, bands: Tensor) -> Tensor:
        return bands.unflatten(-1, (PARTS, -1)).sum(-1).mT

    def _true_shares(self, mixture: Tensor, estimates: Tensor, references: Tensor) -> Tensor:
        """|a s|^2 / (|a s|^2 + |e - a s|^2), for e the estimate and the rest, in (batch, source, 2, part, frame)."""
        rest = mixture[:, None] - _along(mixture[:, None], estimates)
        signals = torch.stack([estimates, rest], 2)
        voice = _along(signals, references[:, :, None])
        voice, error = (self._parts(self._bands(self._spectra(each))) for each in (voice, signals - voice))
        return voice / (voice + error).clamp(min=1e-20)


class _Scored(NamedTuple):
    """A prediction; shares and powers of (estimate, rest), both in (batch, source, 2, part, frame)."""

    prediction: Prediction
    shares: Tensor
    powers: Tensor


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Re(one * conj(other))."""
    return one.real * other.real + one.imag * other.imag


def _along(signals: Tensor, voice: Tensor) -> Tensor:
    """The part of ``signals`` that is ``voice``, at some level."""
    power = voice.square().sum(-1, keepdim=True)
    return (signals * voice).sum(-1, keepdim=True) / power.where(power > 0, torch.inf) * voice


class _Block(nn.Module):
    """Each channel over time, then all channels, with the whole of the estimate and with the others, by a residual."""

    def __init__(self, width: int, dilation: int, joint: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.over_time = nn.Conv1d(width, width, KERNEL, groups=width)
        self.over_channels = nn.Linear(width, width)
        self.whole = nn.Linear(2 * width, width)
        self.others = nn.Linear(width, width) if joint else None
        self.activation = nn.PReLU()
        self.back = nn.Linear(width, width)

    def forward(self, x: Tensor, item: Tensor, items: int) -> Tensor:
        """Rows (row, frame, width), each of a mixture ``item``."""
        normal = self.norm(x)
        y = self.over_channels(self._over_time(normal))
        y = y + self.whole(torch.cat([normal.mean(1), normal.amax(1)], -1))[:, None]
        if self.others is not None:
            own = self.others(normal)
            if items == 1:
                together = own.sum(0, keepdim=True)
            else:
                together = own.new_zeros(items, *own.shape[1:]).index_add(0, item, own)[item]
            y = y + together - own
        return x + self.back(self.activation(y))

    def _over_time(self, x: Tensor) -> Tensor:
        """In rows of as many frames as the dilation a dilated convolution is an ordinary one, which is faster."""
        rows = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.dilation)).unflatten(1, (-1, self.dilation))
        weight, bias = self.over_time.weight[..., None], self.over_time.bias
        y = nn.functional.conv2d(
            rows.permute(0, 3, 1, 2), weight, bias, padding=(KERNEL // 2, 0), groups=len(weight)
        )
        return y.permute(0, 2, 3, 1).flatten(1, 2)[:, : x.shape[1]]
