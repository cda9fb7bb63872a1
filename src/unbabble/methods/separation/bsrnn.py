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

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.band_split import (
    BandSplit,
    MaskEstimation,
    ResidualRecurrence,
    band_widths,
    masked,
    recurrences,
)
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.spectrum import Spectrum


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
        for over_time, over_bands in zip(self.over_time, self.over_bands, strict=True):
            places = recurrences(places, over_time, over_bands)
        separated = masked(spectrum, self.masks(places).float(), 1 / self.sources)
        return self.spectrum.synthesise(separated, mixture.shape[-1])
