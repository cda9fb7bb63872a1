"""What CTC and a decoder might say of a text, drawn for ``decoder_speed.py``."""

from collections.abc import Sequence

import numpy as np

NOISE, PEAK, BLANK_PEAK = 1.35, 6.5, 9.75
FRAMES_PER_SECOND = 25
"""What the packaged recogniser has; a drawn symbol lasts for 2.5 frames in the mean, its blanks included."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def frames(row: Sequence[int], symbols: int, rng: np.random.Generator) -> np.ndarray:
    """Log-probabilities (frame, symbol) of a row, the blank in column 0."""
    said = np.concatenate([[token] * rng.integers(1, 3) + [0] * rng.integers(0, 3) for token in row])
    said = said.astype(int)
    logits = rng.normal(0, NOISE, (len(said), symbols))
    peaks = np.where(said == 0, BLANK_PEAK, PEAK * rng.uniform(0.4, 1.2, len(said)))
    logits[np.arange(len(said)), said] += peaks
    return log_softmax(logits)


def writing(row: Sequence[int], symbols: int, rng: np.random.Generator) -> np.ndarray:
    """Log-probabilities (position, symbol) of a row, then of its end, which is 0."""
    logits = rng.normal(0, NOISE, (len(row) + 6, symbols))
    logits[np.arange(len(row)), list(row)] += PEAK * rng.uniform(0.4, 1.2, len(row))
    logits[len(row) :, 0] += PEAK
    return log_softmax(logits)
