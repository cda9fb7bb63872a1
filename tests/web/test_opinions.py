"""Means, intervals and correlations, against closed forms, SciPy and worked examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unbabble.web.rate.opinions import (
    binomial_interval,
    correlation,
    listener_interval,
    opinion,
    preference,
    t_interval,
)
from unbabble.web.rate.scatter import scatter


def test_the_t_interval_is_the_textbook_s():
    # mean 3, s = sqrt(2.5), n = 5, t(.975, 4) = 2.776: 3 +- 1.963
    low, high = t_interval([1, 2, 3, 4, 5])
    assert (low, high) == (pytest.approx(1.037, abs=1e-3), pytest.approx(4.963, abs=1e-3))
    assert t_interval([3]) is None


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=30))
def test_the_t_interval_is_scipy_s(values):
    low, high = t_interval(values)
    if np.ptp(values) == 0:
        assert low == high == values[0]
        return
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_of_listeners_who_all_say_one_thing_the_bootstrap_sees_their_number_and_the_t_interval_that_of_votes():
    votes = {str(who): [who % 2 * 4 + 1] * 50 for who in range(10)}
    found = opinion("a", votes)
    assert (found.mean, found.median, found.votes, found.listeners) == (3.0, 3.0, 500, 10)
    by_votes = found.by_votes[1] - found.by_votes[0]
    by_listeners = found.by_listeners[1] - found.by_listeners[0]
    # of ten coin tosses between 1 and 5, the mean has a standard deviation of 2 / sqrt(10) = .63
    assert by_listeners == pytest.approx(2 * 1.96 * 0.63, rel=0.15)
    assert by_votes < by_listeners / 4


def test_a_bootstrap_over_equal_listeners_has_no_width_and_one_listener_has_none():
    assert listener_interval([[1, 5], [1, 5], [5, 1]]) == (3.0, 3.0)
    assert listener_interval([[1, 2, 3]]) is None
    assert listener_interval([[1], [5]], seed=3) == listener_interval([[1], [5]], seed=3)


@pytest.mark.parametrize(
    ("wins", "trials", "low", "high"),
    # published tables: 0 of 10 is 1 - .025^(1/10); 5 of 10; all of 10
    [(0, 10, 0.0, 1 - 0.025**0.1), (5, 10, 0.1871, 0.8129), (10, 10, 0.025**0.1, 1.0)],
)
def test_the_binomial_interval_is_exact(wins, trials, low, high):
    assert binomial_interval(wins, trials) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_binomial_interval_is_scipy_s(case):
    wins, trials = case
    expected = stats.binomtest(wins, trials).proportion_ci(0.95, method="exact")
    assert binomial_interval(wins, trials) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_a_preference_leaves_out_who_heard_no_difference():
    found = preference("a", "b", 8, 2, 5)
    assert (found.share, found.ties) == (0.8, 5)
    assert found.interval == (pytest.approx(0.4439, abs=1e-4), pytest.approx(0.9748, abs=1e-4))
    assert found.p_value == pytest.approx(2 * (45 + 10 + 1) / 1024)
    nothing = preference("a", "b", 0, 0, 5)
    assert (nothing.share, nothing.interval, nothing.p_value, nothing.ties) == (None, None, None, 5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=4, max_size=15))
def test_correlations_are_scipy_s(points):
    x, y = zip(*points, strict=True)
    found = correlation(x, y, draws=20)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_intervals_of_a_correlation_hold_it_and_shrink_with_points():
    random = np.random.default_rng(0)

    def of(count):
        x = random.standard_normal(count)
        return correlation(x, x + random.standard_normal(count))

    few, many = of(15), of(600)
    for found in (few, many):
        for value, (low, high) in (
            (found.pearson, found.pearson_interval),
            (found.spearman, found.spearman_interval),
        ):
            assert -1 <= low < value < high <= 1
    assert np.ptp(many.pearson_interval) < np.ptp(few.pearson_interval) / 3
    assert many.pearson_interval[0] < np.sqrt(0.5) < many.pearson_interval[1]
    assert correlation([1, 2, 3], [1, 2, 3]) is None


def test_a_scatter_plot_escapes_names_and_has_no_style_or_script():
    points = [
        {"system": "<script>", "item": 'a"b', "source": 1, "blind_db": 3.0, "opinion": 2.0},
        {"system": "b", "item": "c", "source": 2, "blind_db": 9.5, "opinion": 4.5},
    ]
    picture = scatter(points, (1, 5), "dB & more", "opinion", "a < b")
    from xml.etree import ElementTree

    root = ElementTree.fromstring(picture)
    told = [each.text for each in root.iter("title")]
    assert told[0].startswith('<script>, a"b, voice 1: 3.0 dB')
    assert len(told) == 2
    assert "style" not in picture
    assert not list(root.iter("script"))
    circle, square = (each.get("transform") for each in root.iter("g"))
    height = [float(each.split()[1].rstrip(")")) for each in (circle, square)]
    assert height[0] > height[1], "a better opinion is higher"
