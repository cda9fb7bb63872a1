"""How much noise is in each frame of a recording of one voice: what data purification trusts a recording by.

A. Sivaraman, S. Kim, M. Kim, "Personalized speech enhancement through self-supervised data augmentation and
purification", Interspeech 2021: recurrent units over magnitudes, as the enhancers', with one output a frame. Published
with three layers of 1024.

    a_t = 10 log10(|s_t|^2 / |n_t|^2),   loss: mean absolute error in dB, within +-30 dB, of frames that are not silent
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.registry import register
from unbabble.nn.kinds.meter import NeuralMeter
from unbabble.nn.live_masks import Frames, Recurrence

LIMIT_DB, SCALE_DB = 30.0, 10.0
SILENT_DB = -50.0
"""Frames that are so much softer than the mixture are not counted."""
EPS = 1e-8
WINDOW, HOP = 1024, 256


@register(
    name="frame_snr",
    contract="meter",
    summary="Says how much noise is in each frame of a recording of one voice.",
    citation="Sivaraman, Kim, Kim, Interspeech 2021",
    network=True,
)
class FrameSnr(NeuralMeter):
    """See the module.

    Args:
        hidden: units of a layer.
        layers: of recurrent units.
        sample_rate: Hz, that of its training data.
    """

    TINY: ClassVar[dict[str, Any]] = {"hidden": 4, "layers": 1}
    FIGURE = ("error_db", "{:.2f} dB off")

    def __init__(self, *, hidden: int = 64, layers: int = 2, sample_rate: int = 16000) -> None:
        super().__init__(sample_rate=sample_rate)
        self.frames = Frames(WINDOW, WINDOW, HOP)
        self.recurrence = Recurrence(self.frames.bins, hidden, layers)
        self.output = nn.Linear(hidden, 1)

    def snr_db(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame"]:
        """a_t."""
        spectra = self.frames.spectra(self.frames.cut(mixture))
        return SCALE_DB * self.output(self.recurrence(self.frames.features(spectra)))[..., 0].float()

    def measure(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """Mean over the frames, in dB."""
        return self.snr_db(waveform).clamp(-LIMIT_DB, LIMIT_DB).mean(-1)

    def loss(
        self, mixture: Float[Tensor, "batch time"], sources: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, " batch"]:
        """Mean absolute error in dB."""
        voice, noise = (
            self.frames.cut(each).square().mean(-1) for each in (sources[:, 0], mixture - sources[:, 0])
        )
        level = mixture.square().mean(-1, keepdim=True).clamp(min=1e-20)
        true = (10 * torch.log10((voice + EPS * level) / (noise + EPS * level))).clamp(-LIMIT_DB, LIMIT_DB)
        sounds = (voice + noise) > level * 10 ** (SILENT_DB / 10)
        error = (self.snr_db(mixture) - true).abs()
        return (error * sounds).sum(-1) / sounds.sum(-1).clamp(min=1)

    def figure(self, mixture: Float[Tensor, "1 time"], sources: Float[Tensor, "1 1 time"]) -> float:
        """Mean absolute error in dB."""
        return float(self.loss(mixture, sources))
