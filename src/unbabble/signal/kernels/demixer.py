"""``demixing`` for CPUs: the layout in memory and the threads for which ``kernels.demixing`` is written.

Memory layout decides the speed. Sixteen frequencies lie side by side as the lanes of a vector (``lanes``), so that
all of the work, sums over frames and algebra on small matrices alike, is the scalar code of one frequency done on
sixteen. Threads take ranges of such blocks and share nothing.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from unbabble.signal.blind.demixing import Demixer, applicable, pairs
from unbabble.signal.kernels.demixing import KERNELS, total_power
from unbabble.signal.kernels.lanes import LANES, aligned
from unbabble.signal.kernels.sweeps import workspace

Planes = NDArray[np.float32]


class FastDemixer(Demixer):
    """Same contract and results (to float32 rounding) as ``Demixer``, many times faster on a CPU.

    Args:
        spectrogram: whitened mixture; copied.
        sources: the first so many outputs are sources, the others background.
        load: see ``Demixer``.
        threads: how many threads share the frequencies; as many as torch uses by default.
    """

    def __init__(
        self,
        spectrogram: Complex[Tensor, "frequency channel frame"],
        sources: int,
        load: float = 1e-6,
        threads: int | None = None,
    ) -> None:
        self.bins, self.channels, self.frames = spectrogram.shape
        self.sources, self.load = sources, load
        self.y = to_lanes(spectrogram)
        blocks = len(self.y)
        # Rows of sources may nearly coincide when a background can take up the rest: the Gram matrix needs digits.
        algebra = np.float64 if sources < self.channels else np.float32
        self.w = aligned((blocks, self.channels, self.channels, 2, LANES), algebra)
        self.w[..., 0, :] = np.eye(self.channels)[..., None]
        self.counted = aligned((blocks, LANES))
        self.counted.reshape(-1)[: self.bins] = 1
        threads = max(1, min(threads or torch.get_num_threads(), blocks))
        edges = np.linspace(0, blocks, threads + 1).round().astype(int)
        self.ranges = list(itertools.pairwise(edges.tolist()))
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._sums = aligned((threads, sources, self.y.shape[2], LANES))
        self._apart = sources if sources < self.channels else None
        self._ring = np.array(pairs(sources)).reshape(-1, 2)
        matrix = self.channels, self.channels, 2, LANES
        self._scratch = [
            (
                aligned((sources + 1, *matrix), algebra),
                aligned(matrix, algebra),
                aligned(matrix),
                aligned((self.channels, 2, 2, LANES)),
                workspace(self.channels, algebra),
            )
            for _ in range(threads)
        ]
        self.share(self._measure)

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.shutdown(wait=False)

    @property
    def outputs(self) -> Complex[Tensor, "frequency source frame"]:
        """The current sources."""
        return from_lanes(self.y[:, : self.sources], self.bins)[..., : self.frames]

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """The current demixing matrices."""
        return from_lanes(self.w, self.bins).to(torch.complex64)

    def power(self) -> Float[Tensor, "source frame"]:
        """|y|^2 summed over frequencies, with the imagined noise."""
        return torch.from_numpy(self._sums.sum((0, 3))[:, : self.frames])

    def log_determinant(self) -> float:
        """Sum over frequencies of log|det W|, or of log det(W W^H) / 2 on the sources."""
        rows = from_lanes(self.w, self.bins)[:, : self.sources].to(torch.complex128)
        return float(torch.linalg.slogdet(rows @ rows.mH)[1].sum() / 2)

    def step(self, update: str, weights: Float[Tensor, "*frequency source frame"]) -> None:
        """Lower (1) by one pass of ``update`` over the sources; see ``Demixer.step``.

        ``weights`` may also come as (block, source, frame, LANES), which spares rearranging them.
        """
        update = applicable(update, self.sources, self.channels)
        phi = weights.float()
        if phi.ndim == 3:
            planes = to_lanes(phi)
        elif phi.ndim == 2:
            planes = np.zeros((self.sources, self.y.shape[2]), np.float32)
            planes[:, : self.frames] = phi.numpy()
        else:
            planes = phi.numpy()
        self.share(lambda part, first, last: self._kernel(update, part, planes, first, last))

    def _kernel(self, update: str, part: int, planes: Planes, first: int, last: int) -> None:
        KERNELS[update](
            *(self.y, self.w, self.counted, planes, np.float32(self.load), self.frames, first, last),
            *(self._ring, self._apart, self._sums[part], self._scratch[part]),
        )

    def _measure(self, part: int, first: int, last: int) -> None:
        total_power(self.y, self.w, self.counted, np.float32(self.load), first, last, self._sums[part])

    def share(self, work: Callable[[int, int, int], None]) -> None:
        """Run ``work`` on every range of blocks, the last one in this thread."""
        *others, mine = [(part, first, last) for part, (first, last) in enumerate(self.ranges)]
        if self._pool is None:
            return work(*mine)
        running = [self._pool.submit(work, *other) for other in others]
        work(*mine)
        for future in running:
            future.result()


def to_lanes(array: Tensor) -> Planes:
    """(frequency, ...) to (block, ..., [re/im,] LANES) with an even number of frames, the last axis.

    Missing frequencies are copies of the last, so that no lane meets a singular matrix; a missing frame is zero.
    """
    bins, frames = array.shape[0], array.shape[-1]
    parts = torch.view_as_real(array.to("cpu", torch.complex64)) if array.is_complex() else array[..., None]
    blocks = -(-bins // LANES)
    inner = array.shape[1:-1]
    lanes = aligned((blocks, *inner, frames + frames % 2, parts.shape[-1], LANES))
    full = bins // LANES
    target = torch.from_numpy(lanes)[..., :frames, :, :]
    target[:full] = parts[: full * LANES].unflatten(0, (full, LANES)).movedim(1, -1)
    for lane in range(LANES if full < blocks else 0):
        target[full, ..., lane] = parts[min(full * LANES + lane, bins - 1)]
    return lanes if array.is_complex() else lanes[..., 0, :]


def from_lanes(planes: NDArray, bins: int) -> Complex[Tensor, "frequency row column"]:
    """(block, row, column, re/im, LANES) to the first ``bins`` complex frequencies."""
    return torch.view_as_complex(torch.from_numpy(planes).movedim(-1, 1).flatten(0, 1)[:bins].contiguous())
