"""Online AuxIVA: blind separation that follows moving talkers, for endless input, in bounded memory.

AuxIVA whose covariances forget: after every frame each demixing matrix is improved by iterative projection, so
that a talker who moves is followed within about the time constant. ``stream`` gives voices while the recording
arrives, ``window - hop`` samples behind it; a call on a whole recording does the same, frame by frame, and gives
the same samples.

As published, a frame keeps the weight that it got when it was new. Here the frames of the last ``recent`` seconds
are weighted anew whenever the filters change, as the batch does with all of them: after a move the old weights
describe the talkers wrongly, and the recursion alone can stay stuck there. ``recent=0, iterations=1`` is the paper.

    T. Taniguchi, N. Ono, A. Kawamura & S. Sagayama, "An auxiliary-function approach to online independent vector
    analysis for real-time blind source separation", HSCMA 2014.

=============== ======================= =====================================================================
paper           code                    meaning
=============== ======================= =====================================================================
x(w, t)         ``frame``               mixture, one frame
W(w; t)         ``demixer.matrix``      demixing matrices
r_k(t)          ``demixer.demix()``     activity over all frequencies (here squared)
phi             ``weights``             G'(r) / r of the majoriser (``signal.blind.source_models``)
alpha           ``time_constant``       forgetting, exp(-hop / time constant)
V_k(w; t)       (in the demixer)        mean of phi_k x x^H that forgets by alpha, in output coordinates
=============== ======================= =====================================================================

The start is what such recursions are bad at: the first filters rest on a handful of frames. So the first
``warmup`` seconds are held back, separated as a batch, and then released; with ``warmup=0`` the filters start at
the identity, under imagined noise that fades, and nothing is held back. Frames that are silent beside the rest
teach nothing: the filters wait, so that a pause neither makes them explode nor swaps the sources.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import register
from unbabble.base.words import counted
from unbabble.signal.blind.separator import OVERLAP, WINDOW_SECONDS, at_least, check_window, choose
from unbabble.signal.blind.source_models import SOURCE_MODELS, weights
from unbabble.signal.blind.whitening import whiten
from unbabble.signal.kernels.demixer import FastDemixer
from unbabble.signal.kernels.online import OnlineDemixer
from unbabble.signal.level import check_mixture, loudest_first
from unbabble.signal.rumble import LiveRumble
from unbabble.signal.stft import Stft

SILENT_FRAME = 1e-6
"""A frame this much (-60 dB) below the running power is a pause: nothing is learnt from it."""
AWAKENING = 1e5
"""A frame this much (50 dB) above the running power ends a silence: what was learnt from it is dropped."""
WARMUP_ITERATIONS = 30
SINGULAR_SWEEPS = 10


@register(
    name="online_auxiva",
    contract="separator",
    summary="Follows moving talkers and endless input in bounded memory, frame by frame.",
    citation="Taniguchi, Ono, Kawamura & Sagayama, HSCMA 2014",
)
class OnlineAuxIVA:
    """Online independent vector analysis.

    Args:
        sources: number of talkers; None for as many as there are microphones.
        time_constant: seconds after which a sound counts 1/e: short follows faster, long separates better.
        recent: seconds of frames that are weighted anew whenever the filters change; 0 is the recursion as published.
        warmup: seconds at the start that are separated as a batch before anything is given out; 0 for none.
        iterations: sweeps of iterative projection after every frame.
        source_model: laplace or gauss.
        window_length: samples of the analysis window, a multiple of 4; None for about 0.512 s, a power of two.
            Three quarters of it are the delay.
        reference: microphone (from 0) as which the sources sound.
    """

    sample_rate = SAMPLE_RATE_ANY
    min_channels = 2
    max_sources = 0

    def __init__(
        self,
        *,
        sources: int | None = None,
        time_constant: float = 4.0,
        recent: float = 4.0,
        warmup: float = 6.0,
        iterations: int = 2,
        source_model: str = "laplace",
        window_length: int | None = None,
        reference: int = 0,
    ) -> None:
        choose("source_model", source_model, SOURCE_MODELS)
        at_least(1, sources=sources, iterations=iterations)
        check_window(window_length)
        if not 0 < time_constant < math.inf or not 0 <= min(warmup, recent) <= max(warmup, recent) < math.inf:
            raise UsageError("time_constant must be positive, recent and warmup at least 0 seconds.")
        self.sources, self.time_constant, self.iterations = sources, time_constant, iterations
        self.recent, self.warmup = recent, warmup
        self.source_model, self.window_length, self.reference = source_model, window_length, reference
        self.warnings: list[str] = []

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], *, sample_rate: int = 16000, images: bool = False
    ) -> Float[Tensor, "batch source ..."]:
        """Separate whole recordings: what ``stream`` gives, loudest source first.

        Args:
            mixture: any level, at least two channels.
            sample_rate: Hz.
            images: return (batch, source, channel, time), every source at every microphone.

        Raises:
            InputError: not finite, silent, too short for one window, or fewer channels than sources.
        """
        self.warnings = []
        check_mixture(mixture, self.min_channels)
        window = self.stft(sample_rate).window_length
        if mixture.shape[-1] < window:
            raise InputError(
                f"The recording is too short: {counted(mixture.shape[-1], 'sample')}, one analysis window has {window}."
            )
        separated = []
        for recording in mixture:
            streamer = self.stream(sample_rate, len(recording), images=images)
            voices = torch.cat([streamer.push(recording), streamer.flush()], -1)
            self.warnings += [text for text in streamer.warnings if text not in self.warnings]
            separated.append(voices[loudest_first(voices[:, self.reference] if images else voices)])
        return torch.stack(separated).to(mixture.device)

    def stft(self, sample_rate: int) -> Stft:
        """The transform at ``sample_rate``."""
        length = self.window_length or max(OVERLAP, 2 ** round(math.log2(WINDOW_SECONDS * sample_rate)))
        return Stft(length, length // OVERLAP)

    def stream(self, sample_rate: int, channels: int, *, images: bool = False) -> "Streamer":
        """A separation that takes its recording piece by piece.

        Raises:
            InputError: fewer channels than two, or than sources.
            UsageError: no such reference microphone.
        """
        if channels < max(self.min_channels, self.sources or 0):
            raise InputError(
                f"The recording has {channels} channel{'s' * (channels != 1)}; this needs at least "
                f"{max(self.min_channels, self.sources or 0)}."
            )
        if not 0 <= self.reference < channels:
            raise UsageError(f"There is no microphone {self.reference}: the recording has {channels}.")
        return Streamer(self, sample_rate, channels, images)


class Streamer:
    """Separates a recording while it arrives.

    The pieces that ``push`` and at last ``flush`` return are, joined, as long as what came in, and the same whatever
    the pieces were; sources keep their order. From the end of the warm-up on, output is ``latency`` samples (and less
    than a hop) behind input.

    Attributes:
        latency: window - hop, samples.
        warnings: what the user should know of this recording.
    """

    def __init__(self, method: OnlineAuxIVA, sample_rate: int, channels: int, images: bool) -> None:
        self.method, self.channels, self.images = method, channels, images
        self.sources = method.sources or channels
        self.warnings: list[str] = []
        self._stft = method.stft(sample_rate)
        hop = self._stft.hop_length
        self.latency = self._stft.window_length - hop
        self._memory_frames = method.time_constant * sample_rate / hop
        self._recent_frames = max(1, round(method.recent * sample_rate / hop))
        self._warmup_frames = round(method.warmup * sample_rate / hop)
        self._window, self._dual = self._stft.window.float(), self._stft.dual.float()
        self._microphones = slice(None) if images else slice(method.reference, method.reference + 1)
        self._input = torch.zeros(channels, self.latency)
        self._tail = torch.zeros(self.sources, channels if images else 1, self.latency)
        self._padding = self.latency  # output samples that belong to the zeros in front
        self._taken = self._given = 0
        self._demixer: OnlineDemixer | None = None  # none before the first sound
        self._exponent, self._level, self._averaged = 0, 0.0, 0
        self._rumble = LiveRumble(self._stft, sample_rate)
        self._held: list[tuple[Tensor, bool]] | None = (
            None  # frames of the warm-up, and whether they are to teach
        )

    def push(self, samples: Float[Tensor, "channel time"]) -> Float[Tensor, "source ..."]:
        """Take the next samples, any number, and return the voices that are finished.

        Returns:
            (source, time), or (source, channel, time) for images; time may be 0.

        Raises:
            InputError: samples that are not finite, or of another number of channels.
        """
        if samples.ndim != 2 or len(samples) != self.channels:
            raise InputError(f"Samples have the shape ({self.channels}, time), not {tuple(samples.shape)}.")
        if not torch.isfinite(samples).all():
            raise InputError("The recording contains samples that are not finite (NaN or infinite).")
        self._taken += samples.shape[1]
        return self._give(self._advance(samples.detach().cpu().float()))

    def flush(self) -> Float[Tensor, "source ..."]:
        """End the recording: the voices that were still missing."""
        end = self._stft.frames(self._taken) * self._stft.hop_length - self._taken
        level = torch.ldexp(
            self._rumble.level, torch.tensor(self._exponent)
        )  # an offset ends without a click
        padding = level.expand(self.channels)[:, None].expand(-1, end)
        return self._give([*self._advance(padding), *self._release()])

    def _advance(self, samples: Tensor) -> list[Tensor]:
        joined = torch.cat([self._input, samples], -1)
        window, start = self._stft.window_length, 0
        done: list[Tensor] = []
        while start + window <= joined.shape[-1]:
            done += self._frame(joined[:, start : start + window])
            start += self._stft.hop_length
        self._input = joined[:, start:].clone()
        return done

    def _give(self, pieces: list[Tensor]) -> Tensor:
        voices = torch.cat([self._tail[..., :0], *pieces], -1)[..., : self._taken - self._given]
        self._given += voices.shape[-1]
        return voices if self.images else voices[:, 0]

    def _frame(self, samples: Tensor) -> list[Tensor]:
        """One window of samples; the hops of output that are finished by it."""
        done: list[Tensor] = []
        power = float(self._analyse(samples).abs().square().sum(1).mean())
        if power > AWAKENING * self._level:  # the first sound, or the first after next to nothing
            done += self._release()
            self._begin(samples)
            power = float(self._analyse(samples).abs().square().sum(1).mean())
        if self._demixer is None:
            return [*done, self._overlap_add(torch.zeros(self.sources, self._tail.shape[1], self._stft.bins))]
        learn = power > SILENT_FRAME * self._level
        if learn:
            self._averaged += 1
            self._level += (power - self._level) / min(self._averaged, max(self._memory_frames, 1))
        frame = self._analyse(samples)
        self._rumble.weigh(frame)
        if self._held is None:
            self._decide_rumble()
            return [*done, self._separate(self._rumble.removed(frame), learn)]
        self._held.append((frame, learn))
        if len(self._held) >= self._warmup_frames:
            done += self._release()
        return done

    def _analyse(self, samples: Tensor) -> Tensor:
        """Spectrum (channel, frequency) at a level near one: a power of two away, hence exact."""
        frame = torch.fft.rfft(torch.ldexp(samples, torch.tensor(-self._exponent)) * self._window)
        return self._rumble.removed(frame)

    def _decide_rumble(self) -> None:
        warning = self._rumble.decide()
        if warning and warning not in self.warnings:
            self.warnings.append(warning)

    def _begin(self, samples: Tensor) -> None:
        self._exponent = int(torch.frexp(samples.abs().max()).exponent)
        self._level, self._averaged = 0.0, 0
        self._rumble.restart()
        bins = self._stft.bins
        self._demixer = OnlineDemixer(
            bins, self.channels, self.sources, self._memory_frames, self._recent_frames
        )
        power = self._analyse(samples).abs().square().mean()
        self._demixer.set_matrix(torch.eye(self.channels).expand(bins, -1, -1) / power.sqrt())
        self._held = [] if self._warmup_frames else None

    def _release(self) -> list[Tensor]:
        """End the warm-up: learn from all of its frames, then separate them with what was learnt."""
        held, self._held = self._held, None
        if not held:
            return []
        self._decide_rumble()
        if self._rumble.removes:
            frames = [frame for frame, _ in held]
            if self._padding == self.latency:  # nothing was given out yet: the recording begins here
                frames = self._rumble.without_onset(frames)
            frames = [self._rumble.removed(frame) for frame in frames]
            held = [(frame, learn) for frame, (_, learn) in zip(frames, held, strict=True)]
        self._learn([frame for frame, learn in held if learn])
        return [self._separate(frame, False) for frame, _ in held]

    def _learn(self, frames: list[Tensor]) -> None:
        assert self._demixer is not None
        mixture = torch.stack(frames, -1)
        whitened = whiten(mixture)
        independent = whitened.spectrogram.shape[1]
        if independent == self.channels:
            matrix = self._demixer.matrix
            batch = FastDemixer(whitened.spectrogram, self.sources)
            for _ in range(WARMUP_ITERATIONS):
                batch.step("ip", weights(self.method.source_model, batch.power(), len(whitened.bins)))
            matrix[whitened.bins] = batch.matrix @ whitened.transform
            mixing = torch.linalg.inv(matrix.to(torch.complex128))[:, self.method.reference, : self.sources]
            images = mixing[..., None] * (matrix @ mixture.transpose(0, 1))[:, : self.sources]
            order = loudest_first(images.abs().transpose(0, 1).flatten(1))
            matrix[:, : self.sources] = matrix[:, order]
            self._demixer.set_matrix(matrix)
        for frame in frames:
            self._adapt(frame, 0)
        if independent < self.channels:  # whitening failed; the imagined noise makes the recursion safe
            for _ in range(SINGULAR_SWEEPS):
                self._demixer.step(self._weights())

    def _weights(self) -> Tensor:
        assert self._demixer is not None
        return weights(self.method.source_model, self._demixer.power(), self._stft.bins)

    def _adapt(self, frame: Tensor, sweeps: int) -> None:
        assert self._demixer is not None
        self._demixer.take(frame, self._weights()[:, :1].flatten())
        for _ in range(sweeps):
            self._demixer.step(self._weights())

    def _separate(self, frame: Tensor, learn: bool) -> Tensor:
        assert self._demixer is not None
        if learn:
            self._adapt(frame, self.method.iterations)
        return self._overlap_add(self._demixer.images(frame, self._microphones))

    def _overlap_add(self, voices: Tensor) -> Tensor:
        """Add a frame of spectra (source, microphone, frequency) to the output; its next finished hop."""
        piece = torch.fft.irfft(voices, n=self._stft.window_length) * self._dual
        piece = torch.ldexp(piece, torch.tensor(self._exponent))
        piece[..., : self.latency] += self._tail
        hop = self._stft.hop_length
        self._tail = piece[..., hop:]
        first = min(hop, self._padding)
        self._padding -= first
        return piece[..., first:hop]
