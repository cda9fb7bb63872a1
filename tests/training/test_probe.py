"""The linear classifier by which encoders are measured."""

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.training.probe import LinearProbe, share_of_each


def test_it_names_what_lies_apart_and_is_the_same_each_time():
    rng = np.random.default_rng(0)
    label = np.repeat([2, 5, 7], 30)
    vectors = rng.standard_normal((90, 4)) + 8 * np.eye(4)[[0, 1, 2]][np.repeat([0, 1, 2], 30)] - 1000
    probe = LinearProbe(vectors, label)
    assert (probe(vectors) == label).all()
    again = LinearProbe(vectors, label)
    assert np.array_equal(probe.layer.weight.detach(), again.layer.weight.detach())


def test_vectors_that_say_nothing_are_guessed():
    rng = np.random.default_rng(0)
    label = rng.integers(4, size=400)
    right = LinearProbe(rng.standard_normal((400, 3)), label)(rng.standard_normal((400, 3))) == label
    assert 0.15 < right.mean() < 0.35


def test_one_clip_per_class_is_enough_and_one_class_is_not():
    vectors = np.eye(3)
    assert LinearProbe(vectors, np.arange(3))(vectors).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="two at least"):
        LinearProbe(vectors, np.zeros(3, int))


def test_a_share_of_each_class():
    label = np.repeat([0, 1, 2], [20, 40, 3])
    chosen = share_of_each(label, 0.1, 0)
    assert np.bincount(label[chosen]).tolist() == [2, 4, 1]
    assert np.array_equal(chosen, share_of_each(label, 0.1, 0))
    assert not np.array_equal(chosen, share_of_each(label, 0.1, 1))
