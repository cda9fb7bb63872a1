"""AuxIVA on mixtures whose answer is known, on real rooms, and beside another program."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unbabble.base.registry import create
from unbabble.data import corpora
from unbabble.data.mixing import Mixture, MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.methods.separation.auxiva import AuxIVA
from unbabble.signal.blind.demixing import UPDATES, Demixer
from unbabble.signal.blind.scaling import images
from unbabble.signal.blind.source_models import SOURCE_MODELS, weights
from unbabble.signal.blind.whitening import whiten
from unbabble.signal.kernels.demixer import FastDemixer
from unbabble.signal.stft import Stft

RATE = 16000
MODELS = list(itertools.product(UPDATES, SOURCE_MODELS))


def si_sdr(estimate: Tensor, reference: Tensor) -> float:
    estimate, reference = estimate.double(), reference.double()
    target = (estimate @ reference) / (reference @ reference) * reference
    return float(10 * torch.log10(target.square().sum() / (estimate - target).square().sum()))


def improvements(estimates: Tensor, references: Tensor, mixture: Tensor) -> list[float]:
    """SI-SDR of each source over that of the mixture, with the best order."""
    orders = itertools.permutations(range(len(references)))
    scores = [[si_sdr(estimates[k], r) for k, r in zip(o, references, strict=True)] for o in orders]
    before = [si_sdr(mixture, reference) for reference in references]
    return [after - b for after, b in zip(max(scores, key=sum), before, strict=True)]


@cache
def sources(count: int, samples: int = 2 * RATE) -> Tensor:
    """Noise through syllables of random length, loudness and colour: as wide as speech, and as sparse."""
    rng = np.random.default_rng(3)
    out = np.zeros((count, samples))
    for source in out:
        start = 0
        while start < samples:
            length = int(rng.integers(1000, 4000))
            burst = rng.standard_normal(length) * np.hanning(length) * rng.lognormal(0, 1)
            colour = rng.standard_normal(4)
            source[start : start + length] = np.convolve(burst, colour, "same")[: samples - start]
            start += length + int(rng.integers(0, 2500))
    return torch.from_numpy(0.1 * out / out.std(1, keepdims=True)).float()


def mix(count: int, taps: int) -> tuple[Tensor, Tensor]:
    """(1, count, time) and the sources as the first microphone hears them: echoes within ``taps`` samples."""
    rng = np.random.default_rng(4)
    paths = rng.standard_normal((count, count, taps)) * np.exp(-4 * np.arange(taps) / taps) * 0.3
    paths[..., 0] = rng.standard_normal((count, count)) + 2 * np.eye(count)
    samples = sources(count).shape[1]
    size = samples + taps
    spectrum = np.fft.rfft(paths, size)[:, :] * np.fft.rfft(sources(count).numpy(), size)
    images = torch.from_numpy(np.fft.irfft(spectrum, size)[..., :samples]).float()
    return images.sum(1)[None], images[0]


@pytest.fixture(scope="module")
def real_mixture(data_folder: Path) -> Mixture:
    """Two people in a measured room, two microphones; the ``dev`` splits."""
    room = MeasuredRooms(
        tuple(corpora.responses(data_folder / "rir.csv", "dev")), channels=(0, 1), distance_m=(1.5, 2.0)
    )
    speech = tuple(corpora.speech(data_folder / "speech.csv", "dev"))
    return MixtureSet(speech=speech, room=room, talkers=2, microphones=2, seconds=6.0, count=1, seed=0)[0]


@pytest.mark.parametrize(("update", "model"), MODELS)
def test_instantaneous_mixtures_come_apart(update, model):
    mixture, references = mix(2, 1)
    separate = create(f"auxiva.{update}", source_model=model, sources=2, window_length=512, iterations=30)
    estimates = separate(mixture, sample_rate=RATE)[0]
    assert min(improvements(estimates, references, mixture[0, 0])) > 15


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("count", [2, 3])
def test_mixtures_with_echoes_come_apart(count, update):
    mixture, references = mix(count, 40)
    separate = AuxIVA(tag=update, source_model="gauss", sources=count, window_length=1024, iterations=40)
    estimates = separate(mixture, sample_rate=RATE)[0]
    assert min(improvements(estimates, references, mixture[0, 0])) > 15


@pytest.mark.parametrize("model", SOURCE_MODELS)
def test_a_real_room_is_improved(real_mixture, model):
    mixture = torch.from_numpy(real_mixture.mixture)[None]
    references = torch.from_numpy(real_mixture.references)
    for update in UPDATES:
        estimates = AuxIVA(tag=update, source_model=model, sources=2, iterations=30)(
            mixture, sample_rate=RATE
        )[0]
        assert np.mean(improvements(estimates, references, mixture[0, 0])) > 2


@pytest.mark.parametrize(("update", "model"), MODELS)
def test_the_objective_never_rises_on_a_real_mixture(real_mixture, update, model):
    """In double precision to 1e-9; in the kernels to what float32 resolves.

    There every frequency adds, for each source, a logarithm and powers of order one known to about 1e-7 each,
    with errors that mostly cancel in the sum: 1e-7 of the number of terms is allowed.
    """
    mixture = torch.from_numpy(real_mixture.mixture)[None, :, : 3 * RATE]
    options = {"tag": update, "source_model": model, "sources": 2, "window_length": 1024, "record": True}
    options |= {"tolerance": 0.0}
    exact = AuxIVA(backend="reference", iterations=12, **options)
    exact(mixture.double(), sample_rate=RATE)
    history = np.array(exact.history)
    assert len(history) == 13
    assert np.diff(history).max() <= 1e-9 * np.abs(history).max()
    assert history[-1] < history[0]

    fast = AuxIVA(backend="fast", iterations=40, **options)
    fast(mixture, sample_rate=RATE)
    assert np.diff(fast.history).max() <= 1e-7 * 513 * 2
    np.testing.assert_allclose(fast.history[:13], history, rtol=1e-4)


@pytest.mark.parametrize(("update", "model"), MODELS)
def test_backends_agree_on_a_real_mixture(real_mixture, update, model):
    mixture = torch.from_numpy(real_mixture.mixture)[None, :, : 3 * RATE]
    options = {"tag": update, "source_model": model, "sources": 2, "window_length": 1024, "iterations": 10}
    options |= {"tolerance": 0.0}
    fast = AuxIVA(backend="fast", **options)(mixture, sample_rate=RATE)
    exact = AuxIVA(backend="reference", **options)(mixture.double(), sample_rate=RATE)
    assert float((fast - exact).norm() / exact.norm()) < 1e-3


def test_it_does_what_pyroomacoustics_does():
    """Same start, same iterations: the same outputs, and the same SI-SDR after projection back.

    1e-6 where both work in double precision, 1e-3 for float32, and 0.1 dB for the whole method, whose covariances
    are loaded. A little noise keeps pauses above both programs' (different) floors of a source's activity.
    """
    bss = pytest.importorskip("pyroomacoustics").bss
    mixture, references = mix(2, 40)
    mixture = mixture + 3e-4 * torch.randn(mixture.shape, generator=torch.Generator().manual_seed(0))
    stft = Stft(512, 128)
    spectrogram = stft.analyse(mixture[0].double())
    white = whiten(spectrogram)
    theirs_in = white.spectrogram.permute(2, 0, 1).numpy()
    for model in SOURCE_MODELS:
        theirs = bss.auxiva(theirs_in.copy(), n_iter=15, proj_back=False, model=model)
        demixer, fast = (kind(white.spectrogram, 2, load=0.0) for kind in (Demixer, FastDemixer))
        for each in (demixer, fast):
            for _ in range(15):
                phi = weights(model, each.power(), len(white.bins))
                each.step("ip", phi)
        expected = torch.from_numpy(theirs).permute(1, 2, 0)
        for each, tolerance in ((demixer, 1e-6), (fast, 1e-3)):
            assert float((each.outputs - expected).norm() / expected.norm()) < tolerance

        options = {"tag": "ip", "source_model": model, "sources": 2, "window_length": 512, "iterations": 15}
        ours = AuxIVA(**options)(mixture, sample_rate=RATE)[0]
        heard = spectrogram[:1].transpose(0, 1)
        whole = heard[:, None].repeat(1, 2, 1, 1) / 2
        whole[white.bins] = images(expected, heard[white.bins])
        back = stft.synthesise(whole[:, :, 0].transpose(0, 1), mixture.shape[-1])
        np.testing.assert_allclose(
            sorted(improvements(ours, references, mixture[0, 0])),
            sorted(improvements(back, references, mixture[0, 0])),
            atol=0.1,
        )


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("scale", ["projection_back", "minimal_distortion"])
@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_options_go_together(backend, images, scale, chosen):
    mixture = mix(3, 1)[0][..., :6000]
    separate = AuxIVA(
        sources=chosen,
        backend=backend,
        scale=scale,
        window_length=256,
        iterations=2,
        starts=2,
        tolerance=1e-3,
    )
    estimates = separate(mixture, images=images)
    assert estimates.shape == (1, chosen, *((3,) if images else ()), 6000)
    assert torch.isfinite(estimates).all()
    assert separate.warnings == []
    assert torch.equal(estimates, separate(mixture, images=images))


def test_fewer_sources_are_those_of_the_strongest_components():
    """Two sources at three microphones: keeping two components loses next to nothing."""
    rng = torch.Generator().manual_seed(1)
    paths = torch.randn(3, 2, generator=rng)
    images = paths[..., None] * sources(2)
    mixture = images.sum(1)[None] + 1e-4 * torch.randn(1, 3, sources(2).shape[1], generator=rng)
    estimates = AuxIVA(sources=2, window_length=512, iterations=30)(mixture)[0]
    assert min(improvements(estimates, images[0], mixture[0, 0])) > 15
