"""Learned filterbanks: a waveform to frames of features, and back by overlap-add.

Y. Luo, N. Mesgarani, "TaSNet: time-domain audio separation network for real-time, single-channel speech separation",
ICASSP 2018.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Encoder(nn.Conv1d):
    """``filters`` correlated with windows of ``kernel`` samples every ``stride`` samples; weight (filters, 1, kernel).

    Zeros at the end complete the last window, so that every sample is in one.
    """

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__(1, filters, kernel, stride, bias=False)

    def forward(  # type: ignore[override]
        self, waveform: Float[Tensor, "batch time"]
    ) -> Float[Tensor, "batch filter frame"]:
        """Frames; ``frame`` = max(0, ceil((time - kernel) / stride)) + 1."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        length = waveform.shape[-1]
        missing: int = torch.sym_max(kernel - length, (kernel - length) % stride)  # type: ignore[assignment]
        return super().forward(torch.nn.functional.pad(waveform, (0, missing))[:, None])


class Decoder(nn.ConvTranspose1d):
    """Sums of ``filters``, weighted by features, overlapping every ``stride`` samples; weight (filters, 1, kernel)."""

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__(filters, 1, kernel, stride, bias=False)

    def forward(  # type: ignore[override]
        self, features: Float[Tensor, "*batch filter frame"], length: int
    ) -> Float[Tensor, "*batch {length}"]:
        """The first ``length`` samples; zeros beyond the last window."""
        waveform = super().forward(features.reshape(-1, *features.shape[-2:]))
        waveform = torch.nn.functional.pad(waveform, (0, max(0, length - waveform.shape[-1])))[..., :length]
        return waveform.reshape(*features.shape[:-2], length)
