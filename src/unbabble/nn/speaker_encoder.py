"""An LSTM over mel bands that turns what somebody says into a vector: the embedder of d-vectors.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized end-to-end loss for speaker verification", ICASSP 2018. A
recording is cut into windows of 1.6 s, half overlapping; its vector is the mean of theirs (section 3.2). Difference: a
window's vector comes from the mean of the LSTM's outputs, not from the last one, with which hours of speech are too few
to begin to learn.
"""

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.nn.features import MelBands

WINDOW_FRAMES = 160


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

    def __init__(self, bands: int, hidden: int, layers: int, dimension: int, sample_rate: int) -> None:
        super().__init__()
        if min(hidden, layers, dimension) < 1:
            raise UsageError("A d-vector has at least one of everything.")
        self.bands = MelBands(bands, sample_rate)
        self.lstm = nn.LSTM(bands, hidden, layers, batch_first=True)
        self.projection = nn.Linear(hidden, dimension)

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch dimension"]:
        """Mean over windows of the LSTM's mean outputs."""
        bands = self.bands(waveform)
        if bands.shape[1] <= WINDOW_FRAMES:
            return self._of_windows(bands)
        windows = bands.unfold(1, WINDOW_FRAMES, WINDOW_FRAMES // 2).mT  # (batch, window, frame, band)
        vectors = self._of_windows(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return nn.functional.normalize(vectors.mean(1), dim=-1)

    def _of_windows(self, bands: Float[Tensor, "batch frame band"]) -> Float[Tensor, "batch dimension"]:
        return nn.functional.normalize(self.projection(self.lstm(bands)[0].mean(1)), dim=-1)
