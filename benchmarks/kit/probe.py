"""Linear probes: what logistic regression makes of fixed features, item by item, each judged by what others taught.

Features are standardised by the items that teach, classes weigh alike however rare, and

    objective = strength * sum of weight_i * cross-entropy_i + |weights|^2 / 2
"""

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import minimize
from scipy.special import logsumexp

STRENGTH = 0.02
"""Of what is seen, against the prior that weights are zero: small, for there are as many features as items."""


def stratified(labels: Int[np.ndarray, " item"], count: int, seed: int) -> Int[np.ndarray, " item"]:
    """A fold for each item at random, all folds with about as many of each class."""
    rng, fold = np.random.default_rng(seed), np.empty(len(labels), int)
    dealt = np.concatenate([rng.permutation(np.flatnonzero(labels == each)) for each in np.unique(labels)])
    fold[dealt] = np.arange(len(labels)) % count
    return fold


def grouped(
    labels: Int[np.ndarray, " item"], groups: Shaped[np.ndarray, " item"], count: int, seed: int
) -> Int[np.ndarray, " item"]:
    """A fold for each item, that of its whole group, all folds with about as many of each class as groups allow.

    Groups are dealt in a random order, those of unequal classes first, each to the fold after which shares of classes
    are most alike.
    """
    names, group = np.unique(groups, return_inverse=True)
    table = np.zeros((len(names), labels.max() + 1))
    np.add.at(table, (group, labels), 1)
    share = table / np.maximum(table.sum(0), 1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-table[order].std(1), kind="stable")]
    filled, chosen = np.zeros((count, table.shape[1])), np.empty(len(names), int)
    sizes = np.zeros(count)
    for each in order:
        after = filled[None] + np.eye(count)[:, :, None] * share[each]
        uneven = after.std(1).mean(1)
        chosen[each] = np.lexsort((sizes, uneven.round(12)))[0]
        filled[chosen[each]] += share[each]
        sizes[chosen[each]] += table[each].sum()
    return chosen[group]


def held_out(
    features: Float[np.ndarray, "item feature"],
    labels: Int[np.ndarray, " item"],
    fold: Int[np.ndarray, " item"],
    strength: float = STRENGTH,
) -> Float[np.ndarray, "item class"]:
    """Log-probabilities of the classes of each item, by a probe that the other folds have taught."""
    result = np.empty((len(labels), labels.max() + 1))
    for each in np.unique(fold):
        inside = fold != each
        mean, spread = features[inside].mean(0), features[inside].std(0)
        standard = (features - mean) / np.where(
            spread > 1e-9, spread, np.inf
        )  # what never varies says nothing
        weights, bias = logistic(standard[inside], labels[inside], result.shape[1], strength)
        scores = standard[~inside] @ weights + bias
        result[~inside] = scores - logsumexp(scores, axis=1, keepdims=True)
    return result


def logistic(
    features: Float[np.ndarray, "item feature"],
    labels: Int[np.ndarray, " item"],
    classes: int,
    strength: float = STRENGTH,
) -> tuple[Float[np.ndarray, "feature class"], Float[np.ndarray, " class"]]:
    """Weights and bias of multinomial logistic regression."""
    items, width = features.shape
    counts = np.bincount(labels, minlength=classes)
    weight = strength * items / (np.count_nonzero(counts) * counts[labels])
    target = np.eye(classes)[labels]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[: width * classes].reshape(width, classes), flat[width * classes :]
        scores = features @ weights + bias
        logs = scores - logsumexp(scores, axis=1, keepdims=True)
        loss = -(weight * logs[np.arange(items), labels]).sum() + np.square(weights).sum() / 2
        slope = weight[:, None] * (np.exp(logs) - target)
        return loss, np.concatenate([(features.T @ slope + weights).ravel(), slope.sum(0)])

    flat = minimize(objective, np.zeros((width + 1) * classes), jac=True, method="L-BFGS-B").x
    return flat[: width * classes].reshape(width, classes), flat[width * classes :]


def balanced_accuracy(true: Int[np.ndarray, " item"], predicted: Int[np.ndarray, " item"]) -> float:
    """The share that is right, of each class that occurs, all of which count alike."""
    right = true == predicted
    return float(np.mean([right[true == each].mean() for each in np.unique(true)]))
