"""Band-split recurrent networks: a vector for each band of each frame, recurrences over frames and over bands, masks.

Y. Luo & J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31, 2023, arXiv 2209.15174.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

NARROW_BAND_HZ, WIDE_BAND_HZ = 94.0, 250.0
NARROW_UP_TO_HZ = 1000.0


def band_widths(bins: int, bin_hz: float) -> list[int]:
    """Number of bins of each band: about 94 Hz up to 1 kHz, 250 Hz above; together all ``bins``.

    >>> band_widths(129, 31.25)[:2], band_widths(129, 31.25)[-1], len(band_widths(129, 31.25))
    ([3, 3], 8, 23)
    """
    widths: list[int] = []
    while (left := bins - sum(widths)) > 0:
        width_hz = NARROW_BAND_HZ if sum(widths) * bin_hz < NARROW_UP_TO_HZ else WIDE_BAND_HZ
        widths.append(min(left, max(1, round(width_hz / bin_hz))))
    return widths


class BandSplit(nn.Module):
    """A vector for each band of each frame (section III-A): normalised, then its own linear layer."""

    def __init__(self, widths: list[int], features: int) -> None:
        super().__init__()
        self.widths = widths
        self.norms = nn.ModuleList(nn.LayerNorm(2 * width) for width in widths)
        self.layers = nn.ModuleList(nn.Linear(2 * width, features) for width in widths)

    def forward(self, spectrum: Float[Tensor, "batch 2 frame frequency"]) -> Tensor:
        """(batch, frame, band, feature)."""
        bands = spectrum.split(self.widths, -1)
        vectors = [
            layer(norm(band.transpose(1, 2).flatten(2)))
            for band, norm, layer in zip(bands, self.norms, self.layers, strict=True)
        ]
        return torch.stack(vectors, 2)


class ResidualRecurrence(nn.Module):
    """Normalisation, recurrent layer in both directions, linear layer, added to the input (section III-B)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.recurrence = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, features)

    def forward(self, sequences: Float[Tensor, "sequence step feature"]) -> Tensor:
        """The same shape."""
        return sequences + self.output(self.recurrence(self.norm(sequences))[0])


class MaskEstimation(nn.Module):
    """For each band a network with one hidden layer, to the complex masks of all sources (section III-C)."""

    def __init__(self, widths: list[int], features: int, hidden: int, sources: int) -> None:
        super().__init__()
        self.widths, self.sources = widths, sources
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(features),
                nn.Linear(features, hidden),
                nn.Tanh(),
                nn.Linear(hidden, 2 * sources * 2 * width),
                nn.GLU(),
            )
            for width in widths
        )

    def forward(self, places: Float[Tensor, "batch frame band feature"]) -> Tensor:
        """(batch, source, 2, frame, frequency)."""
        masks = [
            layer(places[:, :, band]).unflatten(-1, (self.sources, 2, -1))
            for band, layer in enumerate(self.layers)
        ]
        return torch.cat(masks, -1).movedim(1, 3)


def recurrences(
    places: Float[Tensor, "batch frame band feature"], over_time: nn.Module, over_bands: nn.Module
) -> Float[Tensor, "batch frame band feature"]:
    """Over the bands of each frame, then over the frames of each band."""
    batch, frames, bands, _ = places.shape
    places = over_bands(places.flatten(0, 1)).unflatten(0, (batch, frames))
    tracks = places.transpose(1, 2).flatten(0, 1)
    return over_time(tracks).unflatten(0, (batch, bands)).transpose(1, 2)


def masked(
    spectrum: Float[Tensor, "batch 2 frame frequency"],
    masks: Float[Tensor, "batch source 2 frame frequency"],
    share: float,
) -> Float[Tensor, "batch source 2 frame frequency"]:
    """The spectrum times each complex mask, whose real part starts from ``share``."""
    real, imaginary = spectrum[:, None].unbind(2)
    mask_real, mask_imaginary = masks[:, :, 0] + share, masks[:, :, 1]
    return torch.stack(
        [mask_real * real - mask_imaginary * imaginary, mask_real * imaginary + mask_imaginary * real], 2
    )
