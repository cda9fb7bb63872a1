"""Short-time Fourier transform with perfect reconstruction at every sample."""

from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor


class Stft:
    """Analysis with a Hann window and its inverse by the window's canonical dual.

    The signal is padded so that every sample, the first and the last included, lies under the same number of
    windows; ``synthesise(analyse(x), x.shape[-1])`` returns ``x`` to rounding.

    Args:
        window_length: samples per frame, even.
        hop_length: samples between frames; at most half the window and a divisor of it.

    Raises:
        ValueError: a hop that does not divide the window, or leaves samples without weight.
    """

    def __init__(self, window_length: int, hop_length: int) -> None:
        if window_length % 2 or window_length % hop_length or 2 * hop_length > window_length:
            raise ValueError(
                f"a hop of {hop_length} must divide the even window of {window_length} at least twice"
            )
        self.window_length = window_length
        self.hop_length = hop_length

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half the sample rate."""
        return self.window_length // 2 + 1

    def frames(self, length: int) -> int:
        """Number of frames of a signal of ``length`` samples."""
        overlap = self.window_length - self.hop_length
        return -(-(length + overlap) // self.hop_length)

    @cached_property
    def window(self) -> Float[Tensor, " window"]:
        """Periodic Hann window."""
        return torch.hann_window(self.window_length, periodic=True, dtype=torch.float64)

    @cached_property
    def dual(self) -> Float[Tensor, " window"]:
        """Synthesis window: analysis window over the sum of its squares at all shifts by the hop."""
        squares = self.window.square().reshape(-1, self.hop_length).sum(0)
        return self.window / squares.repeat(self.window_length // self.hop_length)

    def analyse(self, waveform: Float[Tensor, "*batch time"]) -> Complex[Tensor, "*batch frequency frame"]:
        """Spectrogram of ``waveform``, complex of the same precision."""
        overlap = self.window_length - self.hop_length
        length = waveform.shape[-1]
        end = self.frames(length) * self.hop_length - length
        padded = torch.nn.functional.pad(waveform, (overlap, end))
        pieces = padded.unfold(-1, self.window_length, self.hop_length)
        return torch.fft.rfft(pieces * self.window.to(waveform)).transpose(-1, -2)

    def synthesise(
        self, spectrogram: Complex[Tensor, "*batch frequency frame"], length: int
    ) -> Float[Tensor, "*batch time"]:
        """Waveform of ``length`` samples whose analysis is nearest to ``spectrogram``."""
        pieces = torch.fft.irfft(spectrogram.transpose(-1, -2), n=self.window_length)
        pieces = pieces * self.dual.to(pieces)
        *batch, frames, _ = pieces.shape
        hop, shifts = self.hop_length, self.window_length // self.hop_length
        pieces = pieces.reshape(*batch, frames, shifts, hop)
        out = pieces.new_zeros(*batch, frames + shifts - 1, hop)
        for shift in range(shifts):
            out[..., shift : shift + frames, :] += pieces[..., shift, :]
        overlap = self.window_length - hop
        return out.flatten(-2)[..., overlap : overlap + length]
