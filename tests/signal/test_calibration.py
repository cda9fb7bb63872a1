"""What scores mean: closed forms of normal scores, scipy's optimiser as a second opinion, durations, errors."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from unbabble.base.errors import InputError
from unbabble.signal.calibration import Calibration, Errors, calibrate, probability, trial_seconds
from unbabble.signal.verification import ratio_cost

APART = 2.0
"""Deviations between the means of the two kinds of pairs below."""


def quantiles(count=4000, apart=APART):
    """Scores N(apart, 1) of one person, N(0, 1) of two: their quantiles, so that nothing is left to chance."""
    shares = (np.arange(count) + 0.5) / count
    scores = np.concatenate([norm.ppf(shares) + apart, norm.ppf(shares)])
    return scores, np.arange(2 * count) < count


def test_calibration_finds_the_line_of_normal_scores():
    """Of N(d, 1) and N(0, 1) the log-likelihood ratio is d s - d² / 2; unequal numbers of pairs are made up for."""
    scores, same = quantiles()
    keep = same | (np.arange(len(scores)) % 5 == 0)
    found = calibrate(scores[keep], same[keep])
    assert (found.scale, found.shift) == pytest.approx((APART, -(APART**2) / 2), rel=0.01)
    assert found.probabilities(np.array([APART / 2])) == pytest.approx(0.5, abs=0.01)
    assert found.probabilities(np.array([APART / 2]), prior=0.01) == pytest.approx(0.01, rel=0.02)


def test_calibration_is_scipys_least_cost():
    rng = np.random.default_rng(2)
    same = rng.random(300) < 0.3
    scores = np.where(same, rng.gamma(4, size=300), rng.gamma(2, size=300))
    best = minimize(lambda line: ratio_cost(line[0] * scores + line[1], same), [0.0, 0.0], tol=1e-12)
    found = calibrate(scores, same)
    np.testing.assert_allclose([found.scale, found.shift], best.x, rtol=1e-3)
    assert ratio_cost(found.ratios(scores), same) < ratio_cost(scores, same)


def test_units_of_scores_do_not_change_what_they_mean():
    scores, same = quantiles(300)
    expected = calibrate(scores, same).probabilities(scores)
    np.testing.assert_allclose(
        calibrate(1e4 * scores - 3, same).probabilities(1e4 * scores - 3), expected, rtol=1e-6
    )


def test_pairs_that_a_threshold_parts_are_calibrated_to_finite_ratios():
    found = calibrate(np.array([0.0, 0.1, 0.9, 1.0]), np.array([False, False, True, True]))
    assert np.isfinite([found.scale, found.shift]).all()
    assert (found.probabilities(np.array([0.0, 0.5, 1.0])).round(2) == [0, 0.5, 1]).all()


def test_probabilities_stay_within_bounds():
    found = Calibration(1e6, 0.0).probabilities(np.array([-1.0, 1.0]))
    assert ((found >= 0) & (found <= 1)).all()


def test_pairs_of_one_kind_calibrate_nothing():
    with pytest.raises(InputError, match="pairs of one person and pairs of two"):
        calibrate(np.arange(3.0), np.zeros(3, bool))


def test_a_line_that_depends_on_duration_is_found_for_each_duration():
    """N(d, 1) and N(0, 1), where d grows by the log of the duration, by as much as is said."""
    durations, parts = np.array([1.0, 2.0, 4.0, 8.0]), []
    for seconds in durations:
        apart = 1 + np.log(seconds)
        scores, same = quantiles(2000, apart)
        parts.append((scores - apart / 2, same, np.full(len(scores), seconds)))
    scores, same, seconds = (np.concatenate(each) for each in zip(*parts, strict=True))
    found = calibrate(scores, same, seconds)
    np.testing.assert_allclose(
        [found.scale, found.shift, found.scale_growth, found.shift_growth], [1, 0, 1, 0], atol=0.02
    )
    of_all = calibrate(scores, same)
    assert ratio_cost(found.ratios(scores, seconds), same) < ratio_cost(of_all.ratios(scores), same) - 0.01
    assert found.ratios(np.array(1.0), 1e9) == found.ratios(np.array(1.0), 20.0)
    assert found.ratios(np.array(1.0), 0.0) == found.ratios(np.array(1.0), 0.5)


def test_the_shorter_recording_decides_how_long_a_trial_is():
    assert trial_seconds(1.0, 1e6) == pytest.approx(2.0, abs=1e-4)
    assert trial_seconds(0.0, 5.0) == 0
    np.testing.assert_allclose(trial_seconds(np.array([3.0]), np.array([3.0])), [3.0])


def test_errors_are_counts_by_duration_and_threshold():
    same = np.array([True, True, True, True, False, False])
    short = np.array([-1.0, 0.5, 2.0, 3.0, -2.0, 2.5])
    long = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0])
    errors = Errors.of({3.0: (long, same), 1.5: (short, same)}, (-1.0, 0.0, 1.0))
    assert errors.seconds == (1.5, 3.0)
    assert errors.at(0.0, 1.5) == (0.25, 0.5)
    assert errors.at(-1.0, 2.9) == (0.25, 0.5)
    assert errors.at(1.0, 0.1) == (0.5, 0.5)
    assert errors.at(0.0, 100.0) == (0.0, 0.0)
    assert errors.at(1.0, 3.0) == errors.at(9.0, 3.0) == (1.0, 0.0)
    assert Errors.read(vars(errors)) == errors
    with pytest.raises(ValueError, match="a row for each duration"):
        Errors.read(vars(errors) | {"seconds": [1.5]})


def test_the_prior_is_the_probability_where_nothing_was_learnt():
    np.testing.assert_allclose(probability(np.zeros(2), 0.2), 0.2)
