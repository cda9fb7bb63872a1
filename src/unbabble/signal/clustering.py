"""Which of many vectors belong together: agglomerative clustering by cosine, in bounded memory, with constraints.

The likeness of two clusters is the mean of the cosines of all pairs between them (average linkage), which is the
product of their sums over the product of their sizes; so a cluster is its sum and its size, and clusters of clusters
cost no more than those of vectors. That makes it linear in the number of vectors: stretches of ``BLOCK`` neighbours
are clustered down to an eighth of their number each, until what is left fits one block, which is clustered to the end.

Vectors of one group are different by what they are (voices that were separated from the same moment) and never come
into the same cluster.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

BLOCK = 800
"""Vectors that are compared each with each: about ten minutes of speech."""
REDUCED = 8
"""A block of a longer recording is left with one cluster for so many vectors."""
NONE = -1


class Clusters(NamedTuple):
    """What belongs together.

    Attributes:
        labels: of each vector the number of its cluster, from 0; the largest cluster is the first.
        centroids: of unit norm.
    """

    labels: Int[np.ndarray, " vector"]
    centroids: Float[np.ndarray, "cluster dimension"]


class _Items(NamedTuple):
    """Clusters on their way.

    Attributes:
        sums: of the vectors in each.
        sizes: how many vectors.
        groups: whose vectors are in each: pairs of an item and a group that is a constraint.
    """

    sums: Float[np.ndarray, "item dimension"]
    sizes: Int[np.ndarray, " item"]
    groups: list[frozenset[int]]


def cluster(
    vectors: Float[np.ndarray, "vector dimension"],
    *,
    threshold: float,
    least: int = 1,
    fewest: int = 1,
    most: int | None = None,
    groups: Int[np.ndarray, " vector"] | None = None,
) -> Clusters:
    """Vectors that are alike, together.

    Args:
        vectors: of unit norm, in the order of time.
        threshold: clusters whose mean cosine is less are kept apart, unless that makes more than ``most``.
        least: clusters of fewer vectors are no clusters of their own, and their vectors go to the nearest other one.
        fewest: clusters, if there are so many vectors.
        most: clusters.
        groups: vectors with the same number, other than ``NONE``, are never in one cluster.

    Raises:
        ValueError: a group has more vectors than there may be clusters.
    """
    count = len(vectors)
    groups = np.full(count, NONE) if groups is None else groups
    needed = int(np.unique(groups[groups != NONE], return_counts=True)[1].max(initial=1))
    if most is not None and needed > most:
        raise ValueError(f"{needed} vectors are different, and there are to be at most {most} clusters.")
    if not count:
        return Clusters(np.zeros(0, int), vectors[:0])
    items = _Items(
        vectors.astype(np.float64),
        np.ones(count, int),
        [frozenset() if group == NONE else frozenset([int(group)]) for group in groups],
    )
    while len(items.sizes) > BLOCK:
        items = _reduced(items)
    parts = _chosen(items, threshold, least, max(fewest, needed), most)
    sums = np.stack([items.sums[part].sum(0) for part in parts])
    sizes = np.array([items.sizes[part].sum() for part in parts])
    large = np.argsort(-sizes, kind="stable")
    centroids = _unit(sums[large])
    labels = assigned(vectors @ centroids.T, groups)
    order = np.argsort(-np.bincount(labels, minlength=len(centroids)), kind="stable")
    return Clusters(np.argsort(order)[labels], centroids[order])


def assigned(
    likeness: Float[np.ndarray, "vector cluster"], groups: Int[np.ndarray, " vector"]
) -> Int[np.ndarray, " vector"]:
    """Of each vector the likest cluster; those of one group each another one, so that they are likest together."""
    labels = likeness.argmax(1)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=NONE - 1))
    for members in np.split(order, starts[1:]):
        if groups[members[0]] != NONE and len(set(labels[members])) < len(members):
            labels[members] = linear_sum_assignment(likeness[members], maximize=True)[1]
    return labels


def merges(
    sums: Float[np.ndarray, "item dimension"],
    sizes: Int[np.ndarray, " item"],
    apart: Bool[np.ndarray, "item item"],
) -> list[tuple[int, int, float]]:
    """Which clusters are joined one after another, the likest first, while any may be.

    Args:
        sums: of the vectors in each.
        sizes: how many vectors.
        apart: whether two are never to be joined.

    Returns:
        Of each step the numbers of two clusters, of which the second is from then on a part of the first, and the mean
        cosine between them.
    """
    alike = (sums @ sums.T) / np.outer(sizes, sizes)
    alike[apart] = -np.inf
    np.fill_diagonal(alike, -np.inf)
    weights, steps = sizes.astype(np.float64), []
    nearest = alike.argmax(1)
    best = alike[np.arange(len(alike)), nearest]
    for _ in range(len(alike) - 1):
        one = int(best.argmax())
        other, value = int(nearest[one]), float(best[one])
        if value == -np.inf:
            break
        one, other = min(one, other), max(one, other)
        steps.append((one, other, value))
        both = weights[one] + weights[other]
        # the mean over the pairs of both; what is apart from one of them stays apart
        alike[one] = (weights[one] * alike[one] + weights[other] * alike[other]) / both
        alike[one, [one, other]] = -np.inf
        alike[:, one] = alike[one]
        alike[other], alike[:, other] = -np.inf, -np.inf
        weights[one] = both
        best[other] = -np.inf
        stale = np.flatnonzero((nearest == one) | (nearest == other))
        stale = np.append(stale[best[stale] > -np.inf], one)
        nearest[stale] = alike[stale].argmax(1)
        best[stale] = alike[stale, nearest[stale]]
        nearer = alike[one] > best
        nearest[nearer], best[nearer] = one, alike[one, nearer]
    return steps


def _apart(groups: list[frozenset[int]]) -> Bool[np.ndarray, "item item"]:
    """Whether two items have vectors of the same group."""
    names = {group: place for place, group in enumerate(sorted(set().union(*groups)))}
    member = np.zeros((len(groups), len(names)), np.float32)
    for item, some in enumerate(groups):
        member[item, [names[group] for group in some]] = 1
    return member @ member.T > 0


def _reduced(items: _Items) -> _Items:
    """The same in fewer items: each block of neighbours by itself, its likest joined."""
    sums, sizes, groups = [], [], []
    count = len(items.sizes)
    edges = (
        np.linspace(0, count, -(-count // BLOCK) + 1).round().astype(int)
    )  # none is much shorter than others
    for start, end in pairwise(edges):
        block = _Items(items.sums[start:end], items.sizes[start:end], items.groups[start:end])
        steps = merges(block.sums, block.sizes, _apart(block.groups))
        wanted = len(block.sizes) - max(1, len(block.sizes) // REDUCED)
        for part in _parts(len(block.sizes), steps[:wanted]):
            sums.append(block.sums[part].sum(0))
            sizes.append(block.sizes[part].sum())
            groups.append(frozenset().union(*(block.groups[item] for item in part)))
    return _Items(np.stack(sums), np.array(sizes), groups)


def _chosen(items: _Items, threshold: float, least: int, fewest: int, most: int | None) -> list[list[int]]:
    """The clusters: as many steps as likeness allows, more or fewer where the number of them asks for it."""
    steps = merges(items.sums, items.sizes, _apart(items.groups))
    count = len(items.sizes)
    sizes, large = items.sizes.copy(), [int((items.sizes >= least).sum())]
    for one, other, _ in steps:
        before = int(sizes[one] >= least) + int(sizes[other] >= least)
        sizes[one] += sizes[other]
        sizes[other] = 0
        large.append(large[-1] - before + int(sizes[one] >= least))
    done = sum(value >= threshold for *_, value in steps)
    if most is not None and large[done] > most:
        done = next((step for step in range(done, len(large)) if large[step] <= most), len(steps))
    if large[done] < fewest:
        enough = [step for step in range(len(large)) if large[step] >= fewest]
        # as few as possible that are large where there were never enough of these
        done = max(enough) if enough else max(0, min(done, count - fewest))
    parts = sorted(_parts(count, steps[:done]), key=lambda part: -int(items.sizes[part].sum()))
    kept = [part for part in parts if int(items.sizes[part].sum()) >= least]
    kept = kept if len(kept) >= fewest else parts[:fewest]
    return kept[:most]


def _parts(count: int, steps: list[tuple[int, int, float]]) -> list[list[int]]:
    """Numbers of the items that are together after these steps."""
    parts = {item: [item] for item in range(count)}
    for one, other, _ in steps:
        parts[one] += parts.pop(other)
    return list(parts.values())


def _unit(vectors: Float[np.ndarray, "vector dimension"]) -> Float[np.ndarray, "vector dimension"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
