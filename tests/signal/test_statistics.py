"""The bootstrap against closed forms, and against its own definition drawn one at a time."""

import numpy as np
import pytest

from unbabble.signal.statistics import bootstrap, interval, ratio, resamples


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    value, low, high = bootstrap(values, number=20000)
    half = 1.96 * values.std() / 20  # the bootstrap's variance is that of the sample, over n
    assert value == values.mean()
    assert (value - low, high - value) == pytest.approx((half, half), rel=0.04)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_draws_are_those_of_one_sample_at_a_time(statistic):
    values, rng = np.random.default_rng(1).normal(size=31), np.random.default_rng(5)
    one_by_one = [statistic(values[rng.integers(31, size=31)]) for _ in range(2000)]
    assert bootstrap(values, statistic, seed=5)[1:] == tuple(np.percentile(one_by_one, [2.5, 97.5]))


def test_a_generator_goes_on_where_it_was():
    rng = np.random.default_rng(0)
    assert not np.array_equal(resamples(9, rng), resamples(9, rng))
    assert np.array_equal(resamples(9, 0), resamples(9, np.random.default_rng(0)))


def test_one_value_is_its_own_interval_and_none_has_no_figure():
    assert bootstrap([2.5]) == (2.5, 2.5, 2.5)
    assert np.isnan(bootstrap([1.0, np.nan])).all()
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])


def test_draws_without_a_value_are_left_out_of_an_interval():
    assert interval(np.array([np.nan, *range(101)])) == pytest.approx((2.5, 97.5))


def test_a_ratio_is_of_sums_and_its_draws_take_both_of_an_item():
    generator = np.random.default_rng(3)
    words = generator.integers(1, 30, size=40)
    errors = generator.binomial(words, 0.2)
    value, low, high = ratio(errors, words, seed=4)
    assert value == errors.sum() / words.sum()
    items = resamples(40, seed=4)
    expected = np.percentile([errors[draw].sum() / words[draw].sum() for draw in items], [2.5, 97.5])
    np.testing.assert_allclose((low, high), expected, rtol=1e-12)
    assert ratio(words, 2 * words) == (0.5, 0.5, 0.5), "of proportional parts nothing is unsure"
    assert ratio([3, 0], [0, 4])[0] == 0.75, "an item without words has errors all the same"
    with pytest.raises(ValueError, match="at least one"):
        ratio([], [])
