"""What the claim about cries counts, on small made corpora."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit import probe
from benchmarks.sounds import _cry_features as features
from benchmarks.sounds import cries
from unbabble.data.cries import Cry


def cry(infant: str, number: int, period: str = "", reason: str = "") -> Cry:
    return Cry(Path(f"{infant}-{number}.wav"), infant, period, reason)


def test_folds_by_group_keep_groups_together_and_classes_apart():
    rng = np.random.default_rng(0)
    groups = rng.integers(40, size=300)
    labels = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
    for fold in (probe.stratified(labels, 5, 1), probe.grouped(labels, groups, 5, 1)):
        shares = np.array([np.bincount(labels[fold == each], minlength=3) for each in range(5)])
        assert (shares > 0).all()  # each class in each fold
        assert np.ptp(shares.sum(1)) < 30
    assert all(len(set(fold[groups == each])) == 1 for each in np.unique(groups))
    assert (probe.grouped(labels, groups, 5, 2) != fold).any()


def test_what_tells_groups_alone_is_right_by_item_and_says_nothing_by_group():
    groups = np.repeat(np.arange(40), 5)
    labels = groups % 2
    names = np.eye(40)[groups]
    by_item = probe.held_out(names, labels, probe.stratified(labels, 5, 0)).argmax(1)
    by_group = probe.held_out(names, labels, probe.grouped(labels, groups, 5, 0))
    assert probe.balanced_accuracy(labels, by_item) == 1
    assert np.ptp(by_group[:, 1] - by_group[:, 0]) < 0.2  # of unknown groups, nothing but the bias is left


def test_logistic_regression_is_where_its_objective_is_flat():
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((60, 4)), rng.integers(3, size=60)
    weights, bias = probe.logistic(features, labels, 3, strength=1)
    scores = np.exp(features @ weights + bias)
    counts = np.bincount(labels)
    slope = (scores / scores.sum(1, keepdims=True) - np.eye(3)[labels]) * (20 / counts[labels])[:, None]
    assert np.abs(slope.sum(0)).max() < 1e-2
    assert np.abs(features.T @ slope + weights).max() < 1e-2
    strict, _ = probe.logistic(features, labels, 3, strength=1e-6)
    assert np.abs(strict).max() < 1e-3


def test_balanced_accuracy_counts_classes_alike():
    assert probe.balanced_accuracy(np.array([0, 0, 0, 1]), np.zeros(4, int)) == 0.5


def test_halves_are_paired_across_and_days_joined():
    recordings = [
        cry("anna", 1, "mon"),
        cry("anna", 3, "tue"),
        cry("anna", 2, "mon"),
        cry("ben", 1),
        cry("cleo", 1),
    ]
    recordings += [cry("ben", 2), cry("ben", 3)]
    trials = cries.across(cries.in_halves(recordings))
    named = [(unit.infant, unit.period, [each.path.stem for each in unit.cries]) for unit in trials.units]
    assert named == [
        ("anna", "earlier", ["anna-1"]),
        ("anna", "later", ["anna-2", "anna-3"]),
        ("ben", "earlier", ["ben-1"]),
        ("ben", "later", ["ben-2", "ben-3"]),
    ]
    assert list(zip(trials.one, trials.other, strict=True)) == [(0, 1), (0, 3), (2, 1), (2, 3)]
    days = cries.by_period(recordings)
    assert [(unit.infant, unit.period, len(unit.cries)) for unit in days] == [
        ("anna", "mon", 2),
        ("anna", "tue", 1),
        ("ben", "", 3),
        ("cleo", "", 1),
    ]


def test_reasons_of_others_stay_together():
    recorders = np.repeat(np.arange(30), 4)
    reasons = np.array([str(each) for each in recorders // 10])
    shuffled = cries.of_others(reasons, recorders, 0)
    assert all(len(set(shuffled[recorders == each])) == 1 for each in range(30))
    assert sorted(shuffled) == sorted(reasons)
    assert (shuffled != reasons).any()


def test_infants_whose_vectors_are_alike_are_never_confused():
    units = [cries.Unit(name, period, []) for name in "abcd" for period in ("B", "D")]
    vectors = np.repeat(np.eye(4), 2, 0)
    assert cries.verified(cries.across(units), vectors, 5) == (0, 0, 0)
    assert cries.verified(cries.across(units), np.ones((8, 4)), 5)[0] == pytest.approx(50)


def test_a_filter_changes_means_and_not_what_is_free_of_them():
    rng = np.random.default_rng(0)
    sound = rng.standard_normal(8000) * np.repeat(rng.uniform(0.1, 1, 40), 200)
    filtered = np.convolve(sound, [1, -0.6])[:8000]
    one, other = features.spectral(sound), features.spectral(filtered)
    assert np.abs(one[features.MEANS] - other[features.MEANS]).max() > 3
    assert np.abs(one[features.CENTRED] - other[features.CENTRED]).mean() < 0.1
    louder = features.spectral(10 * sound)
    assert all(np.allclose(one[name], louder[name], atol=1e-3) for name in one)
