"""What all blind separators in the frequency domain share: everything before and after the demixing."""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.base.contracts import SAMPLE_RATE_ANY
from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import counted
from unbabble.signal.blind import scaling
from unbabble.signal.blind.demixing import Demixer
from unbabble.signal.blind.source_models import contrast, weights
from unbabble.signal.blind.whitening import Whitened, whiten
from unbabble.signal.counting import count_talkers
from unbabble.signal.kernels.afterwards import reference_is_sooner
from unbabble.signal.level import check_mixture, loudest_first, restore_level, unit_level
from unbabble.signal.stft import Stft

Problem = Callable[[Demixer], tuple[Callable[[], None], Callable[[], float]]]
"""Given a demixer, a function that improves it by one iteration and one that returns the objective."""

WINDOW_SECONDS = 0.512
"""Longest window: about the reverberation of a living room, 8192 samples at 16 kHz."""
SHORTEST_SECONDS = 0.128
FRAMES_PER_SOURCE = 30
"""A short recording of many talkers gets a shorter window, so that there are so many frames to learn from."""
COUNTING_ITERATIONS = 25
MOST_COUNTED = 8
"""Talkers are counted among no more principal components than this."""
OVERLAP = 4
CHECK_EVERY = 5
"""Iterations between two looks at the objective, which costs about as much as one of them."""


def vector_analysis(update: str, source_model: str, bins: int) -> Problem:
    """Independent vector analysis: weights from the sources' activity, then one sweep of ``update``."""

    def problem(demixer: Demixer) -> tuple[Callable[[], None], Callable[[], float]]:
        def iterate() -> None:
            demixer.step(update, weights(source_model, demixer.power(), bins))

        def objective() -> float:
            return contrast(source_model, demixer.power(), bins) - 2 * demixer.log_determinant()

        return iterate, objective

    return problem


class BlindSeparator:
    """Short-time Fourier transform, whitening, demixing by the method, projection back, inverse transform.

    A method implements ``_demix``. Options that all of them share:

    Args:
        sources: number of talkers; None to count them (``signal.counting``), at most one per channel.
        iterations: at most so many sweeps.
        tolerance: stop when a sweep lowers the objective by less than this, per frequency and source; 0 never.
            (The default is where, on recordings of the development split, nothing more was to be gained.)
        starts: how many starting points to try (the first is deterministic, the others drawn from ``seed``); the
            one with the lowest objective wins.
        window_length: samples of the analysis window, a multiple of four; None for 0.512 s, or less in a short
            recording, as a power of two.
        reference: microphone (from 0) as which the sources sound.
        scale: ``projection_back`` (all sources as heard at the reference) or ``minimal_distortion`` (source k as
            heard at microphone k; Matsuoka & Nakashima, ICA 2001).
        backend: ``fast`` (compiled, CPU), ``reference`` (torch, any device), ``auto`` (compiled on a CPU, but for
            what is done before the kernels of a first run are compiled).
        seed: of the random starts.
        record: keep the objective of every iteration in ``history``.
    """

    sample_rate = SAMPLE_RATE_ANY
    min_channels = 2
    max_sources = 0

    def __init__(
        self,
        *,
        sources: int | None = None,
        iterations: int = 150,
        tolerance: float = 1e-5,
        starts: int = 1,
        window_length: int | None = None,
        reference: int = 0,
        scale: str = "projection_back",
        backend: str = "auto",
        seed: int = 0,
        record: bool = False,
    ) -> None:
        at_least(1, sources=sources, starts=starts)
        at_least(0, iterations=iterations, tolerance=tolerance)
        check_window(window_length)
        choose("scale", scale, ("projection_back", "minimal_distortion"))
        choose("backend", backend, ("auto", "fast", "reference"))
        self.sources, self.iterations, self.tolerance, self.starts = sources, iterations, tolerance, starts
        self.window_length, self.reference, self.scale = window_length, reference, scale
        self.backend, self.seed, self.record = backend, seed, record
        self.warnings: list[str] = []
        self.history: list[float] = []

    def __call__(
        self, mixture: Float[Tensor, "batch channel time"], *, sample_rate: int = 16000, images: bool = False
    ) -> Float[Tensor, "batch source ..."]:
        """Separate each recording of the batch by itself; one with fewer talkers than others gets silent sources.

        Args:
            mixture: any level, at least two channels.
            sample_rate: Hz.
            images: return (batch, source, channel, time), every source at every microphone.

        Raises:
            InputError: not finite, silent, too short for one window, or fewer independent channels than sources.
        """
        self.warnings, self.history = [], []
        check_mixture(mixture, self.min_channels)
        scaled, exponents = unit_level(mixture)
        separated = [self._separate(recording, sample_rate, images) for recording in scaled]
        most = max(len(voices) for voices in separated)
        padded = [
            torch.cat([voices, voices.new_zeros(most - len(voices), *voices.shape[1:])])
            for voices in separated
        ]
        return restore_level(torch.stack(padded), exponents)

    def stft(self, sample_rate: int, frames_per_second: float = 0.0) -> Stft:
        """The transform at ``sample_rate`` Hz, with at least so many frames a second where that can be had."""
        if sample_rate <= 0:
            raise UsageError(f"The sample rate must be positive, not {sample_rate} Hz.")
        length = self.window_length
        if length is None:
            exponent = round(math.log2(WINDOW_SECONDS * sample_rate))
            if frames_per_second > 0:
                enough = math.floor(math.log2(OVERLAP * sample_rate / frames_per_second))
                exponent = min(exponent, max(round(math.log2(SHORTEST_SECONDS * sample_rate)), enough))
            length = max(OVERLAP, 2**exponent)
        return Stft(length, length // OVERLAP)

    def _separate(self, recording: Tensor, sample_rate: int, images: bool) -> Tensor:
        samples = recording.shape[-1]
        if not 0 <= self.reference < len(recording):
            raise UsageError(f"There is no microphone {self.reference}: the recording has {len(recording)}.")
        sources = self._count(recording, sample_rate) if self.sources is None else self.sources
        stft = self.stft(sample_rate, FRAMES_PER_SOURCE * sources * sample_rate / samples)
        mixture = self._analyse(stft, recording)
        whitened = whiten(mixture)
        channels = whitened.spectrogram.shape[1]
        if channels < len(recording):
            self.warnings.append(f"Independent channels: {channels} of {len(recording)}.")
        if sources > channels:
            if self.sources is not None:
                raise InputError(
                    f"{sources} sources were asked for, but the recording has only "
                    f"{counted(channels, 'independent channel')}."
                )
            sources = channels
        outputs = self._demix(whitened, sources)
        voices = self._scaled(outputs, mixture, whitened, images)
        waveforms = stft.synthesise(voices, samples)
        at_reference = waveforms[:, self.reference] if images else waveforms
        return waveforms[loudest_first(at_reference)]

    def _analyse(self, stft: Stft, recording: Tensor) -> Tensor:
        if recording.shape[-1] < stft.window_length:
            raise InputError(
                f"The recording is too short: {counted(recording.shape[-1], 'sample')}, one analysis window has "
                f"{stft.window_length}."
            )
        return stft.analyse(recording)

    def _count(self, recording: Tensor, sample_rate: int) -> int:
        """Count the talkers among the outputs of a short separation into as many as there are channels."""
        samples = recording.shape[-1]
        stft = self.stft(sample_rate, 2 * FRAMES_PER_SOURCE * sample_rate / samples)
        mixture = self._analyse(stft, recording)
        whitened = whiten(mixture)
        spectrogram = whitened.spectrogram[:, :MOST_COUNTED]
        demixer = self._demixer(spectrogram, spectrogram.shape[1])
        iterate, _ = vector_analysis("ip", "gauss", len(whitened.bins))(demixer)
        for _ in range(COUNTING_ITERATIONS):
            iterate()
        voices = self._scaled(demixer.outputs, mixture, whitened, images=False)
        return count_talkers(stft.synthesise(voices, samples), sample_rate)

    def _scaled(self, outputs: Tensor, mixture: Tensor, whitened: Whitened, images: bool) -> Tensor:
        """Spectrograms (source, [microphone,] frequency, frame); inaudible frequencies are shared equally."""
        sources = outputs.shape[1]
        microphones = (
            slice(None)
            if images or self.scale == "minimal_distortion"
            else slice(self.reference, self.reference + 1)
        )
        mixtures = mixture[microphones].transpose(0, 1)
        voices = (mixtures / sources)[:, None].repeat(1, sources, 1, 1)
        voices[whitened.bins] = scaling.images(outputs, mixtures[whitened.bins])
        voices = voices.permute(1, 2, 0, 3)
        if images:
            return voices
        if self.scale == "minimal_distortion":
            return voices[torch.arange(sources), torch.arange(sources)]
        return voices[:, 0]

    def _demixer(self, spectrogram: Tensor, sources: int) -> Demixer:
        work = spectrogram.numel() * sources
        fast = self.backend == "fast" or (
            self.backend == "auto" and spectrogram.device.type == "cpu" and not reference_is_sooner(work)
        )
        if not fast:
            return Demixer(spectrogram, sources)
        from unbabble.signal.kernels.demixer import FastDemixer  # and Numba, which the reference does without

        return FastDemixer(spectrogram, sources)

    def _descend(
        self, spectrogram: Complex[Tensor, "frequency channel frame"], sources: int, problem: Problem
    ) -> Complex[Tensor, "frequency source frame"]:
        """Iterate from every start until the objective settles; the outputs of the start that ends lowest.

        Where the objective is watched (``tolerance``, ``record``), ``history`` keeps it for the best start: before
        the first iteration and after each, or after each ``CHECK_EVERY`` where nobody asked for a record.
        """
        least, outputs = math.inf, None
        generator = torch.Generator().manual_seed(self.seed)
        for start in range(self.starts):
            if start:
                spectrogram = random_rotations(spectrogram, generator) @ spectrogram
            demixer = self._demixer(spectrogram, sources)
            iterate, objective = problem(demixer)
            history = [objective()] if self.tolerance > 0 or self.record else []
            checked = history[0] if history else math.inf
            for done in range(1, self.iterations + 1):
                iterate()
                check = self.tolerance > 0 and done % CHECK_EVERY == 0
                if check or self.record:
                    history.append(objective())
                if check:
                    gain = (checked - history[-1]) / CHECK_EVERY
                    if gain < self.tolerance * len(spectrogram) * sources:
                        break
                    checked = history[-1]
            end = objective() if self.starts > 1 else 0.0
            end = end if math.isfinite(end) else math.inf
            if outputs is None or end < least:
                least, outputs, self.history = end, demixer.outputs, history
        assert outputs is not None
        return outputs

    @abstractmethod
    def _demix(self, whitened: Whitened, sources: int) -> Complex[Tensor, "frequency source frame"]:
        """The outputs at the audible frequencies, at any scale."""


def random_rotations(
    spectrogram: Complex[Tensor, "frequency channel frame"], generator: torch.Generator
) -> Complex[Tensor, "frequency channel channel"]:
    """A uniformly random unitary matrix for every frequency."""
    bins, channels, _ = spectrogram.shape
    gauss = torch.randn(bins, channels, channels, dtype=torch.complex128, generator=generator)
    q, r = torch.linalg.qr(gauss)
    phases = r.diagonal(dim1=1, dim2=2).sgn()
    return (q * phases[:, None]).to(spectrogram)


def at_least(least: float, **options: float | None) -> None:
    """Refuse options below ``least`` or not a number; None passes.

    Raises:
        UsageError: naming the option.
    """
    for name, value in options.items():
        if value is not None and not value >= least:
            raise UsageError(f"{name} must be at least {least}, not {value}.")


def check_window(length: int | None) -> None:
    """Refuse a window that hops cannot divide.

    Raises:
        UsageError: not a positive multiple of ``OVERLAP``.
    """
    if length is not None and (length < OVERLAP or length % OVERLAP):
        raise UsageError(f"window_length must be a positive multiple of {OVERLAP}, not {length}.")


def choose(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a ``value`` that is not one of ``allowed``.

    Raises:
        UsageError: naming what is allowed.
    """
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, not '{value}'.")
