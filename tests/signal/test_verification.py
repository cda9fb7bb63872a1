"""Verification: closed forms of normal scores, and invariances."""

import numpy as np
import pytest
from scipy.stats import norm

from unbabble.signal.verification import (
    Application,
    Cohort,
    actual_cost,
    bootstrap_by_speaker,
    equal_error_rate,
    error_rates,
    least_cost,
    ratio_cost,
    symmetric_norm,
)

APART = 2.0
"""Deviations between the means of the two kinds of pairs below."""


def quantiles(count=4000, apart=APART):
    """Scores N(apart, 1) of one person, N(0, 1) of two: their quantiles, so that nothing is left to chance."""
    shares = (np.arange(count) + 0.5) / count
    scores = np.concatenate([norm.ppf(shares) + apart, norm.ppf(shares)])
    return scores, np.arange(2 * count) < count


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 4.0])
def test_normal_scores_have_the_equal_error_rate_of_their_distance(apart):
    assert equal_error_rate(*quantiles(apart=apart)) == pytest.approx(norm.cdf(-apart / 2), abs=3e-4)


@pytest.mark.parametrize("application", [Application(), Application(0.05), Application(0.5, 1.0, 10.0)])
def test_normal_scores_have_their_least_cost(application):
    """The best threshold is where the density ratio meets the odds; log-likelihood ratio d (s - d / 2)."""
    threshold = application.threshold / APART + APART / 2
    expected = application.cost(norm.cdf(threshold - APART), norm.sf(threshold))
    scores, same = quantiles(40000)
    assert least_cost(scores, same, application) == pytest.approx(expected, abs=3e-3)
    ratios = APART * (scores - APART / 2)
    assert actual_cost(ratios, same, application) == pytest.approx(expected, abs=3e-3)


def test_constant_scores_cost_one_and_are_wrong_half_of_the_time():
    same = np.arange(10) < 4
    assert least_cost(np.zeros(10), same, Application(0.01)) == 1
    assert equal_error_rate(np.zeros(10), same) == 0.5
    assert ratio_cost(np.zeros(10), same) == 1


def test_errors_at_each_threshold_are_counts():
    rng = np.random.default_rng(0)
    scores, same = rng.integers(6, size=60) / 2, rng.random(60) < 0.4
    rates = error_rates(scores, same)
    for number, threshold in enumerate(rates.thresholds):
        above = scores > threshold
        assert rates.refused[number] == pytest.approx((~above)[same].mean())
        assert rates.accepted[number] == pytest.approx(above[~same].mean())


def test_rising_maps_change_nothing():
    scores, same = quantiles(200)
    for mapped in (3 * scores - 7, np.exp(scores), scores**3):
        assert equal_error_rate(mapped, same) == equal_error_rate(scores, same)
        assert least_cost(mapped, same, Application()) == least_cost(scores, same, Application())


def test_weights_are_repeated_trials():
    rng = np.random.default_rng(1)
    scores, same, times = rng.standard_normal(40), rng.random(40) < 0.5, rng.integers(0, 4, 40)
    repeated = np.repeat(scores, times), np.repeat(same, times)
    assert equal_error_rate(scores, same, times) == pytest.approx(equal_error_rate(*repeated))
    assert least_cost(scores, same, Application(), times) == pytest.approx(
        least_cost(*repeated, Application())
    )


def test_one_kind_of_pairs_has_no_error_rate():
    for figure in (equal_error_rate, ratio_cost):
        with pytest.raises(ValueError, match="pairs of one person and pairs of two"):
            figure(np.arange(3.0), np.ones(3, bool))
    with pytest.raises(ValueError, match="prior"):
        Application(prior=1.0)


def cohort_scores(recordings=6, others=40):
    return np.random.default_rng(3).standard_normal((recordings, others))


def test_symmetric_norm_is_its_formula():
    scores, one, other, cohort = np.array([1.5, -0.2]), np.array([0, 3]), np.array([2, 1]), cohort_scores()
    found = symmetric_norm(scores, one, other, Cohort.of(cohort, top=10))
    for trial in range(2):
        parts = []
        for recording in (one[trial], other[trial]):
            best = sorted(cohort[recording])[-10:]
            parts.append((scores[trial] - np.mean(best)) / np.std(best))
        assert found[trial] == pytest.approx(sum(parts) / 2)


def test_symmetric_norm_does_not_know_units():
    scores, one, other, cohort = np.array([1.5, -0.2]), np.array([0, 3]), np.array([2, 1]), cohort_scores()
    expected = symmetric_norm(scores, one, other, Cohort.of(cohort, 10))
    found = symmetric_norm(5 * scores - 2, one, other, Cohort.of(5 * cohort - 2, 10))
    np.testing.assert_allclose(found, expected)


def test_a_cohort_of_the_highest_of_all_is_all():
    cohort = cohort_scores()
    for one, other in zip(Cohort.of(cohort, 40), Cohort.of(cohort), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="two others"):
        Cohort.of(cohort, 1)


def test_what_makes_a_recording_like_everybody_is_taken_off_on_its_own_side():
    """A height that all scores of a recording have is gone from its half of the norm, and stays in the other half."""
    one, other, cohort = np.array([0, 3]), np.array([2, 1]), cohort_scores()
    scores, heights = np.array([1.5, -0.2]), np.array([3.0, -1.0, 0.5, 2.0, 0.0, 0.0])
    plain = Cohort.of(cohort, 10)
    high = Cohort.of(cohort + heights[:, None], 10)
    found = symmetric_norm(scores + heights[one] + heights[other], one, other, high)
    left = (heights[other] / plain.deviation[one] + heights[one] / plain.deviation[other]) / 2
    np.testing.assert_allclose(found, symmetric_norm(scores, one, other, plain) + left)


def test_speakers_are_drawn_not_trials():
    rng = np.random.default_rng(5)
    speaker = np.repeat(np.arange(12), 4)
    quality = rng.standard_normal(12)
    one, other = np.triu_indices(48, 1)
    same = speaker[one] == speaker[other]
    scores = same * (1 + quality[speaker[one]]) + 0.5 * rng.standard_normal(len(one))
    found = bootstrap_by_speaker(equal_error_rate, scores, speaker[one], speaker[other], number=200)
    assert found.value == equal_error_rate(scores, same)
    assert found.low < found.value < found.high
    assert found == bootstrap_by_speaker(equal_error_rate, scores, speaker[one], speaker[other], number=200)
    named = np.array([f"speaker {number}" for number in speaker])
    assert (
        found.value
        == bootstrap_by_speaker(equal_error_rate, scores, named[one], named[other], number=5).value
    )


def test_a_draw_weighs_pairs_by_how_often_their_speakers_are_drawn():
    speaker = np.repeat(np.arange(3), 2)
    one, other = np.triu_indices(6, 1)
    seen = []

    def remember(scores, same, weights):
        seen.append((same, weights))
        return 0.0

    bootstrap_by_speaker(remember, np.zeros(len(one)), speaker[one], speaker[other], number=20)
    for same, weights in seen[1:]:
        times = {name: int(weights[same & (speaker[one] == name)][0]) for name in range(3)}
        assert sum(times.values()) == 3
        for a, b, alike, weight in zip(speaker[one], speaker[other], same, weights, strict=True):
            assert weight == (times[a] if alike else times[a] * times[b])
