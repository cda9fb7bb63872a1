"""Clusters of vectors: joined by what is lost, as many as asked, whatever the order and the size of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.signal import clustering
from unbabble.signal.clustering import cluster, costs, joined, moved


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def people(counts, spread=0.4, seed=0, dimension=32):
    """Vectors of several people, mixed up, and whose they are."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    noise = unit(rng.normal(size=(len(who), dimension)))
    return unit(centres[who] + spread * noise), who


def same_partition(one, other):
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


def likeness(vectors, labels):
    """The sum of the cosines of all vectors with the centroids of their clusters."""
    return sum(np.linalg.norm(vectors[labels == label].sum(0)) for label in set(labels))


def test_the_cost_of_joining_is_the_likeness_that_is_lost():
    vectors = unit(np.random.default_rng(0).normal(size=(30, 8)))
    labels = np.repeat([0, 1, 2], 10)
    cost = costs(np.stack([vectors[labels == label].sum(0) for label in range(3)]))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        together = np.where(labels == other, one, labels)
        lost = likeness(vectors, labels) - likeness(vectors, together)
        assert cost[one, other] == pytest.approx(lost) == pytest.approx(cost[other, one])
    assert (cost.diagonal() == np.inf).all()


def test_the_two_that_cost_least_are_joined_each_time():
    sums = np.random.default_rng(1).normal(size=(20, 6))
    expected = sums.copy()
    for left in range(19, 0, -1):
        one, other = sorted(np.unravel_index(costs(expected).argmin(), (left + 1,) * 2))
        expected[one] += expected[other]
        expected = np.delete(expected, other, 0)
        found = joined(sums, left)
        np.testing.assert_allclose(np.sort(found, 0), np.sort(expected, 0))


def test_vectors_move_to_the_likest_and_no_cluster_is_lost():
    vectors, who = people([40, 30, 20])
    wrong = np.where(np.random.default_rng(2).random(len(who)) < 0.3, 0, who)
    labels, sums = moved(vectors, np.stack([vectors[wrong == each].sum(0) for each in range(3)]))
    np.testing.assert_array_equal(labels, who)
    for each in range(3):
        np.testing.assert_allclose(sums[each], vectors[who == each].sum(0))
    same = np.repeat(vectors[:1], 5, 0)
    assert set(moved(same, same[:3])[0]) == {0, 1, 2}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(1, 5), st.booleans())
def test_as_many_as_asked(seed, count, wanted, few):
    vectors = unit(np.random.default_rng(seed).normal(size=(count, 6)))
    with pytest.MonkeyPatch.context() as patch:
        if few:
            patch.setattr(clustering, "FEW", 2)
        labels, centroids = cluster(vectors, threshold=0.2, evidence=3, fewest=wanted, most=wanted)
    assert len(centroids) == wanted
    assert set(labels) == set(range(wanted))
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all()
    for label, centroid in enumerate(centroids):
        np.testing.assert_allclose(centroid, unit(vectors[labels == label].sum(0)), atol=1e-9)


@pytest.mark.parametrize(("block", "left"), [(400, 100), (12, 6)])
def test_people_are_told_apart_largest_first_whatever_the_order(block, left, monkeypatch):
    monkeypatch.setattr(clustering, "BLOCK", block)
    monkeypatch.setattr(clustering, "LEFT", left)
    monkeypatch.setattr(clustering, "FEW", 10)
    vectors, who = people([90, 50, 30])
    labels, centroids = cluster(vectors, threshold=0.5, evidence=3)
    assert len(centroids) == 3
    assert same_partition(labels, who)
    assert np.bincount(labels).tolist() == [90, 50, 30]
    order = np.random.default_rng(1).permutation(len(vectors))
    again = cluster(vectors[order], threshold=0.5, evidence=3).labels
    np.testing.assert_array_equal(again, labels[order])


def test_a_few_outliers_are_nobody():
    vectors, who = people([60, 40, 2])
    labels, centroids = cluster(vectors, threshold=0.5, evidence=3)
    assert len(centroids) == 2
    assert same_partition(labels[who < 2], who[who < 2])
    # also where two are asked for, and likeness alone would make none: outliers are not one of them
    asked = cluster(vectors, threshold=-1, evidence=3, fewest=2, most=2).labels
    assert same_partition(asked[who < 2], who[who < 2])


def test_one_person_is_one():
    vectors, _ = people([50])
    assert len(cluster(vectors, threshold=0.5).centroids) == 1
    assert len(cluster(vectors[:1], threshold=0.5, evidence=3).centroids) == 1
    labels, centroids = cluster(np.zeros((0, 4)), threshold=0.5)
    assert len(labels) == len(centroids) == 0
