"""Which of many vectors belong together: clusters are joined where that costs least, and vectors may move on.

The sum s of a cluster's vectors, all of unit norm, is as long as their cosines with the centroid, s / |s|, add up to.
To join two clusters costs

    |s| + |t| - |s + t|

of that: little where they are alike, or where one is small. Neighbours in time are the first clusters, a few vectors
each. Joined are always the two that cost least; as soon as few clusters are left, each vector then goes to the likest
of them, until none moves any more. So what was joined wrongly early on is mended, in a time that grows with the number
of vectors.

    J. Ward, Hierarchical grouping to optimize an objective function, JASA 58, 1963
    I. Dhillon, D. Modha, Concept decompositions for large sparse text data using clustering, Machine Learning 42, 2001
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

NEIGHBOURS = 4
"""Vectors that are together at first."""
BLOCK, LEFT = 400, 100
"""So many clusters of neighbours are joined by themselves, until so many of them are left."""
FEW = 40
"""Clusters from which on vectors move between them; more are only kept where more are asked for."""
MOST_MOVES = 10
"""How often vectors move before two more clusters are joined."""


class Clusters(NamedTuple):
    """What belongs together.

    Attributes:
        labels: of each vector the number of its cluster, from 0; the largest cluster is the first.
        centroids: of unit norm.
    """

    labels: Int[np.ndarray, " vector"]
    centroids: Float[np.ndarray, "cluster dimension"]


def cluster(
    vectors: Float[np.ndarray, "vector dimension"],
    *,
    threshold: float,
    evidence: float = 0.0,
    fewest: int = 1,
    most: int | None = None,
) -> Clusters:
    """Vectors that are alike, together.

    Args:
        vectors: of unit norm, in the order of time.
        threshold: clusters whose centroids have a smaller cosine are kept apart, unless that makes more than ``most``.
        evidence: what it costs at least to join clusters that are kept apart, in vectors.
        fewest: clusters, if there are so many vectors.
        most: clusters.
    """
    vectors = vectors.astype(np.float64)
    if not len(vectors):
        return Clusters(np.zeros(0, int), vectors)
    fewest = min(fewest, len(vectors))
    sums = neighbours(vectors, max(FEW, fewest))
    while True:
        labels, sums = moved(vectors, sums)
        cost, centroids = costs(sums), _unit(sums)
        if most is None or len(sums) <= most:
            cost[(cost > evidence) & (centroids @ centroids.T < threshold)] = np.inf
        if len(sums) <= fewest or not np.isfinite(cost).any():
            break
        one, other = np.unravel_index(cost.argmin(), cost.shape)
        sums[one] += sums[other]
        sums = np.delete(sums, other, 0)
    order = np.argsort(-np.bincount(labels), kind="stable")
    return Clusters(np.argsort(order)[labels], centroids[order])


def neighbours(
    vectors: Float[np.ndarray, "vector dimension"], most: int
) -> Float[np.ndarray, "cluster dimension"]:
    """The sums of a few vectors each that follow one another, joined until there are at most so many."""
    pieces = max(min(most, len(vectors)), -(-len(vectors) // NEIGHBOURS))
    sums = np.add.reduceat(vectors, np.linspace(0, len(vectors), pieces, endpoint=False).astype(int))
    while len(sums) > most:
        blocks = np.array_split(sums, -(-len(sums) // BLOCK))
        sums = np.concatenate([joined(block, most if len(blocks) == 1 else LEFT) for block in blocks])
    return sums


def moved(
    vectors: Float[np.ndarray, "vector dimension"], sums: Float[np.ndarray, "cluster dimension"]
) -> tuple[Int[np.ndarray, " vector"], Float[np.ndarray, "cluster dimension"]]:
    """Each vector in the likest cluster, and the sums of these; one that loses all vectors takes one of the largest."""
    labels = np.full(len(vectors), -1)
    for _ in range(MOST_MOVES):
        likeness = vectors @ _unit(sums).T
        before, labels = labels, likeness.argmax(1)
        for lost in np.setdiff1d(np.arange(len(sums)), labels):
            largest = np.flatnonzero(labels == np.bincount(labels).argmax())
            labels[largest[likeness[largest, lost].argmax()]] = lost
        if (labels == before).all():
            break
        sums = (labels == np.arange(len(sums))[:, None]) @ vectors
    return labels, sums


def joined(sums: Float[np.ndarray, "cluster dimension"], left: int) -> Float[np.ndarray, "left dimension"]:
    """Clusters of clusters: those that cost least, joined one after another until so many are left."""
    sums, cost = sums.copy(), costs(sums)
    lengths, there = np.linalg.norm(sums, axis=1), np.ones(len(sums), bool)
    for _ in range(len(sums) - left):
        one, other = np.unravel_index(cost.argmin(), cost.shape)
        sums[one] += sums[other]
        lengths[one], there[other] = np.linalg.norm(sums[one]), False
        row = lengths[one] + lengths - np.linalg.norm(sums[one] + sums, axis=1)
        row[~there], row[one] = np.inf, np.inf
        cost[one], cost[:, one], cost[other], cost[:, other] = row, row, np.inf, np.inf
    return sums[there]


def costs(sums: Float[np.ndarray, "cluster dimension"]) -> Float[np.ndarray, "cluster cluster"]:
    """What it costs to join two clusters; infinite for one with itself."""
    products = sums @ sums.T
    squares = np.diag(products)
    lengths = np.sqrt(squares)
    both = np.sqrt(np.maximum(squares[:, None] + squares + 2 * products, 0))
    cost = lengths[:, None] + lengths - both
    np.fill_diagonal(cost, np.inf)
    return cost


def _unit(vectors: Float[np.ndarray, "vector dimension"]) -> Float[np.ndarray, "vector dimension"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
