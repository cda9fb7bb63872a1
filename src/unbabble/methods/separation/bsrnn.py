"""Band-split recurrent network: few operations, and the quickest to learn of the networks here.

The spectrogram is cut into bands, narrow where voices have their harmonics; every band of every frame becomes one
vector, so that a frame has 23 places instead of 129. Recurrent layers then run in turn over the frames of each band
(how a voice goes on) and over the bands of each frame (what sounds together). A complex mask for each talker and
band comes out.

    Y. Luo & J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 31, 2023, arXiv 2209.15174; for
    speech: J. Yu et al., "High fidelity speech enhancement with band-split RNN", Interspeech 2023, arXiv 2212.00406.

========== =================== ====================================================================
paper      code                meaning
========== =================== ====================================================================
X          ``spectrum``        mixture, (batch, 2, frame, frequency)
B_i, G_i   ``band_widths``     bins of band i; (band, 2 G_i) numbers a frame
Z          ``places``          (batch, frame, band, ``features``)
N, H       ``features``,       size of a band's vector, of each direction of a recurrent layer
           ``hidden``
L          ``blocks``          pairs of a recurrent layer over time and one over bands
M          ``masks``           complex, (batch, source, 2, frame, frequency)
========== =================== ====================================================================

Differences from the paper: one normalisation over the features of each place instead of one over the whole
spectrogram (nothing depends on the length of the recording), all sources from one network, masks that start from an
equal share of the mixture, narrower layers. The published width for music is ``features=128, hidden=256,
blocks=12`` at 44.1 kHz; the defaults here are the compact configuration for speech at 8 kHz.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.separator import NeuralSeparator
from unbabble.nn.spectrum import Spectrum

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


@register(
    name="bsrnn",
    contract="separator",
    summary="Band-split recurrent network: the most for few operations on one microphone.",
    citation="Luo & Yu, IEEE/ACM TASLP 2023; Yu et al., Interspeech 2023",
    network=True,
)
class BSRNN(NeuralSeparator):
    """See the module.

    Args:
        window_length: samples of the analysis window, a square-root Hann.
        hop_length: samples between windows.
        features: numbers that describe a band in a frame.
        hidden: size of each direction of a recurrent layer.
        mask_hidden: size of the hidden layer from which masks are made.
        blocks: pairs of a recurrence over time and one over bands.
        levels: see ``NeuralSeparator``.
        options: of ``NeuralSeparator``.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "window_length": 64,
        "hop_length": 32,
        "features": 6,
        "hidden": 5,
        "mask_hidden": 8,
        "blocks": 1,
    }

    def __init__(
        self,
        *,
        window_length: int = 256,
        hop_length: int = 128,
        features: int = 48,
        hidden: int = 48,
        mask_hidden: int = 96,
        blocks: int = 4,
        levels: Literal["fitted", "kept"] = "kept",
        **options: Any,
    ) -> None:
        super().__init__(levels=levels, **options)
        if min(features, hidden, mask_hidden, blocks) < 1:
            raise UsageError("BSRNN: features, hidden, mask_hidden and blocks are at least 1.")
        self.spectrum = Spectrum(window_length, hop_length, square_root=True)
        widths = band_widths(self.spectrum.bins, self.sample_rate / window_length)
        self.split = BandSplit(widths, features)
        self.over_time = nn.ModuleList(ResidualRecurrence(features, hidden) for _ in range(blocks))
        self.over_bands = nn.ModuleList(ResidualRecurrence(features, hidden) for _ in range(blocks))
        self.masks = MaskEstimation(widths, features, mask_hidden, self.sources)

    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """Masks on the mixture's spectrogram."""
        spectrum = self.spectrum.analyse(mixture)
        places = self.split(spectrum)
        batch, frames, bands, _ = places.shape
        for over_time, over_bands in zip(self.over_time, self.over_bands, strict=True):
            places = over_bands(places.flatten(0, 1)).unflatten(0, (batch, frames))
            tracks = places.transpose(1, 2).flatten(0, 1)
            places = over_time(tracks).unflatten(0, (batch, bands)).transpose(1, 2)
        masks = self.masks(places).float()
        real, imaginary = spectrum[:, None].unbind(2)
        mask_real, mask_imaginary = masks[:, :, 0] + 1 / self.sources, masks[:, :, 1]
        separated = torch.stack(
            [mask_real * real - mask_imaginary * imaginary, mask_real * imaginary + mask_imaginary * real], 2
        )
        return self.spectrum.synthesise(separated, mixture.shape[-1])
