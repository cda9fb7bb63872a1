"""All paths of a few frames, one by one: what sums and searches are held to."""

from collections import defaultdict
from itertools import product

import numpy as np

from unbabble.text.ctc import collapse


def distributions(
    rng: np.random.Generator, frames: int, tokens: int, concentration: float = 1.0
) -> np.ndarray:
    """Random log-probabilities, (frame, token), float32."""
    return np.log(rng.dirichlet(np.full(tokens, concentration), frames)).astype(np.float32)


def rows_by_path(log_probs: np.ndarray) -> dict[tuple[int, ...], list[float]]:
    """Log-probabilities of all paths, by the row that they collapse to."""
    frames, tokens = log_probs.shape
    result = defaultdict(list)
    for path in product(range(tokens), repeat=frames):
        score = sum((float(log_probs[t, symbol]) for t, symbol in enumerate(path)), 0.0)
        result[tuple(collapse(path))].append(score)
    return result


def rows(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every row that has a path."""
    every = rows_by_path(log_probs)
    return {row: float(np.logaddexp.reduce(scores)) for row, scores in every.items()}


def impossible(log_probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same with some that never happen."""
    log_probs = log_probs.copy()
    log_probs[rng.random(log_probs.shape) < 0.2] = -np.inf
    return log_probs
