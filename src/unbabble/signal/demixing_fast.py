"""The updates of ``demixing`` as compiled kernels for CPUs: one pass over the data per iteration, nothing allocated.

Memory layout decides the speed. Sixteen frequencies lie side by side as the lanes of a vector (``simd``), so that
all of the work, sums over frames and algebra on small matrices alike, is the scalar code of one frequency done on
sixteen. A block of them (100 kB for four channels and 12 s) stays in the second-level cache while it is read for
its covariances, demixed in place, and measured. Threads take ranges of blocks and share nothing.

The kernels are compiled at first use and cached on disk (``kernels.cache_folder``).
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from unbabble.signal import demixing_sweeps as sweeps
from unbabble.signal import small_matrices as small
from unbabble.signal.demixing import Demixer, applicable, pairs
from unbabble.signal.kernels import jit
from unbabble.signal.simd import (
    LANES,
    abs2,
    aligned,
    conj,
    load,
    load_real,
    pack,
    splat,
    sqrt,
    store,
    store_real,
    zero,
)

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
                sweeps.workspace(self.channels, algebra),
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
        _KERNELS[update](
            *(self.y, self.w, self.counted, planes, np.float32(self.load), self.frames, first, last),
            *(self._ring, self._apart, self._sums[part], self._scratch[part]),
        )

    def _measure(self, part: int, first: int, last: int) -> None:
        _total_power(self.y, self.w, self.counted, np.float32(self.load), first, last, self._sums[part])

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


# Kernels index whole arrays where they can: a slice costs two atomic operations on its reference count.


@jit
def weight_of(phi, block, k, t, y):
    """phi_kt, or phi_kft, as a vector."""
    if phi.ndim == 2:  # noqa: SIM108 (Numba chooses by the type; an expression would need both)
        weight = splat(y, phi[k, t])
    else:
        weight = load_real(phi, (block, k, t))
    return weight


@jit
def _products4(y, block, i, j, phi, k, u):
    """U_k ... U_k+3 at (i, j): sum_t phi_k y_i y_j^*."""
    a = b = c = d = zero(y)
    for t in range(y.shape[2]):
        product = load(y, (block, i, t)) * conj(load(y, (block, j, t)))
        a += weight_of(phi, block, k, t, y) * product
        b += weight_of(phi, block, k + 1, t, y) * product
        c += weight_of(phi, block, k + 2, t, y) * product
        d += weight_of(phi, block, k + 3, t, y) * product
    store(u, (k, i, j), a)
    store(u, (k + 1, i, j), b)
    store(u, (k + 2, i, j), c)
    store(u, (k + 3, i, j), d)


@jit
def _products2(y, block, i, j, phi, k, m, u):
    a = b = zero(y)
    for t in range(y.shape[2]):
        product = load(y, (block, i, t)) * conj(load(y, (block, j, t)))
        a += weight_of(phi, block, k, t, y) * product
        b += weight_of(phi, block, m, t, y) * product
    store(u, (k, i, j), a)
    store(u, (m, i, j), b)


@jit
def _powers4(y, block, i, phi, k, u):
    """The same on the diagonal, which is real."""
    a = b = c = d = splat(y, 0.0)
    for t in range(y.shape[2]):
        power = abs2(load(y, (block, i, t)))
        a += weight_of(phi, block, k, t, y) * power
        b += weight_of(phi, block, k + 1, t, y) * power
        c += weight_of(phi, block, k + 2, t, y) * power
        d += weight_of(phi, block, k + 3, t, y) * power
    none = splat(y, 0.0)
    store(u, (k, i, i), pack(a, none))
    store(u, (k + 1, i, i), pack(b, none))
    store(u, (k + 2, i, i), pack(c, none))
    store(u, (k + 3, i, i), pack(d, none))


@jit
def _powers2(y, block, i, phi, k, m, u):
    a = b = splat(y, 0.0)
    for t in range(y.shape[2]):
        power = abs2(load(y, (block, i, t)))
        a += weight_of(phi, block, k, t, y) * power
        b += weight_of(phi, block, m, t, y) * power
    none = splat(y, 0.0)
    store(u, (k, i, i), pack(a, none))
    store(u, (m, i, i), pack(b, none))


@jit
def mean_weight(phi, block, k, y, frames):
    """mean_t phi_k."""
    total = splat(y, 0.0)
    for t in range(y.shape[2]):
        total += weight_of(phi, block, k, t, y)
    return total / frames


@jit
def _gather(y, w, block, phi, load_power, frames, u):
    """U_k = mean_t phi_k y y^H + load mean_t(phi_k) G, and the Gram matrix G of w last."""
    channels, sources = y.shape[1], u.shape[0] - 1
    small.gram(w[block], u[sources])
    for i in range(channels):
        k = 0
        while k + 4 <= sources:
            for j in range(i):
                _products4(y, block, i, j, phi, k, u)
            _powers4(y, block, i, phi, k, u)
            k += 4
        while k < sources:
            m = min(k + 1, sources - 1)
            for j in range(i):
                _products2(y, block, i, j, phi, k, m, u)
            _powers2(y, block, i, phi, k, m, u)
            k += 2
    for k in range(sources):
        noise = splat(u, load_power * mean_weight(phi, block, k, y, frames))
        for i in range(channels):
            for j in range(i + 1):
                total = load(u, (k, i, j)) / frames + noise * load(u, (sources, i, j))
                store(u, (k, i, j), total)
        small.mirror(u[k])


@jit
def _apply(y, counted, block, step, total, out):
    """y <- T y, two outputs and two frames at a time; |y|^2 is added to ``total``."""
    channels, sources = y.shape[1], total.shape[0]
    real = load_real(counted, (block,))
    for t in range(0, y.shape[2], 2):
        for i in range(0, channels, 2):
            h = min(i + 1, channels - 1)
            a = b = c = d = zero(y)
            for j in range(channels):
                p, q = load(step, (i, j)), load(step, (h, j))
                first, second = load(y, (block, j, t)), load(y, (block, j, t + 1))
                a += p * first
                b += p * second
                c += q * first
                d += q * second
            store(out, (i, 0), a)
            store(out, (i, 1), b)
            store(out, (h, 0), c)
            store(out, (h, 1), d)
        for i in range(channels):
            first, second = load(out, (i, 0)), load(out, (i, 1))
            store(y, (block, i, t), first)
            store(y, (block, i, t + 1), second)
            if i < sources:
                store_real(total, (i, t), load_real(total, (i, t)) + real * abs2(first))
                store_real(total, (i, t + 1), load_real(total, (i, t + 1)) + real * abs2(second))


@jit
def clear_power(total):
    """total = 0."""
    for k in range(total.shape[0]):
        for t in range(total.shape[1]):
            store_real(total, (k, t), splat(total, 0.0))


@jit
def add_noise(w, counted, load_power, first, last, total):
    """The imagined noise of all frequencies, the same in every frame."""
    for k in range(total.shape[0]):
        noise = splat(w, 0.0)
        for block in range(first, last):
            noise += splat(w, load_real(counted, (block,))) * small.squared_norm(w[block], k)
        noise = load_power * splat(total, noise)
        for t in range(total.shape[1]):
            store_real(total, (k, t), load_real(total, (k, t)) + noise)


@jit
def add_power(y, counted, block, total):
    """total_k += |y_k|^2."""
    real = load_real(counted, (block,))
    for k in range(total.shape[0]):
        for t in range(total.shape[1]):
            power = load_real(total, (k, t)) + real * abs2(load(y, (block, k, t)))
            store_real(total, (k, t), power)


@jit
def _total_power(y, w, counted, load_power, first, last, total):
    clear_power(total)
    for block in range(first, last):
        add_power(y, counted, block, total)
    add_noise(w, counted, load_power, first, last, total)


@jit
def _finish(y, w, counted, block, apart, total, scratch):
    """Refresh the background, W <- T W, and apply T to the outputs."""
    u, step, single, out, work = scratch
    if apart is not None:  # known from its type: nothing is compiled that is not needed
        sweeps.background(u, step, work)
    small.multiply(step, w[block], work[0][0])
    small.copy(work[0][0], w[block])
    small.copy(step, single)
    _apply(y, counted, block, single, total, out)


# One kernel for each update, and not one that chooses: compiling takes seconds. (Nor a closure over the sweep: Numba
# does not find it again in its cache.)


@jit
def _ip(y, w, counted, phi, load_power, frames, first, last, ring, apart, total, scratch):
    clear_power(total)
    for block in range(first, last):
        _gather(y, w, block, phi, load_power, frames, scratch[0])
        sweeps.ip(scratch[0], scratch[1], scratch[4], ring)
        _finish(y, w, counted, block, apart, total, scratch)
    add_noise(w, counted, load_power, first, last, total)


@jit
def _ip2(y, w, counted, phi, load_power, frames, first, last, ring, apart, total, scratch):
    clear_power(total)
    for block in range(first, last):
        _gather(y, w, block, phi, load_power, frames, scratch[0])
        sweeps.ip2(scratch[0], scratch[1], scratch[4], ring)
        _finish(y, w, counted, block, apart, total, scratch)
    add_noise(w, counted, load_power, first, last, total)


@jit
def _iss2(y, w, counted, phi, load_power, frames, first, last, ring, apart, total, scratch):
    clear_power(total)
    for block in range(first, last):
        _gather(y, w, block, phi, load_power, frames, scratch[0])
        sweeps.iss2(scratch[0], scratch[1], scratch[4], ring)
        _finish(y, w, counted, block, apart, total, scratch)
    add_noise(w, counted, load_power, first, last, total)


@jit
def _ipa(y, w, counted, phi, load_power, frames, first, last, ring, apart, total, scratch):
    clear_power(total)
    for block in range(first, last):
        _gather(y, w, block, phi, load_power, frames, scratch[0])
        sweeps.ipa(scratch[0], scratch[1], scratch[4], ring)
        _finish(y, w, counted, block, apart, total, scratch)
    add_noise(w, counted, load_power, first, last, total)


@jit
def steer_block(y, rows, block, phi, load_power, frames, scratch):
    """Source steering straight on the outputs and rows of a block, for every source.

    No matrix is formed: the cost is quadratic in the sources.
    """
    sources, columns = rows.shape[:2]
    for m in range(sources):
        noise = (load_power * frames) * mean_weight(phi, block, m, y, frames)
        store_real(scratch, (m, 0, 0), noise)
    for k in range(sources):
        for m in range(sources):
            cross, power = zero(y), splat(y, 0.0)
            for t in range(y.shape[2]):
                yk = load(y, (block, k, t))
                weighted = weight_of(phi, block, m, t, y) * yk
                cross += load(y, (block, m, t)) * conj(weighted)
                power += yk.re * weighted.re + yk.im * weighted.im
            noise = load_real(scratch, (m, 0, 0))
            for c in range(columns):
                row = load(rows, (k, c))
                cross += noise * (load(rows, (m, c)) * conj(row))
                power += noise * abs2(row)
            v = cross / power
            if m == k:
                v = pack(sqrt(frames / power), splat(y, 0.0))
            store(scratch, (m, 1), v)
        for m in range(sources):
            if m != k:
                v = load(scratch, (m, 1))
                for t in range(y.shape[2]):
                    store(y, (block, m, t), load(y, (block, m, t)) - v * load(y, (block, k, t)))
                for c in range(columns):
                    store(rows, (m, c), load(rows, (m, c)) - v * load(rows, (k, c)))
        scale = load(scratch, (k, 1)).re
        for t in range(y.shape[2]):
            store(y, (block, k, t), scale * load(y, (block, k, t)))
        for c in range(columns):
            store(rows, (k, c), scale * load(rows, (k, c)))


@jit
def _iss(y, w, counted, phi, load_power, frames, first, last, ring, apart, total, scratch):
    clear_power(total)
    for block in range(first, last):
        steer_block(y, w[block], block, phi, load_power, frames, scratch[3])
        add_power(y, counted, block, total)
    add_noise(w, counted, load_power, first, last, total)


_KERNELS = {"ip": _ip, "ip2": _ip2, "iss": _iss, "iss2": _iss2, "ipa": _ipa}
