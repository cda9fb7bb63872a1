"""CountNet in NumPy, for one short recording: web processes load no PyTorch, and a contributor waits for the answer.

The network and its packaged weights are those of ``methods/counting/countnet.py``, which says what they follow; the
two agree to 1e-3 in probability (tested). How often it is right stands on the card of ``countnet.3talkers_8k``.
"""

from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray
from safetensors.numpy import load_file

from unbabble.base.weights import packaged

MODEL = "countnet.3talkers_8k"
RATE = 8000
BANDS, WINDOW, HOP = 40, 256, 80
LEAST_SAMPLES = RATE // 2
FLOOR, SCALE, LOWEST_HERTZ = 1e-4, 1 / 3, 60.0
LAYERS = ((0, 1, (2, 2)), (4, 5, (2, 2)), (8, 9, (2, 1)))
"""Convolution, normalisation after it, and what is pooled, bands by frames."""
NORM_EPSILON = 1e-5

Array = NDArray[np.float32]


def talkers(samples: Array, sample_rate: int) -> Array:
    """Probabilities of one, two and three talkers.

    Args:
        samples: (time,), finite, not all equal, any level.
        sample_rate: Hz.
    """
    if sample_rate != RATE:
        samples = soxr.resample(samples, sample_rate, RATE)
    samples = samples - samples.mean()
    samples = samples / max(float(np.sqrt(np.mean(np.square(samples)))), 1e-30)
    samples = np.pad(samples, (0, max(0, LEAST_SAMPLES - len(samples))))
    weights = _weights()
    features = _bands(samples)[None]
    for convolution, norm, pool in LAYERS:
        features = _pooled(np.maximum(_convolved(features, convolution, norm), 0), pool)
    steps = features.reshape(-1, features.shape[-1]).T
    both = np.concatenate([_lstm(steps, ""), _lstm(steps[::-1], "_reverse")[::-1]], 1)
    seen = np.concatenate([both.mean(0), both.max(0)])
    hidden = np.maximum(weights["head.0.weight"] @ seen + weights["head.0.bias"], 0)
    logits = weights["head.2.weight"] @ hidden + weights["head.2.bias"]
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


@cache
def _weights() -> dict[str, Array]:
    return {name: each.astype(np.float32) for name, each in load_file(packaged()[MODEL]).items()}


def _bands(samples: Array) -> Array:
    """Log mel bands less their mean, (band, frame)."""
    padded = np.pad(samples, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1)))
    bands = np.log(power @ _filters().T + FLOOR).T
    return (SCALE * (bands - bands.mean())).astype(np.float32)


@cache
def _filters() -> Array:
    def mel(hertz):
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    frequencies = mel(np.linspace(0, RATE / 2, WINDOW // 2 + 1))
    corners = np.linspace(mel(LOWEST_HERTZ), mel(RATE / 2), BANDS + 2)
    width = corners[1] - corners[0]
    distance = np.abs(frequencies - corners[1:-1, None])
    return np.maximum(1 - distance / width, 0).astype(np.float32)


def _convolved(features: Array, convolution: int, norm: int) -> Array:
    """Three by three, with zeros around, then normalised: (channel, band, frame)."""
    weights, name = _weights(), f"convolutions.{norm}"
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + NORM_EPSILON)
    kernel = weights[f"convolutions.{convolution}.weight"] * scale[:, None, None, None]
    bias = (weights[f"convolutions.{convolution}.bias"] - weights[f"{name}.running_mean"]) * scale
    bias = bias + weights[f"{name}.bias"]
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    high, wide = features.shape[1:]
    total = np.repeat(bias[:, None], high * wide, 1)
    for row in range(3):
        for column in range(3):
            seen = padded[:, row : row + high, column : column + wide].reshape(len(features), -1)
            total += kernel[:, :, row, column] @ seen
    return total.reshape(-1, high, wide).astype(np.float32)


def _pooled(features: Array, pool: tuple[int, int]) -> Array:
    high, wide = (size // by for size, by in zip(features.shape[1:], pool, strict=True))
    cut = features[:, : high * pool[0], : wide * pool[1]]
    return cut.reshape(len(features), high, pool[0], wide, pool[1]).max((2, 4))


def _lstm(steps: Array, direction: str) -> Array:
    weights = _weights()
    entering = steps @ weights[f"lstm.weight_ih_l0{direction}"].T
    entering += weights[f"lstm.bias_ih_l0{direction}"] + weights[f"lstm.bias_hh_l0{direction}"]
    recurrent = np.ascontiguousarray(weights[f"lstm.weight_hh_l0{direction}"].T)
    size = len(recurrent)
    state, cell = np.zeros(size, np.float32), np.zeros(size, np.float32)
    out = np.empty((len(steps), size), np.float32)
    for index, step in enumerate(entering):
        gates = step + state @ recurrent
        keeping = 0.5 + 0.5 * np.tanh(0.5 * gates)
        candidate = np.tanh(gates[2 * size : 3 * size])
        cell = keeping[size : 2 * size] * cell + keeping[:size] * candidate
        state = keeping[3 * size :] * np.tanh(cell)
        out[index] = state
    return out
