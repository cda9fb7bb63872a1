"""Joint dereverberation and separation by iterative source steering (T-ISS): for rooms with long echoes.

AuxIVA demixes every frame by itself; what a room returns later than one analysis window it cannot take away. Here
every output also loses what past frames of all channels predict of it, and the demixing and the prediction lower
one objective together, by steps of the same kind, without a matrix inverse.

    T. Nakashima, R. Scheibler, M. Togami & N. Ono, "Joint dereverberation and separation with iterative source
    steering", ICASSP 2021, arXiv 2102.06322.

================ ======================= ===================================================================
paper            code                    meaning
================ ======================= ===================================================================
x_ft             ``mixture``             mixture, whitened: its strongest components, one per source
D, L             ``delay``, ``taps``     distance of the latest frame that predicts, and number of such frames
x-bar_ft         ``past_frames(heard)``  whitened channels at frames t - D ... t - D - L + 1
P_f              ``demixer.matrix``      demixing W and prediction H, rows p_k^H over [x; x-bar]
y_ft             ``demixer.outputs``     sources, W x + H x-bar
r_kt             ``demixer.power()``     sum_f |y_kft|^2, the activity that ties frequencies together
phi_kt           ``weights``             weights of the majoriser (``signal.blind.source_models``)
v                ``v``                   how far every output moves along one signal
================ ======================= ===================================================================

The objective is that of ``auxiva``, sum_k mean_t G(p_kt) - 2 sum_f log|det W_f|: given the past, x -> y has the
determinant of W. In the majoriser, row k costs p_k^H V_k p_k with V_k the weighted covariance of [x; x-bar], so
moving all outputs along any one signal b, y <- y - v b, has its minimum in closed form:

    v_m = sum_t phi_mt y_mt b_t^* / sum_t phi_mt |b_t|^2.

Along the source b = y_k the determinant has a say for m = k, v_k = 1 - (mean_t phi_kt |y_kt|^2)^(-1/2), and that is
ISS; along a frame of the past it has none. One iteration: weights, then all sources, then all channels and taps. The
imagined noise of ``signal.blind.demixing`` is white over [x; x-bar], so that the objective cannot rise.

With more microphones than talkers W works on the strongest principal components, as in ``auxiva``. The prediction
hears the other components too: the past may be observed through any number of channels without an effect on the
determinant, and only with more of them than talkers can a prediction cancel echoes altogether. It hears fewer in a
recording that is too short to fit so many coefficients (``FRAMES_PER_COEFFICIENT``).

One window serves demixing and prediction. WPE before ``auxiva`` predicts in a shorter one, and in
``python -m benchmarks dereverberation`` it scored higher with two and three microphones: try both.

The outputs are scaled by the least-squares fit of the mixture at the reference microphone. What was predicted is
nearly uncorrelated with what is left, so the fit gives the early sound as heard there: direct sound and reflections
within the analysis window and the delay. ``images`` are the same at every microphone. The sources do not add up to
the mixture, because its late reverberation is in none of them.
"""

import math
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.base.registry import register
from unbabble.signal.blind.demixing import Demixer
from unbabble.signal.blind.separator import OVERLAP, BlindSeparator, at_least, choose, vector_analysis
from unbabble.signal.blind.source_models import SOURCE_MODELS
from unbabble.signal.blind.whitening import Whitened
from unbabble.signal.kernels.tiss import FastPredictiveDemixer
from unbabble.signal.stft import Stft

STEP = "iss"
WINDOW_SECONDS = 0.256
"""4096 samples at 16 kHz, at most: a longer window would let the prediction begin later than speech needs."""
FRAMES_PER_COEFFICIENT = 10
"""A prediction with n coefficients takes away about n of every N frames' worth of the voice itself."""


class PredictiveDemixer(Demixer):
    """Demixing with prediction from past frames; the reference for ``FastPredictiveDemixer``.

    Args:
        mixture: whitened, as many channels as sources.
        heard: whitened, the channels whose past serves the prediction.
        taps: L, frames of the past.
        delay: D >= 1, the most recent of them.
        load: power of imagined white noise in every channel of the mixture and of the past.
    """

    def __init__(
        self,
        mixture: Complex[Tensor, "frequency source frame"],
        heard: Complex[Tensor, "frequency channel frame"],
        taps: int,
        delay: int,
        load: float = 1e-6,
    ) -> None:
        super().__init__(mixture, mixture.shape[1], load)
        self._past = past_frames(heard, taps, delay)
        self._matrix = torch.nn.functional.pad(self._matrix, (0, self._past.shape[1]))

    def log_determinant(self) -> float:
        """Sum over frequencies of log|det W|."""
        return float(torch.linalg.slogdet(self.matrix[:, :, : self.sources])[1].sum())

    def step(self, update: str, weights: Float[Tensor, "*frequency source frame"]) -> None:
        """Lower the surrogate by one pass over the sources, the channels of the past and the taps.

        Args:
            update: ``iss``.
            weights: phi_kt, or phi_kft with the frequency first.
        """
        phi = weights.expand(len(self._past), -1, -1)
        unit = torch.eye(self.matrix.shape[2], dtype=self.matrix.dtype, device=self.matrix.device)
        for k in range(self.sources):
            self._move(phi, self._all_outputs[:, k], self.matrix[:, k], k)
        for j in range(self._past.shape[1]):
            self._move(phi, self._past[:, j], unit[self.sources + j].expand(len(phi), -1))

    def _move(self, phi: Tensor, signal: Tensor, row: Tensor, source: int | None = None) -> None:
        """y <- y - v b along the signal b = ``row`` [x; x-bar]; ``source`` is its number where it is one."""
        y, load = self._all_outputs, self.load * phi.sum(-1)
        correlation = (phi * y * signal[:, None].conj()).sum(-1)
        correlation = correlation + load * (self.matrix @ row[..., None].conj())[..., 0]
        power = (phi * signal[:, None].abs().square()).sum(-1) + load * row.abs().square().sum(
            -1, keepdim=True
        )
        v = correlation / power
        if source is not None:
            v[:, source] = 1 - (power[:, source] / self.frames).rsqrt()
        self._all_outputs = y - v[..., None] * signal[:, None]
        self._matrix = self._matrix - v[..., None] * row[:, None]


def past_frames(
    heard: Complex[Tensor, "frequency channel frame"], taps: int, delay: int
) -> Complex[Tensor, "frequency past frame"]:
    """Every channel delayed by ``delay`` ... ``delay + taps - 1`` frames, taps of a channel side by side."""
    frames = heard.shape[-1]
    padded = torch.nn.functional.pad(heard, (delay + taps - 1, 0))
    delayed = [padded[..., taps - 1 - tap : taps - 1 - tap + frames] for tap in range(taps)]
    return torch.stack(delayed, 2).flatten(1, 2) if taps else heard[:, :0]


@register(
    name="tiss",
    contract="separator",
    summary="Blind separation and removal of late reverberation in one, for echoing rooms.",
    citation="Nakashima, Scheibler, Togami & Ono, ICASSP 2021",
)
class Tiss(BlindSeparator):
    """See the module; the options not named here are ``BlindSeparator``'s.

    Args:
        taps: frames of the past that predict; 0 leaves ``auxiva.iss``.
        delay: frames between a frame and the most recent one that predicts it; what sounds within stays.
        source_model: ``laplace`` or ``gauss``.
    """

    def __init__(self, *, taps: int = 3, delay: int = 2, source_model: str = "gauss", **options: Any) -> None:
        super().__init__(**options)
        at_least(0, taps=taps)
        at_least(1, delay=delay)
        choose("source_model", source_model, SOURCE_MODELS)
        self.taps, self.delay, self.source_model = taps, delay, source_model
        self._heard: Complex[Tensor, "frequency channel frame"] | None = None

    def stft(self, sample_rate: int, frames_per_second: float = 0.0) -> Stft:
        """The transform at ``sample_rate``, with a window for which delay and taps were chosen."""
        stft, longest = (
            super().stft(sample_rate, frames_per_second),
            2 ** round(math.log2(WINDOW_SECONDS * sample_rate)),
        )
        if self.window_length is None and stft.window_length > longest:
            return Stft(longest, longest // OVERLAP)
        return stft

    def _demix(self, whitened: Whitened, sources: int) -> Complex[Tensor, "frequency source frame"]:
        frames = whitened.spectrogram.shape[-1]
        channels = max(sources, frames // (FRAMES_PER_COEFFICIENT * max(1, self.taps)))
        self._heard = whitened.spectrogram[:, :channels]
        problem = vector_analysis(STEP, self.source_model, len(whitened.bins))
        try:
            return self._descend(whitened.spectrogram[:, :sources], sources, problem)
        finally:
            self._heard = None

    def _demixer(self, spectrogram: Tensor, sources: int) -> Demixer:
        if self._heard is None:  # talkers are counted without prediction
            return super()._demixer(spectrogram, sources)
        fast = self.backend == "fast" or (self.backend == "auto" and spectrogram.device.type == "cpu")
        return (FastPredictiveDemixer if fast else PredictiveDemixer)(
            spectrogram, self._heard, self.taps, self.delay
        )
