"""What networks that name sounds hear: mel bands, or a whole spectrum, on a logarithmic scale."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.nn.decibel_mel import CentredMel, triangles

SoundFeatures: TypeAlias = Literal["decibels", "log1p"]
POINTS, WINDOW_SECONDS, HOP_SECONDS = 1024, 0.0232199, 0.0116099
"""Of SpeechBrain's classifiers of sounds."""


class LogMagnitudes(nn.Module):
    """log(1 + magnitude) of a spectrum or its mel bands, as SpeechBrain's classifiers of sounds hear it.

    Args:
        bands: of the mel scale; 0 for the spectrum itself.
        sample_rate: Hz.
        least_frames: a recording with fewer is repeated until it has so many.
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
        least_frames: int,
        points: int = POINTS,
        window_seconds: float = WINDOW_SECONDS,
        hop_seconds: float = HOP_SECONDS,
    ) -> None:
        super().__init__()
        self.points, self.hop = points, round(hop_seconds * sample_rate)
        self.least = (least_frames - 1) * self.hop
        window = torch.hamming_window(round(window_seconds * sample_rate))
        filters = triangles(bands, points, sample_rate) if bands else torch.empty(0)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Frames, the first and the last in the middle of silence and sound; in full precision."""
        samples = waveform.shape[1]
        if samples < self.least:
            waveform = waveform.repeat(1, -(-self.least // samples))[:, : self.least]
        with torch.autocast(waveform.device.type, enabled=False):
            spectra = torch.stft(
                waveform.float(),
                self.points,
                self.hop,
                len(self.window),
                self.window,
                pad_mode="constant",
                return_complex=True,
            )
            magnitudes = (torch.view_as_real(spectra).square().sum(-1) + 1e-14).sqrt().mT
            return (magnitudes @ self.filters if self.filters.numel() else magnitudes).log1p()


def sound_features(kind: SoundFeatures, bands: int, sample_rate: int, least_frames: int) -> nn.Module:
    """From (batch, time) to (batch, frame, band).

    Args:
        kind: ``decibels`` are mel bands less each one's mean over the recording (``CentredMel``); ``log1p`` is
            ``LogMagnitudes``.
        bands: of the mel scale.
        sample_rate: Hz.
        least_frames: that there are at least.
    """
    if kind == "decibels":
        return CentredMel(bands, sample_rate, least_frames)
    return LogMagnitudes(bands, sample_rate, least_frames)
