"""T-ISS: steps that are exact, an objective that never rises, and reverberation that really goes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import oaconvolve
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.base.registry import create
from unbabble.data import corpora
from unbabble.data.mixing import Mixture, MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.methods.separation.tiss import PredictiveDemixer, past_frames
from unbabble.signal.kernels.tiss import FastPredictiveDemixer
from unbabble.signal.metrics import si_sdr

SAMPLE_RATE = 16000
LOAD = 1e-2
"""Far above the default, so that its part in the steps shows."""


def random(*shape: int, seed: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def problem(bins: int, sources: int, channels: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mixture, channels of the past, and weights that differ from frequency to frequency."""
    heard = random(bins, channels, frames, seed=1)
    heard[..., 1:] += 0.5 * heard[..., :-1]
    weights = random(bins, sources, frames, seed=2, dtype=torch.float64).exp()
    return heard[:, :sources], heard, weights


def surrogate(demixer: PredictiveDemixer, weights: Tensor) -> float:
    """sum_kf mean_t phi |y|^2 - 2 sum_f log|det W|, with the imagined noise in |y|^2."""
    return float((weights * demixer.bin_power()).mean(-1).sum()) - 2 * demixer.log_determinant()


@pytest.fixture(scope="module")
def recording(data_folder: Path) -> Mixture:
    """Two real voices in a real room, three microphones."""
    return MixtureSet(
        speech=tuple(corpora.speech(data_folder / "speech.csv", "dev")),
        room=MeasuredRooms(tuple(corpora.responses(data_folder / "rir.csv", "dev")), distance_m=(1.5, 2.0)),
        microphones=3,
        seconds=3.0,
    )[0]


def as_batch(recording: Mixture) -> Tensor:
    return torch.from_numpy(recording.mixture)[None]


def test_past_frames_are_the_channels_delayed():
    x = random(2, 2, 9, seed=0)
    past = past_frames(x, taps=3, delay=2)
    assert past.shape == (2, 6, 9)
    for channel in range(2):
        for tap in range(3):
            shift = 2 + tap
            delayed = past[:, 3 * channel + tap]
            assert torch.equal(delayed[:, shift:], x[:, channel, :-shift])
            assert (delayed[:, :shift] == 0).all()


def test_every_move_is_the_minimum_along_its_signal(monkeypatch):
    mixture, heard, weights = problem(3, 2, 3, 40)
    demixer = PredictiveDemixer(mixture, heard, taps=2, delay=1, load=LOAD)
    moves = []
    move = PredictiveDemixer._move

    def checked(self, phi, signal, row, source=None):
        before = surrogate(self, weights)
        move(self, phi, signal, row, source)
        least, outputs, matrix = surrogate(self, weights), self._all_outputs, self._matrix
        moves.append(before - least)
        signal = signal if source is None else outputs[:, source]
        row = row if source is None else matrix[:, source]
        for direction in torch.eye(2, dtype=outputs.dtype)[:, None, :]:
            for step in (1e-3, -1e-3, 1e-3j, -1e-3j):
                v = (step * direction).expand(len(outputs), -1)
                self._all_outputs = outputs + v[..., None] * signal[:, None]
                self._matrix = matrix + v[..., None] * row[:, None]
                # A source may turn its phase without an effect, to second order in the step.
                assert surrogate(self, weights) > least + (0 if source is None else -1e-9)
        self._all_outputs, self._matrix = outputs, matrix

    monkeypatch.setattr(PredictiveDemixer, "_move", checked)
    demixer.step("iss", weights)
    assert len(moves) == 2 + 3 * 2
    assert min(moves) > 0


def test_the_matrix_gives_the_outputs():
    mixture, heard, weights = problem(3, 2, 3, 40)
    demixer = PredictiveDemixer(mixture, heard, taps=2, delay=1, load=LOAD)
    for _ in range(3):
        demixer.step("iss", weights)
    extended = torch.cat([mixture, past_frames(heard, 2, 1)], 1)
    torch.testing.assert_close(demixer.matrix @ extended, demixer.outputs)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("sources", "channels", "taps", "delay"), [(2, 2, 3, 2), (1, 3, 2, 1), (3, 3, 0, 1)])
@pytest.mark.parametrize("per_frequency", [False, True])
def test_fast_steps_are_the_reference_steps(threads, sources, channels, taps, delay, per_frequency):
    mixture, heard, weights = problem(37, sources, channels, 50)
    weights = weights if per_frequency else weights[0]
    reference = PredictiveDemixer(mixture, heard, taps, delay, LOAD)
    fast = FastPredictiveDemixer(mixture, heard, taps, delay, LOAD, threads)
    for _ in range(4):
        reference.step("iss", weights)
        fast.step("iss", weights.float())
    for mine, theirs in (
        (fast.outputs, reference.outputs),
        (fast.matrix, reference.matrix),
        (fast.power(), reference.power()),
    ):
        assert float((mine - theirs).norm()) < 1e-4 * float(theirs.norm())
    assert fast.log_determinant() == pytest.approx(reference.log_determinant(), rel=1e-4)


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("source_model", ["laplace", "gauss"])
def test_the_objective_never_rises_on_a_real_recording(recording, source_model, backend):
    separator = create(
        "tiss",
        sources=2,
        iterations=8,
        window_length=512,
        source_model=source_model,
        backend=backend,
        record=True,
    )
    separator(as_batch(recording), sample_rate=SAMPLE_RATE)
    history = np.array(separator.history)
    assert len(history) == 9
    assert (np.diff(history) < 0).all()


def test_backends_agree_on_a_real_recording(recording):
    fast, reference = (
        create("tiss", sources=2, iterations=8, window_length=512, backend=backend)(as_batch(recording))
        for backend in ("fast", "reference")
    )
    assert float((fast - reference).norm()) < 1e-4 * float(reference.norm())


def test_without_taps_it_is_source_steering(recording):
    options = {"source_model": "laplace", "sources": 2, "iterations": 8, "window_length": 512}
    steering = create("auxiva.iss", **options)(as_batch(recording))
    without = create("tiss", taps=0, **options)(as_batch(recording))
    assert float((without - steering).norm()) < 1e-4 * float(steering.norm())


def test_a_short_recording_leaves_the_voices(recording):
    """Unlimited, 7 x 5 coefficients would explain away most of 15 frames."""
    short = as_batch(recording)[..., 16000:24000].repeat(1, 3, 1)
    short = short + 1e-3 * random(*short.shape, seed=0, dtype=torch.float32)
    voices = create("tiss", sources=2, iterations=10, taps=5)(short)
    assert float(voices.sum(1).norm() / short[:, 0].norm()) > 0.65


def test_starts_are_drawn_from_the_seed(recording):
    options = {"sources": 2, "iterations": 3, "window_length": 512, "starts": 2}
    first, same = (create("tiss", seed=1, **options)(as_batch(recording)) for _ in range(2))
    assert torch.equal(first, same)


def bursts_in_a_room() -> tuple[Tensor, Tensor, Tensor]:
    """Bursts of noise at four microphones, RT60 0.5 s; the dry bursts; where each is over for 0.15 s and more."""
    rng = np.random.default_rng(0)
    samples, seconds = 6 * SAMPLE_RATE, np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    speaking = np.arange(samples) % SAMPLE_RATE
    dry = rng.standard_normal(samples) * rng.laplace(size=samples // 400).repeat(400)
    dry *= speaking < 0.4 * SAMPLE_RATE
    responses = 0.05 * rng.standard_normal((4, len(seconds))) * 10 ** (-3 * seconds / 0.5)
    responses[:, 0] = 1
    echoing = oaconvolve(dry[None], responses, axes=1)[:, :samples]
    tail = torch.from_numpy(speaking > 0.55 * SAMPLE_RATE)
    return torch.from_numpy(echoing).float(), torch.from_numpy(dry).float(), tail


def test_late_reverberation_of_one_source_goes():
    mixture, dry, tail = bursts_in_a_room()

    def tail_db(waveform: Tensor) -> float:
        return float(10 * torch.log10(waveform[tail].square().mean() / waveform[~tail].square().mean()))

    options = {"sources": 1, "iterations": 20, "window_length": 1024, "source_model": "laplace"}
    joint, steered = (create("tiss", taps=taps, **options)(mixture[None])[0, 0] for taps in (8, 0))
    assert tail_db(joint) < min(tail_db(steered), tail_db(mixture[0])) - 5
    assert float(si_sdr(joint, dry)) > max(float(si_sdr(steered, dry)), float(si_sdr(mixture[0], dry))) + 3


@pytest.mark.parametrize("options", [{"taps": -1}, {"delay": 0}, {"source_model": "cauchy"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError):
        create("tiss", **options)
