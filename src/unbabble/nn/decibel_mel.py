"""Log mel bands in dB as SpeechBrain computes them (``Fbank``): what its recognisers and embedders hear."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

FLOOR, RANGE_DB = 1e-10, 80.0


class DecibelMel(nn.Module):
    """Log mel in dB, no lower than 80 dB below the loudest of a recording.

    Args:
        bands: of the mel scale.
        sample_rate: Hz.
        points: of the Fourier transform.
        window_seconds: of a frame.
        hop_seconds: between frames.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        bands: int,
        sample_rate: int,
        points: int = 400,
        window_seconds: float = 0.025,
        hop_seconds: float = 0.01,
    ) -> None:
        super().__init__()
        self.points, self.hop = points, round(hop_seconds * sample_rate)
        window = torch.hamming_window(round(window_seconds * sample_rate))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", triangles(bands, points, sample_rate), persistent=False)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Frames, the first and the last in the middle of silence and sound."""
        spectra = torch.stft(
            waveform,
            self.points,
            self.hop,
            len(self.window),
            self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = torch.view_as_real(spectra).square().sum(-1).mT
        decibels = 10 * (power @ self.filters).clamp(min=FLOOR).log10()
        return decibels.maximum(decibels.amax((1, 2), keepdim=True) - RANGE_DB)


class CentredMel(DecibelMel):
    """Log mel in dB, each band less its mean over the recording, which the microphone decides.

    Args:
        bands: of the mel scale.
        sample_rate: Hz.
        least_frames: a recording with fewer is repeated until it has so many.
        hop_seconds: between frames.
    """

    def __init__(self, bands: int, sample_rate: int, least_frames: int, hop_seconds: float = 0.01) -> None:
        super().__init__(bands, sample_rate, hop_seconds=hop_seconds)
        self.least = (least_frames - 1) * self.hop

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Frames, the first and the last in the middle of silence and sound; in full precision."""
        samples = waveform.shape[1]
        if samples < self.least:
            waveform = waveform.repeat(1, -(-self.least // samples))[:, : self.least]
        with torch.autocast(waveform.device.type, enabled=False):
            decibels = super().forward(waveform.float())
        return decibels - decibels.mean(1, keepdim=True)


def triangles(bands: int, points: int, sample_rate: int) -> Float[Tensor, "frequency band"]:
    """Filters on the mel scale, 1 in their middle; each falls as slowly as it rises."""
    top = 2595 * math.log10(1 + sample_rate // 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    frequencies = torch.linspace(0, sample_rate // 2, points // 2 + 1)
    slope = (frequencies[:, None] - edges[1:-1]) / edges.diff()[:-1]
    return torch.minimum(slope + 1, 1 - slope).clamp(min=0)
