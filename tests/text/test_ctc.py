"""CTC is held to the sum over all paths of small cases, and to PyTorch's loss."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.text.paths import distributions, rows, rows_by_path
from unbabble.base.errors import InputError
from unbabble.text import ctc

FRAMES, TOKENS = 5, 4


def random_row(rng, tokens, length):
    return rng.integers(1, tokens, length).tolist()


@pytest.fixture(params=[0, 1, 2])
def log_probs(request):
    return distributions(np.random.default_rng(request.param), FRAMES, TOKENS)


def test_the_probability_of_a_row_is_the_sum_over_its_paths(log_probs):
    expected = rows(log_probs)
    for length in range(FRAMES + 1):
        for row in product(range(1, TOKENS), repeat=length):
            assert ctc.log_probability(log_probs, row) == pytest.approx(expected.get(row, -np.inf), abs=1e-9)


def test_all_rows_together_have_probability_one(log_probs):
    total = np.logaddexp.reduce([ctc.log_probability(log_probs, row) for row in rows(log_probs)])
    assert total == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradient_are_those_of_torch(seed):
    rng = np.random.default_rng(seed)
    row = random_row(rng, 6, 7)
    logits = torch.from_numpy(rng.normal(0, 2, (30, 6))).requires_grad_()
    log_probs = logits.log_softmax(-1)
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], torch.tensor([row]), torch.tensor([30]), torch.tensor([7]), reduction="sum"
    )
    loss.backward()
    ours = log_probs.detach().numpy()
    assert -ctc.log_probability(ours, row) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(ctc.gradient(ours, row), logits.grad, atol=1e-12)


def test_every_frame_is_in_one_state():
    rng = np.random.default_rng(0)
    row = random_row(rng, 9, 12)
    occupation = ctc.occupation(distributions(rng, 40, 9), row)
    assert occupation.shape == (40, 25)
    np.testing.assert_allclose(occupation.sum(1), 1, atol=1e-9)
    assert (occupation.sum(0)[1::2] > 1 - 1e-9).all()  # every token lasts for one frame at least


def test_forward_and_backward_meet_in_every_frame():
    rng = np.random.default_rng(1)
    log_probs, row = distributions(rng, 20, 5), [1, 1, 4, 2]
    both = ctc.forward(log_probs, row) + ctc.backward(log_probs, row)
    totals = np.logaddexp.reduce(both, axis=1)
    np.testing.assert_allclose(totals, ctc.log_probability(log_probs, row), atol=1e-9)


def test_the_alignment_is_the_best_of_all_paths(log_probs):
    every = rows_by_path(log_probs)
    for row, scores in every.items():
        found = ctc.align(log_probs, row)
        assert found.score == pytest.approx(max(scores), abs=1e-5)
        assert tuple(ctc.collapse(found.path)) == row
        assert found.score == pytest.approx(
            sum(float(log_probs[t, symbol]) for t, symbol in enumerate(found.path)), abs=1e-5
        )
        assert found.score <= ctc.log_probability(log_probs, row) + 1e-9


def test_tokens_of_an_alignment_follow_one_another():
    rng = np.random.default_rng(3)
    row = [2, 2, 1, 3, 3, 3, 1]
    found = ctc.align(distributions(rng, 50, 4), row)
    ends = [0, *(end for _, end in found.spans)]
    for token, before, (start, end) in zip(row, ends, found.spans, strict=False):
        assert before <= start < end
        assert (found.path[start:end] == token).all()


def test_long_rows_are_aligned():
    row = [1, 2] * 150
    log_probs = np.full((450, 3), np.log(0.01), np.float32)
    log_probs[np.arange(450), np.repeat([1, 2] * 150, [1, 2] * 150)] = np.log(0.98)
    found = ctc.align(log_probs, row)
    assert found.spans[-2:] == ((447, 448), (448, 450))
    assert found.score == pytest.approx(450 * np.log(0.98), rel=1e-5)


def test_alignment_ends_where_it_is_best():
    log_probs = np.log(np.array([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9]], np.float32))
    assert ctc.align(log_probs, [1]).spans == ((0, 3),)
    assert ctc.align(log_probs[:, ::-1], [1]).spans in [((t, t + 1),) for t in range(3)]


@pytest.mark.parametrize(("row", "frames"), [([1, 1], 2), ([1, 2, 3], 2), ([1], 0)])
def test_what_does_not_fit_is_said(row, frames):
    log_probs = distributions(np.random.default_rng(0), frames, 4) if frames else np.zeros((0, 4), np.float32)
    assert ctc.log_probability(log_probs, row) == -np.inf
    assert ctc.infeasible([row, []], [frames, frames]) == 1
    for function in (ctc.align, ctc.occupation, ctc.gradient):
        with pytest.raises(InputError, match="do not fit"):
            function(log_probs, row)


def test_nothing_in_no_frames():
    assert ctc.log_probability(np.zeros((0, 4), np.float32), []) == 0


def test_what_is_impossible_in_a_frame():
    log_probs = distributions(np.random.default_rng(0), 4, 3)
    log_probs[1, 2] = log_probs[3, 0] = -np.inf
    expected = rows(log_probs)
    for row in expected:
        assert ctc.log_probability(log_probs, row) == pytest.approx(expected[row], abs=1e-9)
    log_probs[:, 1] = -np.inf
    with pytest.raises(InputError):
        ctc.align(log_probs, [1])


def expand(log_probs, depth):
    """Of all rows up to a length: the row, log ψ by the recursion, and log p."""
    scorer = ctc.PrefixScores(log_probs)
    prefixes, names = scorer.start(), [()]
    for _ in range(depth + 1):
        scores = scorer.scores(prefixes)
        yield from zip(names, prefixes.score, scores, strict=True)
        hypotheses, tokens = np.nonzero(scores[:, 1:] > -np.inf)
        tokens = tokens + 1
        names = [(*names[h], int(c)) for h, c in zip(hypotheses, tokens, strict=True)]
        prefixes = scorer.extend(prefixes, hypotheses, tokens, scores[hypotheses, tokens])


@pytest.mark.parametrize("impossible", [False, True])
def test_prefix_scores_are_sums_over_all_paths(log_probs, impossible):
    if impossible:
        log_probs[2, 1] = log_probs[3, 0] = log_probs[4, 2] = -np.inf
        log_probs -= np.logaddexp.reduce(log_probs, axis=1, keepdims=True)
    every = rows(log_probs)
    for row, score, scores in expand(log_probs, FRAMES - 1):
        begins = [p for other, p in every.items() if other[: len(row)] == row]
        assert score == pytest.approx(np.logaddexp.reduce(begins), abs=1e-6)
        assert scores[0] == pytest.approx(every.get(row, -np.inf), abs=1e-6)
        for token in range(1, TOKENS):
            longer = (*row, token)
            begins = [p for other, p in every.items() if other[: len(longer)] == longer]
            assert scores[token] == pytest.approx(np.logaddexp.reduce(begins, initial=-np.inf), abs=1e-6)


def test_a_row_goes_on_or_ends():
    log_probs = distributions(np.random.default_rng(4), 300, 12, 0.3)
    scorer, prefixes = ctc.PrefixScores(log_probs), None
    for row in ([], [3], [3, 3], [3, 3, 7], [3, 3, 7, 1]):
        if prefixes is None:
            prefixes = scorer.start()
        else:
            token = np.array(row[-1:])
            prefixes = scorer.extend(prefixes, np.array([0]), token, scorer.scores(prefixes)[[0], token])
        scores = scorer.scores(prefixes)
        assert np.logaddexp.reduce(scores[0]) == pytest.approx(prefixes.score[0], abs=1e-5)
        assert scores[0, 0] == pytest.approx(ctc.log_probability(log_probs, row), rel=1e-6)


def test_prefixes_of_no_frames():
    scorer = ctc.PrefixScores(np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(scorer.scores(scorer.start()), [[0, -np.inf, -np.inf]])


def test_more_tokens_than_a_byte_counts_are_aligned():
    row = [1, 2] * 100
    log_probs = np.log(np.full((500, 3), 1 / 3))
    alignment = ctc.align(log_probs, row)
    assert ctc.collapse(alignment.path) == row


@pytest.mark.parametrize(("frames", "length"), [(0, 2), (1, 1), (2, 3), (12, 4)])
def test_rows_of_one_length_at_once_are_as_probable_as_one_by_one(frames, length):
    rng = np.random.default_rng(frames)
    log_probs = np.log(rng.dirichlet(np.ones(4), frames)).reshape(frames, 4)
    rows = rng.integers(1, 4, (20, length))  # with repeats
    expected = [ctc.log_probability(log_probs, row.tolist()) for row in rows]
    np.testing.assert_allclose(ctc.log_probabilities(log_probs, rows), expected, atol=1e-9)
