"""An LSTM over mel bands that turns what somebody says into a vector: the embedder of d-vectors.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018. A
recording is heard in windows of 1.6 s, half overlapping; its vector is the mean of theirs (section 3.2).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.signal.mel import mel_filters

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.01
WINDOW_FRAMES = 160
FLOOR = 1e-4
LEAST_BANDS = 8


class SpeakerEncoder(nn.Module):
    """Waveforms at about unit level to vectors of unit norm.

    Args:
        bands: mel bands, 8 or more.
        hidden: units of a layer.
        layers: of the LSTM.
        dimension: numbers of a vector.
        sample_rate: Hz.

    Raises:
        UsageError: sizes that make no sense.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, bands: int, hidden: int, layers: int, dimension: int, sample_rate: int) -> None:
        super().__init__()
        if bands < LEAST_BANDS or min(hidden, layers, dimension) < 1:
            raise UsageError(f"A d-vector has at least {LEAST_BANDS} bands, and one of everything else.")
        self.frame_length = 2 * round(FRAME_SECONDS * sample_rate / 2)
        self.hop_length = round(HOP_SECONDS * sample_rate)
        self.register_buffer("window", torch.hann_window(self.frame_length), persistent=False)
        self.register_buffer("filters", mel_filters(bands, self.frame_length, sample_rate), persistent=False)
        self.lstm = nn.LSTM(bands, hidden, layers, batch_first=True)
        self.projection = nn.Linear(hidden, dimension)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Mean over windows of the LSTM's last outputs."""
        bands = self.bands(waveform)
        if bands.shape[1] <= WINDOW_FRAMES:
            return self._of_windows(bands)
        windows = bands.unfold(1, WINDOW_FRAMES, WINDOW_FRAMES // 2).mT  # (batch, window, frame, band)
        found = self._of_windows(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return nn.functional.normalize(found.mean(1), dim=-1)

    def bands(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame band"]:
        """Log powers less their mean over time, which the microphone decides."""
        short = self.frame_length - waveform.shape[-1]
        if short > 0:
            waveform = nn.functional.pad(waveform, (0, short))
        with torch.autocast(waveform.device.type, enabled=False):
            spectra = torch.stft(
                waveform.float(), self.frame_length, self.hop_length, window=self.window, return_complex=True
            )
            found = (self.filters @ spectra.abs().square() + FLOOR).log().mT
            return (found - found.mean(1, keepdim=True)) / 3

    def _of_windows(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch dimension"]:
        return nn.functional.normalize(self.projection(self.lstm(bands)[0][:, -1]), dim=-1)
