"""The contrastive loss against closed forms."""

import math

import pytest
import torch

from unbabble.nn.contrast import LARGEST_SCALE, bounded, contrastive_loss, soft_contrastive_loss, targets


def unit(*shape, seed=0):
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=-1)


def test_equal_vectors_cost_the_logarithm_of_the_batch():
    same = torch.ones(7, 1)
    assert contrastive_loss(same, same, 14.0).tolist() == pytest.approx([math.log(7)] * 7)


def test_perfect_pairs_among_orthogonal_ones():
    """Positives e^s, negatives 1: log(e^s + B - 1) - s."""
    eye = torch.eye(5)
    wanted = math.log(math.exp(3) + 4) - 3
    assert contrastive_loss(eye, eye, 3.0).tolist() == pytest.approx([wanted] * 5)


def test_is_the_mean_of_both_cross_entropies():
    audio, text, scale = unit(6, 4), unit(6, 4, seed=1), 10.0
    logits, numbers = scale * text @ audio.T, torch.arange(6)
    both = [torch.nn.functional.cross_entropy(each, numbers, reduction="none") for each in (logits, logits.T)]
    torch.testing.assert_close(contrastive_loss(audio, text, scale), (both[0] + both[1]) / 2)


def test_a_recording_that_fits_two_equal_texts_is_not_asked_which():
    audio = text = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    loss = contrastive_loss(audio, text, 50.0, same)
    assert loss[:2].tolist() == pytest.approx([math.log(2)] * 2), "no less: each of two gets half"
    torch.testing.assert_close(loss, soft_contrastive_loss(audio, text, 50.0, targets(same), targets(same)))


def test_the_scale_is_bounded_and_what_it_multiplies_is_not():
    raw = torch.tensor(9.0, requires_grad=True)
    assert bounded(raw).item() == pytest.approx(LARGEST_SCALE)
    audio = unit(4, 8).requires_grad_()
    contrastive_loss(audio, unit(4, 8, seed=1), bounded(raw).item()).sum().backward()
    assert (audio.grad.norm(dim=1) > 0).all()
