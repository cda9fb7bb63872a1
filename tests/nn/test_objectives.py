"""Losses of two views against closed forms, and what is kept of an encoder."""

import math

import pytest
import torch

from unbabble.methods.representation.barlow_twins import LAMBDA, redundancy
from unbabble.methods.representation.moco import QUEUE, TEMPERATURE, MoCo
from unbabble.nn.distillation import LOGIT_TEMPERATURE, logits_kept, vectors_kept
from unbabble.nn.objective import nt_xent
from unbabble.nn.spec_augment import WIDEST, augmented


def test_contrast_of_pairs_that_stand_at_right_angles():
    """Each of 2 N vectors has its partner at cosine 1, all others at 0: l = log(1 + (2 N - 2) exp(-1 / tau))."""
    z = torch.eye(4)
    for temperature in (0.5, 2.0):
        expected = math.log(1 + 6 * math.exp(-1 / temperature))
        assert float(nt_xent(z, 3 * z, temperature)) == pytest.approx(expected, rel=1e-5)


def test_redundancy_is_none_where_numbers_agree_and_do_not_repeat():
    """Columns of a Hadamard matrix are uncorrelated: C is the identity. The same column twice: C_12 = C_21 = 1."""
    h = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])
    assert float(redundancy(h, h)) == pytest.approx(0, abs=1e-5)
    twice = h[:, [0, 0]]
    assert float(redundancy(twice, twice)) == pytest.approx(LAMBDA * 2 / 2, rel=1e-3)
    assert float(redundancy(h, -h)) == pytest.approx(4, rel=1e-4)


def test_a_key_among_others_of_the_queue():
    moco = MoCo(4, 0).eval()
    vectors = torch.randn(2, 3, 4)
    query = moco.key(vectors[0]).detach()
    label = torch.zeros(3, dtype=torch.long)
    assert float(moco.loss(vectors, label, query).detach()) == pytest.approx(0)
    moco.remember(query[:1])
    far = (query @ query[0] - 1) / TEMPERATURE
    expected = float((1 + far.exp()).log().mean())
    found = moco.loss(vectors, label, query).detach()
    assert float(found) == pytest.approx(expected, rel=1e-4)
    for _ in range(QUEUE):
        moco.remember(query[1:])
    assert int(moco.filled) == QUEUE
    assert torch.equal(moco.queue[:2], query[1:])


def test_what_is_kept():
    h = torch.eye(3)
    assert float(vectors_kept("mse", h + 2, h)) == pytest.approx(4)
    assert float(vectors_kept("similarity", h, h)) == pytest.approx(math.log(1 + 4 * math.exp(-2)), rel=1e-5)
    y = torch.tensor([[0.0, LOGIT_TEMPERATURE * math.log(3)]])
    assert float(logits_kept(y, y)) == pytest.approx(0, abs=1e-6)
    even = torch.zeros(1, 2)  # against 1/4, 3/4
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert float(logits_kept(even, y)) == pytest.approx(expected, rel=1e-5)


def test_masks_depend_on_the_generator_alone():
    bands = torch.rand(5, 80, 40) + 1
    one, again, other = (augmented(bands, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    masked = one == 0
    assert masked.any()
    assert (masked.all(1).sum(1) <= 2 * WIDEST).all()
    assert (masked.all(2).sum(1) <= 2 * WIDEST).all()
    assert (masked == (masked.all(1, keepdim=True) | masked.all(2, keepdim=True))).all()


def test_a_warp_keeps_both_ends_and_the_order_of_frames():
    ramp = torch.arange(200.0)[None, :, None].expand(3, -1, 40) + 1
    warped = augmented(ramp.clone(), torch.Generator().manual_seed(0))
    for each in warped:
        frames = each.amax(1)
        kept = frames[frames > 0]
        assert (kept.diff() > 0).all()
        assert frames.max() <= 200
