"""OverIVA: more microphones than talkers. (That it is the published update: ``tests/signal/test_demixing.py``.)"""

import numpy as np
import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.data import corpora
from unbabble.data.mixing import MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.methods.separation.overiva import OverIVA
from unbabble.signal.blind.source_models import SOURCE_MODELS
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RATE = 16000
TAGS = ("ip", "ip2")


@pytest.fixture(scope="module")
def real_mixture(data_folder):
    """Two people in a measured room, four microphones; the ``dev`` splits: (mixture, references)."""
    places = tuple(corpora.responses(data_folder / "rir.csv", "dev"))
    room = MeasuredRooms(places, channels=(0, 1, 2, 5), distance_m=(1.5, 2.0))
    speech = tuple(corpora.speech(data_folder / "speech.csv", "dev"))
    mixture = MixtureSet(speech=speech, room=room, talkers=2, microphones=4, seconds=8.0, count=1, seed=0)[0]
    return torch.from_numpy(mixture.mixture)[None], torch.from_numpy(mixture.references)


@pytest.mark.parametrize("model", SOURCE_MODELS)
@pytest.mark.parametrize("tag", TAGS)
def test_the_objective_never_rises_on_a_real_mixture(real_mixture, tag, model):
    """In double precision to 1e-9, in the kernels to what float32 resolves (see ``test_auxiva``)."""
    mixture = real_mixture[0][..., : 3 * RATE]
    options = {"tag": tag, "source_model": model, "sources": 2, "window_length": 1024, "tolerance": 0.0}
    exact = OverIVA(backend="reference", iterations=8, record=True, **options)
    exact(mixture.double(), sample_rate=RATE)
    history = np.array(exact.history)
    assert np.diff(history).max() <= 1e-9 * np.abs(history).max()
    assert history[-1] < history[0]
    fast = OverIVA(backend="fast", iterations=25, record=True, **options)
    fast(mixture, sample_rate=RATE)
    assert np.diff(fast.history).max() <= 2e-7 * 513 * 2
    np.testing.assert_allclose(fast.history[:9], history, rtol=1e-4)


@pytest.mark.parametrize("tag", TAGS)
def test_a_real_room_is_improved(real_mixture, tag):
    mixture, references = real_mixture
    estimates = OverIVA(tag=tag, sources=2, window_length=4096, iterations=40)(mixture, sample_rate=RATE)[0]
    table = pairwise(estimates, references, si_sdr)
    before = pairwise(mixture[0, :1], references, si_sdr)[0]
    assert float((table[best_permutation(table), torch.arange(2)] - before).mean()) > 2


def test_updates_that_know_no_background_are_refused():
    with pytest.raises(UsageError, match="tag must be one of ip, ip2"):
        OverIVA(tag="iss")
