"""Clusters of vectors: as scipy's where nothing is forbidden, as many as asked, never what is known to be different."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from unbabble.signal import clustering
from unbabble.signal.clustering import NONE, assigned, cluster, merges


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


@pytest.mark.parametrize("count", [1, 2, 30, 200])
def test_steps_are_those_of_scipy(count):
    vectors = unit(np.random.default_rng(count).normal(size=(count, 8)))
    steps = merges(vectors, np.ones(count, int), np.zeros((count, count), bool))
    assert len(steps) == count - 1
    if count > 1:
        tree = linkage(vectors, "average", metric="cosine")
        np.testing.assert_allclose([1 - value for *_, value in steps], tree[:, 2], atol=1e-12)
        for threshold in np.quantile(1 - tree[:, 2], [0.1, 0.5, 0.9]):
            expected = fcluster(tree, 1 - threshold + 1e-12, "distance")
            assert same_partition(
                expected, _labels(count, [each for each in steps if each[2] >= threshold - 1e-12])
            )


def _labels(count, steps):
    labels = np.arange(count)
    for one, other, _ in steps:
        labels[labels == other] = one
    return labels


def test_clusters_of_clusters_are_clusters_of_their_vectors():
    """Steps from sums and sizes go on where those from vectors were."""
    vectors = unit(np.random.default_rng(3).normal(size=(60, 8)))
    steps = merges(vectors, np.ones(60, int), np.zeros((60, 60), bool))
    labels = _labels(60, steps[:35])
    names = np.unique(labels)
    sums = np.stack([vectors[labels == name].sum(0) for name in names])
    sizes = np.array([(labels == name).sum() for name in names])
    rest = merges(sums, sizes, np.zeros((25, 25), bool))
    np.testing.assert_allclose([step[2] for step in rest], [step[2] for step in steps[35:]], atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 4), st.integers(0, 3), st.booleans())
def test_what_is_different_never_comes_together(seed, moments, voices, more, small_blocks):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(moments), voices)
    groups[rng.random(len(groups)) < 0.3] = NONE
    vectors = unit(rng.normal(size=(len(groups), 6)))
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(clustering, "BLOCK", 16)
        labels, centroids = cluster(vectors, threshold=0.2, most=voices + more, groups=groups)
    assert len(centroids) <= voices + more
    for group in set(groups) - {NONE}:
        own = labels[groups == group]
        assert len(set(own)) == len(own)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(1, 5), st.integers(1, 8))
def test_as_many_as_asked(seed, count, wanted, least):
    vectors = unit(np.random.default_rng(seed).normal(size=(count, 6)))
    labels, centroids = cluster(vectors, threshold=0.2, fewest=wanted, most=wanted, least=least)
    assert len(centroids) == wanted
    assert labels.min() >= 0
    assert labels.max() < wanted


@pytest.mark.parametrize("block", [800, 40])
def test_people_are_told_apart_largest_first_whatever_the_order(block, monkeypatch):
    monkeypatch.setattr(clustering, "BLOCK", block)
    vectors, who = people([90, 50, 30])
    labels, centroids = cluster(vectors, threshold=0.5, least=3)
    assert len(centroids) == 3
    assert same_partition(labels, who)
    assert np.bincount(labels).tolist() == [90, 50, 30]
    order = np.random.default_rng(1).permutation(len(vectors))
    np.testing.assert_array_equal(cluster(vectors[order], threshold=0.5, least=3).labels, labels[order])


def test_a_few_outliers_are_nobody():
    vectors, who = people([60, 40, 2])
    labels, centroids = cluster(vectors, threshold=0.5, least=5)
    assert len(centroids) == 2
    assert same_partition(labels[who < 2], who[who < 2])
    # also where two are asked for, and likeness alone would make none: outliers are not one of them
    assert same_partition(
        cluster(vectors, threshold=0.95, least=5, fewest=2, most=2).labels[who < 2], who[who < 2]
    )


def test_one_person_is_one():
    vectors, _ = people([50])
    assert len(cluster(vectors, threshold=0.5).centroids) == 1
    assert len(cluster(vectors[:1], threshold=0.5, least=5).centroids) == 1


def test_nothing_and_too_few():
    labels, centroids = cluster(np.zeros((0, 4)), threshold=0.5)
    assert len(labels) == len(centroids) == 0
    vectors, _ = people([3])
    with pytest.raises(ValueError, match="at most 2"):
        cluster(vectors, threshold=0.5, most=2, groups=np.zeros(3, int))


def test_voices_of_one_moment_are_given_out_together():
    likeness = np.array([[0.9, 0.8], [0.85, 0.1], [0.7, 0.2]])
    assert assigned(likeness, np.array([4, 4, NONE])).tolist() == [1, 0, 0]
