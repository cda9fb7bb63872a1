"""A band-split recurrent network that looks for one person, frame by frame, in the recording, by the enrollment.

The separator is BSRNN's (Y. Luo & J. Yu, IEEE/ACM TASLP 31, 2023). Whom to listen to is not one vector: every frame of
the mixture looks by attention for frames of the enrollment that are like it, so that the network need not know a voice
but compare two, for which few training speakers are enough (B. Zeng, M. Li, "USEF-TSE: universal speaker embedding
free target speaker extraction", IEEE/ACM TASLP 2025, with other separators).

========== =================== ====================================================================
papers     code                meaning
========== =================== ====================================================================
E_m        ``places``          of the mixture, (batch, frame, band, ``features``)
E_r        ``person``          of the enrollment, (batch, frame, band ``features``), after a block of its own
CMHA       ``compare``         attention of the mixture's frames to those of the enrollment
FiLM       ``scale, shift``    the comparison weighs and moves each place
========== =================== ====================================================================
"""

from typing import Any, ClassVar

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
from unbabble.nn.kinds.extractor import NeuralExtractor, Person
from unbabble.nn.spectrum import Spectrum

COMPARISONS = 2
"""So many first blocks look at the enrollment."""


class Comparison(nn.Module):
    """Attention of frames to those of an enrollment."""

    def __init__(self, inputs: int, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(inputs, dimension) for _ in range(3))
        self.query_norm, self.key_norm = nn.LayerNorm(inputs), nn.LayerNorm(inputs)
        self.output = nn.Linear(dimension, 2 * inputs)

    def forward(
        self, frames: Float[Tensor, "batch frame input"], person: Person
    ) -> tuple[Float[Tensor, "batch frame input"], Float[Tensor, "batch frame input"]]:
        """Scale and shift of each input."""
        known = self.key_norm(person.to(frames))
        known = known.expand(len(frames), -1, -1)

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        attended = nn.functional.scaled_dot_product_attention(
            split(self.query(self.query_norm(frames))), split(self.key(known)), split(self.value(known))
        )
        scale, shift = self.output(attended.transpose(1, 2).flatten(2)).chunk(2, -1)
        return scale, shift


@register(
    name="personal_bsrnn",
    contract="extractor",
    summary="Extracts an enrolled person with a band-split network that compares each frame with the enrollment.",
    citation="Luo & Yu, IEEE/ACM TASLP 2023; Zeng & Li, USEF-TSE, IEEE/ACM TASLP 2025",
    network=True,
)
class PersonalBSRNN(NeuralExtractor):
    """See the module.

    Args:
        window_length: samples of the analysis window, a square-root Hann.
        hop_length: samples between windows.
        features: numbers that describe a band in a frame.
        hidden: size of each direction of a recurrent layer.
        mask_hidden: size of the hidden layer from which masks are made.
        blocks: pairs of a recurrence over time and one over bands.
        dimension: of the attention.
        heads: of the attention; they divide its dimension.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralExtractor``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "window_length": 64, "hop_length": 32, "features": 4, "hidden": 4, "mask_hidden": 6, "blocks": 1,
        "dimension": 4, "heads": 2,
    }  # fmt: skip

    def __init__(
        self,
        *,
        window_length: int = 256,
        hop_length: int = 128,
        features: int = 48,
        hidden: int = 48,
        mask_hidden: int = 96,
        blocks: int = 4,
        dimension: int = 64,
        heads: int = 4,
        sample_rate: int = 8000,
        reference: int = 0,
    ) -> None:
        super().__init__(sample_rate=sample_rate, reference=reference)
        if min(features, hidden, mask_hidden, blocks, dimension, heads) < 1 or dimension % heads:
            raise UsageError(
                "Personal BSRNN: everything is at least 1, and the heads divide the dimension of the attention."
            )
        self.spectrum = Spectrum(window_length, hop_length, square_root=True)
        widths = band_widths(self.spectrum.bins, sample_rate / window_length)
        self.split = BandSplit(widths, features)
        self.enrollment_time = ResidualRecurrence(features, hidden)
        self.enrollment_bands = ResidualRecurrence(features, hidden)
        self.comparisons = nn.ModuleList(
            Comparison(len(widths) * features, dimension, heads) for _ in range(min(COMPARISONS, blocks))
        )
        self.over_time = nn.ModuleList(ResidualRecurrence(features, hidden) for _ in range(blocks))
        self.over_bands = nn.ModuleList(ResidualRecurrence(features, hidden) for _ in range(blocks))
        self.masks = MaskEstimation(widths, features, mask_hidden, 1)

    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """E_r."""
        return self._compared(self.spectrum.analyse(enrollment)).flatten(2)

    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """A complex mask on the mixture's spectrogram."""
        spectrum = self.spectrum.analyse(mixture)
        places = self._compared(spectrum)
        for number, (over_time, over_bands) in enumerate(zip(self.over_time, self.over_bands, strict=True)):
            if number < len(self.comparisons):
                scale, shift = self.comparisons[number](places.flatten(2), person)
                places = places * (1 + scale.view_as(places)) + shift.view_as(places)
            places = recurrences(places, over_time, over_bands)
        estimate = masked(spectrum, self.masks(places).float(), 0.5)
        return self.spectrum.synthesise(estimate[:, 0], mixture.shape[-1])

    def _compared(self, spectrum: Float[Tensor, "batch 2 frame frequency"]) -> Tensor:
        """Mixture and enrollment in the same terms, so that they can be compared."""
        return recurrences(self.split(spectrum), self.enrollment_time, self.enrollment_bands)
