"""What all scorers share: joining pieces, levels, the true score."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.methods.quality.blind_sisnr_bands import BlindSiSnrBands
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB, WINDOW_SECONDS, copies, join, true_db, unit


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(0, 2**31))
def test_joined_scores_of_pieces_are_those_of_the_whole(count, seed):
    """Where voice and error are orthogonal in every piece: their energies add up."""
    generator = torch.Generator().manual_seed(seed)
    voice, error = torch.randn(2, count, 1, 1, 64, generator=generator, dtype=torch.float64)
    error -= (error * voice).sum(-1, keepdim=True) / voice.square().sum(-1, keepdim=True) * voice
    error *= 10 ** (torch.rand(count, 1, 1, 1, generator=generator, dtype=torch.float64) * 2 - 1)

    def db(v, e):
        return 10 * torch.log10(v.square().sum(-1) / e.square().sum(-1))

    energy = (voice + error).square().sum(-1)
    whole, spread = join(db(voice, error), torch.ones(count, 1, 1), energy)
    wanted = db(voice.movedim(0, -2).flatten(-2), error.movedim(0, -2).flatten(-2))
    torch.testing.assert_close(whole, wanted, rtol=0, atol=1e-4)
    assert float(spread) == pytest.approx(1)


def test_pieces_without_energy_do_not_count():
    db, energy = torch.tensor([[[20.0]], [[-15.0]]]), torch.tensor([[[1.0]], [[0.0]]]).double()
    assert float(join(db, db, energy)[0]) == pytest.approx(20, abs=1e-4)


def test_unit_level_of_anything():
    for waveform in (torch.randn(100), 1e-30 * torch.randn(100), 1e30 * torch.randn(100) + 1e30):
        assert float(unit(waveform).std()) == pytest.approx(1, rel=1e-3)
        assert abs(float(unit(waveform).mean())) < 1e-3
    for constant in (torch.zeros(50), torch.full((50,), 0.3)):
        assert not unit(constant).any()


def test_true_scores():
    reference = torch.randn(1, 3, 1000)
    estimates = reference.clone()
    estimates[0, 1] += torch.randn(1000)
    estimates[0, 2] = 0
    found, there = true_db(estimates, reference)
    assert there.tolist() == [[True, True, False]]
    assert found[0, 0] >= HIGHEST_DB
    assert float(found[0, 1]) == pytest.approx(0, abs=1)
    assert found[0, 2] == LOWEST_DB


def test_a_long_recording_is_scored_in_pieces():
    """A score of a recording that goes on as it began does not change, whatever its length."""
    network = BlindSiSnrBands(**BlindSiSnrBands.TINY).eval()
    rate = network.sample_rate
    torch.manual_seed(0)
    mixture = torch.randn(1, rate * int(WINDOW_SECONDS))
    estimates = mixture[:, None] + torch.randn(1, 2, mixture.shape[-1])
    once = network.scores(mixture, estimates)
    thrice = network.scores(mixture.repeat(1, 3), estimates.repeat(1, 1, 3))
    for short, long in zip(once, thrice, strict=True):
        torch.testing.assert_close(long, short, rtol=0, atol=0.01)
    assert math.isfinite(float(once.db.sum()))


def test_copies_share_one_talker():
    network = BlindSiSnrBands(**BlindSiSnrBands.TINY).eval()
    torch.manual_seed(0)
    voices = torch.randn(1, 2, 8000)
    mixture = voices.sum(1)
    alone = network.scores(mixture, mixture[:, None])
    twice = network.scores(mixture, torch.stack([mixture, -3 * mixture], 1))
    a = float(alone.db)
    torch.testing.assert_close(twice.db, torch.full((1, 2), (a - abs(a)) / 2), rtol=0, atol=1e-3)
    assert (twice.low <= alone.low).all()
    assert (twice.high >= alone.db).all()
    with_silence = torch.cat([voices, torch.zeros(1, 2, 8000)], 1)
    assert (
        copies(with_silence)[0].tolist() == torch.block_diag(torch.eye(2), torch.zeros(2, 2)).bool().tolist()
    )
    torch.testing.assert_close(
        network.scores(mixture, with_silence).db[:, :2], network.scores(mixture, voices).db
    )
