"""Average accuracy and forgetting by their definition."""

import numpy as np
import pytest

from unbabble.signal.retention import average_accuracy, forgetting


def test_two_groups():
    table = np.array([[0.8, 0.0], [0.5, 0.9]])
    assert average_accuracy(table) == pytest.approx(0.7)
    assert forgetting(table) == pytest.approx(0.3)


def test_rows_before_a_group_was_learnt_count():
    """The best of all rows is what can be lost: a probe of all classes knows groups that are still to come."""
    table = np.array([[0.5, 0.9, 0.1], [0.4, 0.6, 0.2], [0.6, 0.5, 0.3]])
    assert forgetting(table) == pytest.approx(np.mean([0.0, 0.4]))


def test_of_one_group_nothing_is_forgotten():
    with pytest.raises(ValueError, match="one group"):
        forgetting(np.array([[1.0]]))
