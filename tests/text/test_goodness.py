"""Goodness of pronunciation: against rows that are spelled out, and for what was and was not said."""

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.text.ctc import log_probability
from unbabble.text.goodness import goodness, replaced


def drawn(frames: int, tokens: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(frames, tokens))
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


@pytest.mark.parametrize("row", [[1], [1, 2], [2, 2, 1], [3, 1, 3, 3]])
def test_each_place_with_each_token_is_the_row_spelled_out(row):
    log_probs = drawn(9, 4, seed=len(row))
    found = replaced(log_probs, row)
    for place in range(len(row)):
        for token in (1, 2, 3):
            spelled = [*row[:place], token, *row[place + 1 :]]
            assert found[place, token] == pytest.approx(log_probability(log_probs, spelled), abs=1e-9)


def said(*tokens: int, tokens_in_all: int = 5) -> np.ndarray:
    """Three frames of each token, nearly certain, and a blank between two."""
    path = [symbol for token in tokens for symbol in (token, token, token, 0)]
    probs = np.full((len(path), tokens_in_all), 0.002)
    probs[np.arange(len(path)), path] = 1 - 0.002 * (tokens_in_all - 1)
    return np.log(probs)


def test_what_was_said_is_good_and_what_was_said_otherwise_is_not():
    good = goodness(said(1, 2, 3), [1, 2, 3])
    assert (good > 0.95).all()
    other = goodness(said(1, 4, 3), [1, 2, 3])
    assert other[1] < 0.05
    assert (other[[0, 2]] > 0.9).all()


def test_a_phone_that_was_not_said_gets_no_good_score():
    found = goodness(said(1, 3), [1, 2, 3])
    assert found[1] < 0.05
    assert (found[[0, 2]] > 0.5).all()


def test_a_recording_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="too short for the prompt"):
        goodness(drawn(2, 4, seed=0), [1, 2, 3])
