"""ILRMA: its source model beside the reference, its objective on real recordings, and what its start is worth."""

import numpy as np
import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.data import corpora
from unbabble.data.mixing import MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.methods.separation.ilrma import ILRMA
from unbabble.signal.blind.demixing import UPDATES, Demixer
from unbabble.signal.blind.low_rank import LowRank
from unbabble.signal.kernels.demixer import FastDemixer
from unbabble.signal.kernels.low_rank import FastLowRank
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RATE = 16000


@pytest.fixture(scope="module")
def real_mixture(data_folder):
    """Three people in a measured room, three microphones; the ``dev`` splits: (mixture, references)."""
    places = tuple(corpora.responses(data_folder / "rir.csv", "dev"))
    room = MeasuredRooms(places, channels=(0, 1, 2), distance_m=(1.5, 2.0))
    speech = tuple(corpora.speech(data_folder / "speech.csv", "dev"))
    mixture = MixtureSet(speech=speech, room=room, talkers=3, microphones=3, seconds=8.0, count=1, seed=0)[0]
    return torch.from_numpy(mixture.mixture)[None], torch.from_numpy(mixture.references)


def spectrogram(bins, channels, frames):
    generator = torch.Generator().manual_seed(1)
    envelope = torch.rand(bins, channels, frames, generator=generator) ** 4 + 0.01
    sources = envelope * torch.randn(bins, channels, frames, dtype=torch.complex64, generator=generator)
    return torch.randn(bins, channels, channels, dtype=torch.complex64, generator=generator) @ sources


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("bins", "frames"), [(40, 61), (32, 16), (5, 40)])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_compiled_source_model_agrees_with_the_reference(rank, bins, frames, threads):
    x = spectrogram(bins, 3, frames)
    fast, exact = FastDemixer(x, 3, threads=threads), Demixer(x, 3)
    models = FastLowRank(fast, rank, seed=0), LowRank(exact, rank, seed=0)
    for _ in range(5):
        for demixer, model in zip((fast, exact), models, strict=True):
            model.update()
            demixer.step("ip", model.weights())
    torch.testing.assert_close(
        fast.outputs, exact.outputs, rtol=1e-4, atol=1e-4 * float(exact.outputs.abs().max())
    )
    assert models[0].cost() == pytest.approx(models[1].cost(), abs=1e-5 * bins * 3)


def test_the_reference_is_also_for_double_precision():
    x = spectrogram(20, 3, 50)
    outputs = []
    for demixer in (Demixer(x, 3), Demixer(x.to(torch.complex128), 3)):
        model = LowRank(demixer, 2, seed=0)
        for _ in range(3):
            model.update()
            demixer.step("ip", model.weights())
        outputs.append(demixer.outputs)
    assert outputs[1].dtype == torch.complex128
    torch.testing.assert_close(
        outputs[0], outputs[1].to(x), rtol=1e-4, atol=1e-4 * float(outputs[0].abs().max())
    )


def test_updates_of_the_source_model_alone_never_raise_its_cost():
    demixer = FastDemixer(spectrogram(33, 2, 50), 2)
    model = FastLowRank(demixer, 3, seed=0)
    costs = [model.cost()]
    for _ in range(30):
        model.update()
        costs.append(model.cost())
    assert np.diff(costs).max() <= 1e-6 * abs(costs[0])
    assert costs[-1] < costs[0]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_shape_that_has_died_stays_finite(compiled):
    x = spectrogram(33, 2, 50)
    demixer = FastDemixer(x, 2) if compiled else Demixer(x, 2)
    model = (
        FastLowRank(demixer, 3, seed=0) if isinstance(demixer, FastDemixer) else LowRank(demixer, 3, seed=0)
    )
    (model._activities if isinstance(model, FastLowRank) else model.activities)[0, 1] = 0
    for _ in range(3):
        model.update()
    assert np.isfinite(model.cost())
    assert torch.isfinite(model.weights()).all()


def test_sources_of_the_models_rank_are_fitted_exactly():
    """Where |y|^2 is of rank one, the divergence's minimum is log r + 1, r = |y|^2, and is reached."""
    generator = torch.Generator().manual_seed(2)
    shape, activity = (
        torch.rand(20, 1, 1, generator=generator) + 0.1,
        torch.rand(1, 1, 30, generator=generator) + 0.1,
    )
    demixer = FastDemixer((shape * activity).sqrt().to(torch.complex64), 1, load=0.0)
    model = FastLowRank(demixer, 1, seed=0)
    for _ in range(50):
        model.update()
    expected = float(((shape * activity).double().log() + 1).mean(-1).sum())
    assert model.cost() == pytest.approx(expected, abs=1e-4 * 20)


@pytest.mark.parametrize("warm_up", [0, 5])
@pytest.mark.parametrize(
    ("update", "backend"), [*((update, "fast") for update in UPDATES), ("ip", "reference")]
)
def test_the_objective_never_rises_on_a_real_mixture(real_mixture, update, backend, warm_up):
    """To what float32 resolves in every frequency and source (see ``test_auxiva``)."""
    options = {"tag": update, "sources": 3, "window_length": 1024, "warm_up": warm_up, "tolerance": 0.0}
    separate = ILRMA(iterations=25, record=True, backend=backend, **options)
    separate(real_mixture[0][..., : 3 * RATE], sample_rate=RATE)
    assert len(separate.history) == 26
    assert np.diff(separate.history).max() <= 2e-7 * 513 * 3
    assert separate.history[-1] < separate.history[0]


@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_a_real_room_is_improved(real_mixture, backend):
    mixture, references = real_mixture
    separate = ILRMA(sources=3, window_length=2048, iterations=10, backend=backend)
    table = pairwise(separate(mixture, sample_rate=RATE)[0], references, si_sdr)
    before = pairwise(mixture[0, :1], references, si_sdr)[0]
    gain = table[best_permutation(table), torch.arange(3)] - before
    assert float(gain.mean()) > 2


@pytest.mark.parametrize(("option", "value"), [("rank", 0), ("warm_up", -1)])
def test_options_that_make_no_sense(option, value):
    with pytest.raises(UsageError, match=option):
        ILRMA(**{option: value})
