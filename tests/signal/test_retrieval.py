"""Average precision against its definition."""

import numpy as np
import pytest

from unbabble.signal.retrieval import average_precision, mean_average_precision


def test_equals_the_definition_where_no_scores_are_equal():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, relevant = rng.permutation(30).astype(float), rng.random(30) < 0.3
        relevant[0] = True
        ranked = relevant[np.argsort(-scores)]
        precisions = [ranked[: place + 1].mean() for place in np.flatnonzero(ranked)]
        assert average_precision(scores, relevant) == pytest.approx(np.mean(precisions))


def test_equal_scores_gain_nothing_by_their_order():
    relevant = np.array([True, False, False, False, True])
    assert average_precision(np.ones(5), relevant) == average_precision(np.ones(5), relevant[::-1]) == 0.4


def test_queries_for_which_nothing_is_relevant_do_not_count():
    scores = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert mean_average_precision(scores, np.array([[True, False], [False, False]])) == 1
    assert np.isnan(mean_average_precision(scores, np.zeros((2, 2), bool)))
