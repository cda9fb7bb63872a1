"""``low_rank`` as compiled kernels: one pass over the power per iteration, in parallel over frequencies."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.signal.demixing_fast import FastDemixer
from unbabble.signal.demixing_lanes import LANES, Planes
from unbabble.signal.kernels import jit
from unbabble.signal.low_rank import FLOOR, LowRank


class FastLowRank(LowRank):
    """Same contract and results (to float32 rounding) as ``LowRank``."""

    def __init__(self, demixer: FastDemixer, rank: int, seed: int) -> None:
        super().__init__(demixer, rank, seed)
        self._fast = demixer
        self._weights: Planes = np.zeros((demixer.bins, demixer.sources, demixer.y.shape[-1]), np.float32)
        self._ratios: Planes = np.zeros((len(demixer.ranges), 2, *self.activities.shape), np.float32)

    def weights(self) -> Float[Tensor, "frequency source padded"]:
        """The majoriser's weights 1 / r, zero in the demixer's padding."""
        shapes, activities, fast = self.shapes.numpy(), self.activities.numpy(), self._fast

        def work(part: int, first: int, last: int) -> None:
            bins = slice(first * LANES, min(last * LANES, fast.bins))
            _invert(shapes[bins], activities, self._weights[bins])

        fast.share(work)
        return torch.from_numpy(self._weights)

    def update(self) -> None:
        """One step of the shapes, one of the activities."""
        shapes, activities, fast = self.shapes.numpy(), self.activities.numpy(), self._fast
        self._ratios[:] = 0

        def work(part: int, first: int, last: int) -> None:
            bins = slice(first * LANES, min(last * LANES, fast.bins))
            y, w = fast.y[bins], fast.w[first:last]
            _update_shapes(y, w, np.float32(fast.load), shapes[bins], activities, self._ratios[part])

        fast.share(work)
        up, down = self._ratios.sum(0)
        activities *= np.sqrt(up / down)


@jit
def _variance(shapes, f, k, activities, out):
    frames = activities.shape[2]
    for t in range(frames):
        out[t] = 0
    for rank in range(activities.shape[1]):
        shape = shapes[f, k, rank]
        for t in range(frames):
            out[t] += shape * activities[k, rank, t]
    for t in range(frames):
        out[t] = max(out[t], np.float32(FLOOR))


@jit
def _invert(shapes, activities, weights):
    """weights = 1 / r."""
    row = np.empty(activities.shape[2], np.float32)
    for f in range(weights.shape[0]):
        for k in range(weights.shape[1]):
            _variance(shapes, f, k, activities, row)
            for t in range(row.shape[0]):
                weights[f, k, t] = 1 / row[t]


@jit
def _update_shapes(y, w, load, shapes, activities, ratios):
    """Update the shapes; then gather, in ``ratios``, both sums of the activities' update."""
    frames = activities.shape[2]
    row = np.empty(frames, np.float32)
    power = np.empty(frames, np.float32)
    for f in range(y.shape[0]):
        block, lane = f // LANES, f % LANES
        for k in range(activities.shape[0]):
            noise = np.float32(0)
            for c in range(w.shape[2]):
                noise += w[block, k, c, 0, lane] ** 2 + w[block, k, c, 1, lane] ** 2
            noise *= load
            for t in range(frames):
                power[t] = y[f, k, 0, t] ** 2 + y[f, k, 1, t] ** 2 + noise
            _variance(shapes, f, k, activities, row)
            for rank in range(activities.shape[1]):
                up = down = np.float32(0)
                for t in range(frames):
                    inverse = 1 / row[t]
                    down += inverse * activities[k, rank, t]
                    up += power[t] * inverse * inverse * activities[k, rank, t]
                ratio = np.sqrt(up / down)
                shapes[f, k, rank] *= ratio
            _variance(shapes, f, k, activities, row)
            for rank in range(activities.shape[1]):
                shape = shapes[f, k, rank]
                for t in range(frames):
                    inverse = 1 / row[t]
                    ratios[0, k, rank, t] += power[t] * inverse * inverse * shape
                    ratios[1, k, rank, t] += inverse * shape
