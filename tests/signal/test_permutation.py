"""The assignment of estimates to references."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.signal.metrics import si_sdr, snr
from unbabble.signal.permutation import NONE, align, best_permutation

INF, NAN = float("inf"), float("nan")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def total(scores, order):
    return sum(scores[e, r].item() for r, e in enumerate(order.tolist()) if e != NONE)


@settings(max_examples=80, deadline=None)
@given(estimates=st.integers(1, 6), references=st.integers(1, 6), seed=st.integers(0, 1000))
def test_exhaustive_and_hungarian_agree(estimates, references, seed):
    scores = 20 * noise(3, estimates, references, seed=seed)
    exhaustive = best_permutation(scores, "exhaustive")
    assert torch.equal(best_permutation(scores, "hungarian"), exhaustive)
    assert torch.equal(best_permutation(scores), exhaustive)
    for order in exhaustive:
        used = order[order != NONE]
        assert len(used) == len(set(used.tolist())) == min(estimates, references)


@pytest.mark.parametrize("method", ["exhaustive", "hungarian"])
def test_the_sum_decides_not_the_best_pair(method):
    scores = torch.tensor([[10.0, 9.0], [8.0, 0.0]])
    assert best_permutation(scores, method).tolist() == [1, 0]


@pytest.mark.parametrize("method", ["exhaustive", "hungarian"])
def test_infinite_and_undefined_scores(method):
    cases = [
        ([[INF, 100.0], [100.0, -50.0]], [0, 1]),  # one perfect pair outweighs 200 dB
        ([[5.0, -INF], [-INF, -90.0]], [0, 1]),
        ([[NAN, 3.0], [NAN, 9.0]], [0, 1]),  # a silent reference takes what is left
        ([[NAN, 3.0]], [NONE, 0]),
        ([[-INF, INF], [INF, -INF]], [1, 0]),
        ([[-INF, -INF], [-INF, -INF]], [0, 1]),
        ([[NAN]], [0]),
    ]
    for scores, order in cases:
        found = best_permutation(torch.tensor(scores), method)
        if order == [0, 1] and torch.tensor(scores).isneginf().all():
            assert sorted(found.tolist()) == order  # any
        else:
            assert found.tolist() == order, scores


def test_equal_scores_keep_the_order():
    assert best_permutation(torch.zeros(2, 4, 4)).tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, 0)])
def test_no_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        best_permutation(torch.zeros(shape))


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(5)), extra=st.integers(0, 2))
def test_align_undoes_any_order(order, extra):
    references = noise(2, 5, 200)
    estimates = torch.cat([references + 0.1 * noise(2, 5, 200, seed=1), noise(2, extra, 200, seed=2)], 1)
    shuffled = estimates[:, [*order, *range(5, 5 + extra)]]
    aligned = align(shuffled, references)
    assert torch.equal(aligned.estimates, estimates[:, :5])
    assert torch.equal(aligned.scores, si_sdr(estimates[:, :5], references))
    assert torch.equal(torch.take_along_dim(shuffled, aligned.order[..., None], 1), aligned.estimates)


def test_fewer_estimates_than_references():
    references = noise(3, 200)
    aligned = align(references[[2, 0]] + 0.1 * noise(2, 200, seed=1), references)
    assert aligned.order.tolist() == [1, NONE, 0]
    assert not aligned.estimates[1].any()
    assert aligned.scores[1] == -INF
    assert (aligned.scores[[0, 2]] > 15).all()


def test_align_takes_any_metric_and_is_differentiable():
    references = noise(2, 2, 100)
    estimates = (references.flip(1) + 0.3 * noise(2, 2, 100, seed=1)).requires_grad_()
    aligned = align(estimates, references, metric=snr)
    assert aligned.order.tolist() == [[1, 0]] * 2
    aligned.scores.mean().backward()
    assert estimates.grad is not None
    assert (estimates.grad.abs().sum(-1) > 0).all()
