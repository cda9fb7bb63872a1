"""Short-time Fourier transform inside a network, in real arithmetic: for ONNX, any device and mixed precision."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError


class Spectrum(nn.Module):
    """Windowed Fourier transform of frames and its inverse, both as a product with a fixed matrix.

    The signal is padded as in ``signal.stft.Stft``, so that every sample lies under the same number of windows;
    ``synthesise(analyse(x), x.shape[-1])`` returns ``x`` to rounding. Matrix products stay in float32 under
    autocast. The matrices are neither trained nor saved.

    Args:
        window_length: samples per frame, even.
        hop_length: samples between frames; at most half the window and a divisor of it.
        square_root: the window is the square root of a Hann window (at half a window of hop also its own inverse).

    Raises:
        UsageError: a hop that does not divide the window, or leaves samples without weight.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, window_length: int, hop_length: int, *, square_root: bool = False) -> None:
        super().__init__()
        if min(window_length, hop_length) < 1 or window_length % 2 or window_length % hop_length:
            raise UsageError(f"A hop of {hop_length} must divide the even window of {window_length}.")
        if 2 * hop_length > window_length:
            raise UsageError(f"A hop of {hop_length} is more than half the window of {window_length}.")
        self.window_length, self.hop_length = window_length, hop_length
        self.bins = window_length // 2 + 1
        self._shifts = window_length // hop_length
        window = torch.hann_window(window_length, periodic=True, dtype=torch.float64)
        window = window.sqrt() if square_root else window
        dual = window / window.square().reshape(-1, hop_length).sum(0).repeat(self._shifts)
        # Whole numbers modulo the window keep the phase small, and so its cosine exact.
        cycles = torch.outer(torch.arange(window_length), torch.arange(self.bins)) % window_length
        phase = cycles.double() * (2 * torch.pi / window_length)
        basis = torch.cat([phase.cos(), -phase.sin()], 1)  # (time, 2 frequency)
        twice = torch.full((self.bins,), 2.0, dtype=torch.float64)  # negative frequencies, of which 0 and
        twice[[0, -1]] = 1  # half the sample rate have none
        inverse = basis.mT * twice.repeat(2)[:, None] / window_length
        self.register_buffer("analysis", (window[:, None] * basis).float(), persistent=False)
        self.register_buffer("synthesis", (inverse * dual).float(), persistent=False)

    def frames(self, length: int) -> int:
        """Number of frames of a signal of ``length`` samples."""
        return (length + self.window_length - 1) // self.hop_length

    def analyse(self, waveform: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch 2 frame frequency"]:
        """Real and imaginary part of the spectrogram."""
        length, hop = waveform.shape[-1], self.hop_length
        frames = self.frames(length)
        padded = nn.functional.pad(waveform, (self.window_length - hop, frames * hop - length))
        hops = padded.unflatten(-1, (-1, hop))
        pieces = torch.cat([hops[..., each : each + frames, :] for each in range(self._shifts)], -1)
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = pieces.to(self.analysis) @ self.analysis
        return spectrum.unflatten(-1, (2, self.bins)).movedim(-2, -3)

    def synthesise(
        self, spectrum: Float[Tensor, "*batch 2 frame frequency"], length: int
    ) -> Float[Tensor, "*batch time"]:
        """Waveform of ``length`` samples whose analysis is nearest to ``spectrum``."""
        with torch.autocast(spectrum.device.type, enabled=False):
            pieces = spectrum.movedim(-3, -2).flatten(-2).to(self.synthesis) @ self.synthesis
        pieces = pieces.unflatten(-1, (self._shifts, self.hop_length))
        hops = pieces.new_zeros(())
        for shift in range(self._shifts):
            hops = hops + nn.functional.pad(pieces[..., shift, :], (0, 0, shift, self._shifts - 1 - shift))
        overlap = self.window_length - self.hop_length
        return hops.flatten(-2)[..., overlap : overlap + length]
