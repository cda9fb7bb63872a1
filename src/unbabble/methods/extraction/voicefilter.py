"""VoiceFilter: a mask on the spectrogram from convolutions and an LSTM that are given the voice's d-vector.

Q. Wang et al., "VoiceFilter: targeted voice separation by speaker-conditioned spectrogram masking", Interspeech 2019.

========== =================== ====================================================================
paper      code                meaning
========== =================== ====================================================================
d-vector   ``person``          (batch, 1, ``dimension``), the same for all frames
CNN 1-8    ``convolutions``    1x7, 7x1, five 5x5 with dilations 1 to 16 in time, 1x1
LSTM, FC   ``lstm``, ``mask``  bidirectional, 400; 600 units, one for each frequency
loss       ``loss``            of spectra to the power of 0.3 (the authors' later choice)
========== =================== ====================================================================

The embedder is the one of ``dvector``: give its weights with ``parts`` in the recipe, and it stays as it is.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.registry import register
from unbabble.nn.kinds.extractor import NeuralExtractor, Person
from unbabble.nn.speaker_encoder import SpeakerEncoder
from unbabble.nn.spectrum import Spectrum

POWER = 0.3
LEAST = 1e-8
DILATIONS = (1, 2, 4, 8, 16)


def _layer(inputs: int, outputs: int, kernel: tuple[int, int], dilation: int = 1) -> list[nn.Module]:
    """A convolution over (frame, frequency), with as many places as before."""
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=(dilation, 1))
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


@register(
    name="voicefilter",
    contract="extractor",
    summary="Extracts an enrolled person with a mask from convolutions and an LSTM that know the voice's d-vector.",
    citation="Wang et al., VoiceFilter, Interspeech 2019",
    network=True,
)
class VoiceFilter(NeuralExtractor):
    """See the module.

    Args:
        window_length: samples of a window.
        hop_length: samples between windows.
        channels: of the convolutions.
        hidden: units of the LSTM, for each direction.
        units: of the layer behind it.
        bands: of the embedder, as the following three.
        embedder_hidden: units of its layers.
        embedder_layers: how many.
        dimension: of a d-vector.
        sample_rate: Hz, that of its training data.
        reference: see ``NeuralExtractor``.

    Raises:
        UsageError: sizes that make no sense.
    """

    TINY: ClassVar[dict[str, Any]] = {
        "window_length": 64, "hop_length": 32, "channels": 4, "hidden": 6, "units": 8,
        "bands": 8, "embedder_hidden": 8, "embedder_layers": 1, "dimension": 6,
    }  # fmt: skip

    def __init__(
        self,
        *,
        window_length: int = 1200,
        hop_length: int = 300,
        channels: int = 64,
        hidden: int = 400,
        units: int = 600,
        bands: int = 40,
        embedder_hidden: int = 768,
        embedder_layers: int = 3,
        dimension: int = 256,
        sample_rate: int = 16000,
        reference: int = 0,
    ) -> None:
        super().__init__(sample_rate=sample_rate, reference=reference)
        if min(channels, hidden, units) < 1:
            raise UsageError("VoiceFilter needs at least one of everything.")
        self.embedder = SpeakerEncoder(bands, embedder_hidden, embedder_layers, dimension, sample_rate)
        self.embedder.requires_grad_(False)
        self.spectrum = Spectrum(window_length, hop_length)
        layers = [*_layer(1, channels, (1, 7)), *_layer(channels, channels, (7, 1))]
        for dilation in DILATIONS:
            layers += _layer(channels, channels, (5, 5), dilation)
        self.convolutions = nn.Sequential(*layers, *_layer(channels, 8, (1, 1)))
        bins = self.spectrum.bins
        self.lstm = nn.LSTM(8 * bins + dimension, hidden, batch_first=True, bidirectional=True)
        self.mask = nn.Sequential(
            nn.ReLU(), nn.Linear(2 * hidden, units), nn.ReLU(), nn.Linear(units, bins), nn.Sigmoid()
        )

    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """The d-vector."""
        return self.embedder(enrollment)[:, None]

    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """Mask the mixture's spectrogram; phases stay."""
        spectra = self.spectrum.analyse(mixture)
        return self.spectrum.synthesise(self._masks(spectra, person) * spectra, mixture.shape[-1])

    def _masks(self, spectra: Float[Tensor, "batch 2 frame frequency"], person: Person) -> Tensor:
        """(batch, 1, frame, frequency)."""
        magnitudes = _compressed(spectra)
        features = self.convolutions(magnitudes[:, None]).movedim(1, 2).flatten(2)  # (batch, frame, feature)
        known = person.to(features).expand(-1, features.shape[1], -1)
        features, _ = self.lstm(torch.cat([features, known], -1))
        return self.mask(features)[:, None].float()

    def loss(  # type: ignore[override]
        self,
        mixture: Float[Tensor, "batch time"],
        enrollment: Float[Tensor, "batch sample"],
        sources: Float[Tensor, "batch 1 time"],
    ) -> Float[Tensor, " batch"]:
        """Mean squared error of the compressed spectrogram, over the mixture's power there."""
        spectra, wanted = (self.spectrum.analyse(each) for each in (mixture, sources[:, 0]))
        estimate = _compressed(self._masks(spectra, self.enroll(enrollment)) * spectra)
        wanted = _compressed(wanted)
        return (estimate - wanted).square().mean((1, 2)) / _compressed(spectra).square().mean((1, 2)).clamp(
            min=LEAST
        )


def _compressed(
    spectra: Float[Tensor, "batch 2 frame frequency"],
) -> Float[Tensor, "batch frame frequency"]:
    """Magnitudes to the power of ``POWER``."""
    with torch.autocast(spectra.device.type, enabled=False):
        return (spectra.float().square().sum(1) + LEAST) ** (POWER / 2)
