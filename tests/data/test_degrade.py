"""What can go wrong with a voice, made on purpose."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.data.degrade import DEGRADATIONS, alike, degraded, error_scaled, leaking, true_ones
from unbabble.signal.metrics import si_sdr

KINDS = [kind for _, kind in DEGRADATIONS]


def voices(seed=0, samples=4000):
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((2, samples)).astype(np.float32)
    mixture = references.sum(0)
    return mixture, (references + 0.4 * mixture).astype(np.float32), references


def scores(estimates, references):
    return si_sdr(torch.from_numpy(np.asarray(estimates)).double(), torch.from_numpy(references).double())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_every_kind_changes_all_estimates_and_keeps_them_finite(kind, seed):
    mixture, estimates, references = voices(seed % 7)
    found = kind(np.random.default_rng(seed), mixture, estimates.copy(), references)
    assert found.shape == estimates.shape
    assert np.isfinite(found).all()
    assert (np.abs(found - estimates).max(-1) > 0).all()


def test_shares_add_up():
    assert sum(share for share, _ in DEGRADATIONS) == pytest.approx(1)


def test_the_same_draw_gives_the_same():
    mixture, estimates, references = voices()
    first, again = (degraded(np.random.default_rng(3), mixture, estimates, references) for _ in range(2))
    assert first.dtype == np.float32
    assert np.array_equal(first, again)


def test_scaled_errors_move_the_score_by_as_much():
    class Fixed:
        def uniform(self, low, high, shape):
            return np.full(shape, -12.0)

    mixture, estimates, references = voices()
    found = error_scaled(Fixed(), mixture, estimates, references)
    gained = scores(found, references) - scores(estimates, references)
    torch.testing.assert_close(gained, torch.full((2,), 12.0).double(), rtol=0, atol=1e-3)


def test_leaks_make_it_worse_and_the_truth_better():
    mixture, estimates, references = voices()
    before = scores(estimates, references)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert (scores(leaking(rng, mixture, estimates, references), references) < before).all()
        assert (scores(true_ones(rng, mixture, estimates, references), references) > 4.5).all()


def test_alike_is_one_voice_or_the_mixture():
    mixture, estimates, references = voices()
    found = alike(np.random.default_rng(0), mixture, estimates, references)
    assert np.abs(found[0] - found[1]).max() < 0.1
    assert any(np.corrcoef(found[0], each)[0, 1] > 0.999 for each in (mixture, *estimates))


def test_together_they_reach_from_hopeless_to_perfect():
    mixture, estimates, references = voices()
    rng = np.random.default_rng(0)
    found = torch.cat([scores(degraded(rng, mixture, estimates, references), references) for _ in range(300)])
    assert float(found.quantile(0.03)) < -5
    assert float(found.quantile(0.97)) > 20
