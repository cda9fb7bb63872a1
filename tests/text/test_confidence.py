"""Calibrated confidences are as often right as they say."""

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.text.confidence import Bin, Calibration, calibrate, calibration_error, reliability
from unbabble.text.hypothesis import Word

TRUE = Calibration(bias=1.0, posterior=0.4, evidence=0.8, length=0.3)


def drawn(count: int, seed: int) -> tuple[list[Word], np.ndarray]:
    """Words that are right as often as ``TRUE`` says."""
    rng = np.random.default_rng(seed)
    words = [
        Word("word", (1,) * int(length), 0, 1, float(posterior), float(evidence), float(evidence))
        for length, posterior, evidence in zip(
            rng.integers(1, 9, count), rng.beta(2, 1, count), -rng.exponential(1, count), strict=True
        )
    ]
    return words, rng.random(count) < [TRUE(word) for word in words]


def test_calibration_finds_the_weights_by_which_words_were_drawn():
    found = calibrate(*drawn(20_000, 0))
    for name in ("bias", "posterior", "evidence", "length"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=0.1)


def test_other_words_are_right_as_often_as_their_confidence_says():
    calibration = calibrate(*drawn(5_000, 1))
    words, right = drawn(20_000, 2)
    confidences = np.array([calibration(word) for word in words])
    assert calibration_error(reliability(confidences, right)) < 0.03
    raw = np.array([word.posterior for word in words])
    assert calibration_error(reliability(raw, right)) > 0.1


def test_a_figure_that_parts_right_from_wrong_has_a_bounded_weight():
    words = [Word("word", (1,), 0, 1, posterior, -0.1, -0.1) for posterior in [0.9] * 20 + [0.1] * 20]
    found = calibrate(words, [True] * 20 + [False] * 20)
    assert np.isfinite([found.bias, found.posterior, found.evidence, found.length]).all()
    assert found(words[0]) > 0.95
    assert found(words[-1]) < 0.05


@pytest.mark.parametrize("posterior", [0.0, 1.0])
@pytest.mark.parametrize("evidence", [0.0, -1000.0])
def test_confidences_are_probabilities(posterior, evidence):
    assert 0 <= TRUE(Word("word", (1,), 0, 1, posterior, evidence, evidence)) <= 1


@pytest.mark.parametrize("right", [[], [True, True], [False, False]])
def test_words_of_one_kind_calibrate_nothing(right):
    with pytest.raises(InputError, match="right and"):
        calibrate(drawn(len(right), 0)[0], right)


def test_the_error_of_a_calibration_is_weighed_by_words():
    assert calibration_error([Bin(3, 0.9, 0.7), Bin(1, 0.1, 0.5)]) == pytest.approx((3 * 0.2 + 0.4) / 4)
