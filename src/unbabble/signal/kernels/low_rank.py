"""``low_rank`` as compiled kernels, in the layout of ``signal.kernels``: sixteen frequencies at once."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.signal.blind.low_rank import FLOOR, TINY, LowRank
from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.demixer import FastDemixer, Planes
from unbabble.signal.kernels.lanes import (
    LANES,
    abs2,
    aligned,
    load,
    load_real,
    maximum,
    splat,
    sqrt,
    store_real,
)
from unbabble.signal.kernels.small_matrices import squared_norm

LOGS_AT_ONCE = 16
"""The logarithm of so many variances is taken of their product, which double precision holds."""


class FastLowRank(LowRank):
    """Same contract and results (to float32 rounding) as ``LowRank``."""

    def __init__(self, demixer: FastDemixer, rank: int, seed: int) -> None:
        super().__init__(demixer, rank, seed)
        self._fast = demixer
        blocks, frames = len(demixer.y), demixer.y.shape[2]
        self._shapes = aligned((blocks, demixer.sources, rank, LANES))
        self._shapes[...] = 1
        rows = np.moveaxis(self._shapes, -1, 1).reshape(blocks * LANES, demixer.sources, rank)
        rows[: demixer.bins] = self.shapes.numpy()
        self._shapes[...] = np.moveaxis(rows.reshape(blocks, LANES, demixer.sources, rank), 1, -1)
        self._activities: Planes = np.zeros((demixer.sources, rank, frames), np.float32)
        self._activities[..., : demixer.frames] = self.activities.numpy()
        self._weights = aligned((blocks, demixer.sources, frames, LANES))
        threads = len(demixer.ranges)
        self._ratios = aligned((threads, 2, *self._activities.shape, LANES))
        self._scratch = aligned((threads, frames, 2, LANES))
        self._logs = aligned((threads, 2, LANES), np.float64)

    def weights(self) -> Float[Tensor, "block source frame lane"]:
        """The majoriser's weights 1 / r, in the demixer's layout."""

        def work(part: int, first: int, last: int) -> None:
            _invert(self._shapes, self._activities, self._fast.frames, first, last, self._weights)

        self._fast.share(work)
        return torch.from_numpy(self._weights)

    def update(self) -> None:
        """One step of the shapes, one of the activities."""
        fast = self._fast

        def work(part: int, first: int, last: int) -> None:
            _update_shapes(
                *(fast.y, fast.w, fast.counted, np.float32(fast.load), fast.frames, first, last),
                *(self._shapes, self._activities, self._ratios[part], self._scratch[part]),
            )

        fast.share(work)
        up, down = self._ratios.sum((0, 5))[..., : fast.frames]
        self._activities[..., : fast.frames] *= np.sqrt(up / np.maximum(down, TINY))

    def cost(self) -> float:
        """See ``LowRank``."""
        fast, parts = self._fast, np.zeros(len(self._fast.ranges))

        def work(part: int, first: int, last: int) -> None:
            parts[part] = _cost(
                *(fast.y, fast.w, fast.counted, np.float32(fast.load), fast.frames, first, last),
                *(self._shapes, self._activities, self._logs[part]),
            )

        fast.share(work)
        return float(parts.sum())


@jit
def _variance(shapes, activities, block, k, t):
    total = splat(shapes, FLOOR) * 0
    for rank in range(activities.shape[1]):
        total += load_real(shapes, (block, k, rank)) * activities[k, rank, t]
    return maximum(total, FLOOR)


@jit
def _invert(shapes, activities, frames, first, last, weights):
    """weights = 1 / r."""
    for block in range(first, last):
        for k in range(weights.shape[1]):
            for t in range(frames):
                store_real(weights, (block, k, t), 1 / _variance(shapes, activities, block, k, t))


@jit
def _inverse_and_ratio(y, shapes, activities, block, k, noise, frames, scratch):
    """1 / r and |y|^2 / r^2 of all frames, as real and imaginary part."""
    for t in range(frames):
        inverse = 1 / _variance(shapes, activities, block, k, t)
        store_real(scratch, (t, 0), inverse)
        store_real(scratch, (t, 1), inverse * inverse * (abs2(load(y, (block, k, t))) + noise))


@jit
def _update_shapes(y, w, counted, load_power, frames, first, last, shapes, activities, ratios, scratch):
    """Update the shapes; then gather, in ``ratios``, both sums of the activities' update."""
    for k in range(activities.shape[0]):
        for rank in range(activities.shape[1]):
            for t in range(frames):
                store_real(ratios, (0, k, rank, t), splat(ratios, 0.0))
                store_real(ratios, (1, k, rank, t), splat(ratios, 0.0))
        for block in range(first, last):
            noise = load_power * splat(y, squared_norm(w[block], k))
            _inverse_and_ratio(y, shapes, activities, block, k, noise, frames, scratch)
            for rank in range(activities.shape[1]):
                up = down = splat(y, 0.0)
                for t in range(frames):
                    down += activities[k, rank, t] * load_real(scratch, (t, 0))
                    up += activities[k, rank, t] * load_real(scratch, (t, 1))
                shape = load_real(shapes, (block, k, rank))
                store_real(shapes, (block, k, rank), shape * sqrt(up / maximum(down, TINY)))
            _inverse_and_ratio(y, shapes, activities, block, k, noise, frames, scratch)
            for rank in range(activities.shape[1]):
                shape = load_real(counted, (block,)) * load_real(shapes, (block, k, rank))
                for t in range(frames):
                    up = load_real(ratios, (0, k, rank, t)) + shape * load_real(scratch, (t, 1))
                    down = load_real(ratios, (1, k, rank, t)) + shape * load_real(scratch, (t, 0))
                    store_real(ratios, (0, k, rank, t), up)
                    store_real(ratios, (1, k, rank, t), down)


@jit
def _cost(y, w, counted, load_power, frames, first, last, shapes, activities, lanes):
    """Sum over frequencies of mean_t log r + |y|^2 / r."""
    cost = 0.0
    for block in range(first, last):
        for k in range(activities.shape[0]):
            noise = load_power * splat(y, squared_norm(w[block], k))
            t = 0
            while t < frames:
                product, ratio = splat(lanes, 1.0), splat(y, 0.0)
                end = min(frames, t + LOGS_AT_ONCE)
                while t < end:
                    variance = _variance(shapes, activities, block, k, t)
                    product *= splat(lanes, variance)
                    ratio += (abs2(load(y, (block, k, t))) + noise) / variance
                    t += 1
                store_real(lanes, (0,), product)
                store_real(lanes, (1,), ratio)
                for lane in range(LANES):
                    cost += counted[block, lane] * (np.log(lanes[0, lane]) + lanes[1, lane])
    return cost / frames
