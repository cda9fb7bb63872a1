"""Kaldi's log mel bands, which embedders of several toolkits hear.

D. Povey et al., "The Kaldi speech recognition toolkit", ASRU 2011 (``compute-fbank-feats``, without dither).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

SAMPLE_RATE, FRAME_LENGTH, HOP, POINTS = 16000, 400, 160, 512
EMPHASIS, LOWEST_HERTZ = 0.97, 20.0


def hamming_window() -> Float[Tensor, " tap"]:
    """Of a frame, Hamming's."""
    return torch.hamming_window(FRAME_LENGTH, periodic=False)


def povey_window() -> Float[Tensor, " tap"]:
    """Of a frame, Kaldi's own: nearly Hamming's, but it goes down to 0."""
    return torch.hann_window(FRAME_LENGTH, periodic=False).pow(0.85)


class KaldiMel(nn.Module):
    """Log mel bands, of whole frames alone, less the mean of each over the recording.

    Args:
        bands: of the mel scale.
        window: of a frame.
        full_scale: what a sample of 1 is multiplied by; it matters to bands that are nearly silent, for no power is
            less than ``torch.finfo(torch.float32).eps``.
        least_frames: a shorter recording is repeated until it has so many.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, bands: int, window: Float[Tensor, " tap"], *, full_scale: float, least_frames: int
    ) -> None:
        super().__init__()
        self.full_scale, self.least_samples = full_scale, FRAME_LENGTH + (least_frames - 1) * HOP
        self.register_buffer("window", window, persistent=False)
        corners = torch.linspace(_mel(LOWEST_HERTZ), _mel(SAMPLE_RATE / 2), bands + 2)
        places = torch.tensor([_mel(each * SAMPLE_RATE / POINTS) for each in range(POINTS // 2 + 1)])
        rising = (places - corners[:-2, None]) / corners.diff()[:-1, None]
        falling = (corners[2:, None] - places) / corners.diff()[1:, None]
        self.register_buffer("filters", torch.minimum(rising, falling).clamp(min=0).mT, persistent=False)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Frames of waveforms whose full scale is 1."""
        if waveform.shape[1] < self.least_samples:
            waveform = waveform.repeat(1, -(-self.least_samples // waveform.shape[1]))
            waveform = waveform[:, : self.least_samples]
        frames = (self.full_scale * waveform.float()).unfold(1, FRAME_LENGTH, HOP)
        frames = frames - frames.mean(2, keepdim=True)
        frames = frames - EMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], 2)
        power = torch.fft.rfft(frames * self.window, POINTS).abs().square()
        bands = (power @ self.filters).clamp(min=torch.finfo(torch.float32).eps).log()
        return bands - bands.mean(1, keepdim=True)


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)
