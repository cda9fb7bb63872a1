"""Log mel bands, as networks that tell speakers apart hear them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.signal.mel import mel_filters

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.01
FLOOR = 1e-4
LEAST_BANDS = 8


class MelBands(nn.Module):
    """Log powers less their mean over time, which the microphone decides.

    Args:
        bands: 8 or more.
        sample_rate: Hz.

    Raises:
        UsageError: too few bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int, sample_rate: int) -> None:
        super().__init__()
        if bands < LEAST_BANDS:
            raise UsageError(f"Speakers are told apart by at least {LEAST_BANDS} bands.")
        self.frame_length = 2 * round(FRAME_SECONDS * sample_rate / 2)
        self.hop_length = round(HOP_SECONDS * sample_rate)
        self.register_buffer("window", torch.hann_window(self.frame_length), persistent=False)
        self.register_buffer("filters", mel_filters(bands, self.frame_length, sample_rate), persistent=False)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Of waveforms at about unit level."""
        short = self.frame_length - waveform.shape[-1]
        if short > 0:
            waveform = nn.functional.pad(waveform, (0, short))
        with torch.autocast(waveform.device.type, enabled=False):
            spectra = torch.stft(
                waveform.float(), self.frame_length, self.hop_length, window=self.window, return_complex=True
            )
            bands = (self.filters @ spectra.abs().square() + FLOOR).log().mT
            return (bands - bands.mean(1, keepdim=True)) / 3
