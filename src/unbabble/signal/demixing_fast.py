"""The updates of ``demixing`` as compiled kernels for CPUs: one pass over the data per iteration, nothing allocated.

Memory layout decides the speed. Outputs are float32 planes ``(frequency, channel, re/im, frame)``, so one frequency
(a few kB) stays in the first-level cache while it is read for its covariances, demixed in place, and measured.
Sixteen frequencies form a block: their small matrices lie side by side (``LANES`` last) and all of the algebra on
them (``demixing_lanes``) is vectorised across frequencies. Threads take ranges of blocks and share nothing.

The kernels are compiled at first use and cached on disk (``kernels.cache_folder``).
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.signal import demixing_lanes as lanes
from unbabble.signal.demixing import Demixer, pairs
from unbabble.signal.demixing_lanes import LANES, Planes
from unbabble.signal.kernels import jit

CACHE_BYTES = 2**20
"""About a second-level cache: how much of the outputs the stages of a sweep pass over before going on."""
FRAME_MULTIPLE = 16
"""Frames are padded with zeros to whole vectors, which spares every loop its remainder."""


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
        blocks = -(-self.bins // LANES)
        padded_frames = -(-self.frames // FRAME_MULTIPLE) * FRAME_MULTIPLE
        self.y: Planes = np.zeros((blocks * LANES, self.channels, 2, padded_frames), np.float32)
        planes = torch.view_as_real(spectrogram.to("cpu", torch.complex64)).permute(0, 1, 3, 2)
        self.y[: self.bins, :, :, : self.frames] = planes.numpy()
        # Rows of sources may nearly coincide when a background can take up the rest: the Gram matrix needs digits.
        self._algebra = np.float64 if sources < self.channels else np.float32
        self.w = np.zeros((blocks, self.channels, self.channels, 2, LANES), self._algebra)
        self.w[..., 0, :] = np.eye(self.channels)[..., None]
        threads = max(1, min(threads or torch.get_num_threads(), blocks))
        edges = np.linspace(0, blocks, threads + 1).round().astype(int)
        self.ranges = list(itertools.pairwise(edges))
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._sums: Planes = np.zeros((threads, sources, padded_frames), np.float32)
        self._logs = np.zeros(blocks)
        self.share(self._measure)

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.shutdown(wait=False)

    @property
    def outputs(self) -> Complex[Tensor, "frequency source frame"]:
        """The current sources."""
        planes = torch.from_numpy(self.y[: self.bins, : self.sources, :, : self.frames])
        return torch.complex(planes[:, :, 0], planes[:, :, 1])

    @property
    def matrix(self) -> Complex[Tensor, "frequency channel channel"]:
        """The current demixing matrices."""
        planes = torch.from_numpy(self.w).permute(0, 4, 1, 2, 3).flatten(0, 1)[: self.bins]
        return torch.view_as_complex(planes.contiguous()).to(torch.complex64)

    def power(self) -> Float[Tensor, "source frame"]:
        """|y|^2 summed over frequencies, with the imagined noise."""
        return torch.from_numpy(self._sums.sum(0)[:, : self.frames])

    def log_determinant(self) -> float:
        """Sum over frequencies of log|det W|, or of log det(W W^H) / 2 on the sources."""
        return float(self._logs.sum())

    def step(self, update: str, weights: Float[Tensor, "*frequency source frame"]) -> None:
        """Lower (1) by one pass of ``update`` over the sources; see ``Demixer.step``."""
        phi = weights.reshape(-1, *weights.shape[-2:]).float().numpy()
        if phi.shape[-1] < self.y.shape[-1]:
            phi = np.pad(phi, ((0, 0), (0, 0), (0, self.y.shape[-1] - self.frames)))
        update = update if self.sources > 1 else "ip"
        run = self._steer if update == "iss" else self._sweep
        self.share(lambda part, first, last: run(update, phi, part, first, last))

    def _sweep(self, update: str, phi: Planes, part: int, first: int, last: int) -> None:
        """Gather covariances, let a compiled sweep turn them into steps, apply these: some blocks at a time.

        The stages are kernels of their own, called from here, because a compiler that sees them as one takes
        several times as long; the few blocks stay in the second-level cache between them.
        """
        block_bytes = self.y[:LANES].nbytes
        stride = max(1, min(-(-(last - first) // 4), CACHE_BYTES // block_bytes))
        matrices = self.channels, self.channels, 2, LANES
        covariances = np.zeros((stride, self.sources + 1, *matrices), self._algebra)
        steps = np.zeros((stride, *matrices), self._algebra)
        ring, total, load = np.array(pairs(self.sources)), self._sums[part], np.float32(self.load)
        total[:] = 0
        for start in range(first, last, stride):
            blocks = slice(start, min(start + stride, last))
            y, w = self.y[start * LANES : blocks.stop * LANES], self.w[blocks]
            weights = phi[start * LANES : min(blocks.stop * LANES, self.bins)] if len(phi) > 1 else phi
            count = min(self.bins - start * LANES, len(y))
            _gather(y, w, weights, weights.sum(2) / self.frames, self.frames, load, covariances)
            _SWEEPS[update](covariances, steps, len(w), ring)
            _finish(covariances, steps, w, count, self._logs[blocks])
            _apply(y, w, steps, count, load, total)

    def _steer(self, update: str, phi: Planes, part: int, first: int, last: int) -> None:
        total, logs = self._sums[part], self._logs[first:last]
        total[:] = 0
        y, w = self.y[first * LANES : min(last * LANES, self.bins)], self.w[first:last]
        weights = phi[first * LANES : last * LANES] if len(phi) > 1 else phi
        _iss(y, w, weights, self.frames, np.float32(self.load), total, logs)

    def _measure(self, part: int, first: int, last: int) -> None:
        y, w, total = (
            self.y[first * LANES : min(last * LANES, self.bins)],
            self.w[first:last],
            self._sums[part],
        )
        _total_power(y, w, np.float32(self.load), total)

    def share(self, work: Callable[[int, int, int], None]) -> None:
        """Run ``work`` on every range of blocks, the last one in this thread."""
        *others, mine = [(part, first, last) for part, (first, last) in enumerate(self.ranges)]
        if self._pool is None:
            return work(*mine)
        running = [self._pool.submit(work, *other) for other in others]
        work(*mine)
        for future in running:
            future.result()


# Kernels index whole arrays instead of slicing them: a slice costs two atomic operations on its reference count.


@jit
def _dots4(rows, phi, g, k):
    pa = pb = pc = pd = qa = qb = qc = qd = np.float32(0)
    for t in range(rows.shape[1]):
        p, q, a, b, c, d = (
            rows[0, t],
            rows[1, t],
            phi[g, k, t],
            phi[g, k + 1, t],
            phi[g, k + 2, t],
            phi[g, k + 3, t],
        )
        pa += p * a
        pb += p * b
        pc += p * c
        pd += p * d
        qa += q * a
        qb += q * b
        qc += q * c
        qd += q * d
    return pa, pb, pc, pd, qa, qb, qc, qd


@jit
def _dots2(rows, phi, g, k):
    pa = pb = qa = qb = np.float32(0)
    for t in range(rows.shape[1]):
        p, q, a, b = rows[0, t], rows[1, t], phi[g, k, t], phi[g, k + 1, t]
        pa += p * a
        pb += p * b
        qa += q * a
        qb += q * b
    return pa, pb, qa, qb


@jit
def _dots1(rows, phi, g, k):
    pa = qa = np.float32(0)
    for t in range(rows.shape[1]):
        pa += rows[0, t] * phi[g, k, t]
        qa += rows[1, t] * phi[g, k, t]
    return pa, qa


@jit
def _weighted_sums(rows, phi, g, sums):
    """sums[i, k] = sum_t rows_i phi_k, as many sources at a time as registers hold."""
    k, sources = 0, phi.shape[1]
    while k + 4 <= sources:
        four = _dots4(rows, phi, g, k)
        sums[0, k], sums[0, k + 1], sums[0, k + 2], sums[0, k + 3] = four[0], four[1], four[2], four[3]
        sums[1, k], sums[1, k + 1], sums[1, k + 2], sums[1, k + 3] = four[4], four[5], four[6], four[7]
        k += 4
    if k + 2 <= sources:
        sums[0, k], sums[0, k + 1], sums[1, k], sums[1, k + 1] = _dots2(rows, phi, g, k)
        k += 2
    if k < sources:
        sums[0, k], sums[1, k] = _dots1(rows, phi, g, k)


@jit
def _pair(y, f, i, j, phi, g, k):
    """sum_t phi_k and phi_k+1 times |y_i|^2, |y_j|^2, and both parts of y_j y_i^*: one pass for two channels."""
    ka = kb = kr = ki = ma = mb = mr = mi = np.float32(0)
    for t in range(y.shape[3]):
        ar, ai, br, bi = y[f, i, 0, t], y[f, i, 1, t], y[f, j, 0, t], y[f, j, 1, t]
        p, q, one, other = ar * ar + ai * ai, br * br + bi * bi, phi[g, k, t], phi[g, k + 1, t]
        re, im = br * ar + bi * ai, bi * ar - br * ai
        ka += one * p
        kb += one * q
        kr += one * re
        ki += one * im
        ma += other * p
        mb += other * q
        mr += other * re
        mi += other * im
    return ka, kb, kr, ki, ma, mb, mr, mi


@jit
def _store(u, block, k, i, j, lane, re, im):
    """Entry (i, j) of a Hermitian matrix, and its mirror."""
    u[block, k, i, j, 0, lane] = re
    u[block, k, i, j, 1, lane] = im
    u[block, k, j, i, 0, lane] = re
    u[block, k, j, i, 1, lane] = -im


@jit
def _covariances(y, f, phi, g, scale, u, block, lane, rows, sums):
    """u[block, k, i, j, :, lane] = scale * sum_t phi_k y_i y_j^*, for frequency f with weights g."""
    channels, sources, frames = y.shape[1], phi.shape[1], y.shape[3]
    if channels == 2 and sources == 2:
        sums8 = _pair(y, f, 0, 1, phi, g, 0)
        for k in range(2):
            _store(u, block, k, 0, 0, lane, scale * sums8[4 * k], np.float32(0))
            _store(u, block, k, 1, 1, lane, scale * sums8[4 * k + 1], np.float32(0))
            _store(u, block, k, 1, 0, lane, scale * sums8[4 * k + 2], scale * sums8[4 * k + 3])
        return
    for i in range(channels):
        for j in range(i):
            for t in range(frames):
                ar, ai, br, bi = y[f, i, 0, t], y[f, i, 1, t], y[f, j, 0, t], y[f, j, 1, t]
                rows[0, t] = ar * br + ai * bi
                rows[1, t] = ai * br - ar * bi
            _weighted_sums(rows, phi, g, sums)
            for k in range(sources):
                _store(u, block, k, i, j, lane, scale * sums[0, k], scale * sums[1, k])
    for i in range(0, channels, 2):  # the diagonal is real: two channels at a time
        j = min(i + 1, channels - 1)
        for t in range(frames):
            ar, ai, br, bi = y[f, i, 0, t], y[f, i, 1, t], y[f, j, 0, t], y[f, j, 1, t]
            rows[0, t] = ar * ar + ai * ai
            rows[1, t] = br * br + bi * bi
        _weighted_sums(rows, phi, g, sums)
        for k in range(sources):
            _store(u, block, k, i, i, lane, scale * sums[0, k], np.float32(0))
            _store(u, block, k, j, j, lane, scale * sums[1, k], np.float32(0))


@jit
def _transform(y, f, steps, block, lane, out):
    """out = step y for frequency f, two channels at a time."""
    channels, frames = y.shape[1], y.shape[3]
    for i in range(channels):
        a, b = np.float32(steps[block, i, 0, 0, lane]), np.float32(steps[block, i, 0, 1, lane])
        if channels == 1:
            for t in range(frames):
                out[i, 0, t] = a * y[f, 0, 0, t] - b * y[f, 0, 1, t]
                out[i, 1, t] = a * y[f, 0, 1, t] + b * y[f, 0, 0, t]
            continue
        c, d = np.float32(steps[block, i, 1, 0, lane]), np.float32(steps[block, i, 1, 1, lane])
        for t in range(frames):
            xr, xi, vr, vi = y[f, 0, 0, t], y[f, 0, 1, t], y[f, 1, 0, t], y[f, 1, 1, t]
            out[i, 0, t] = a * xr - b * xi + c * vr - d * vi
            out[i, 1, t] = a * xi + b * xr + c * vi + d * vr
        j = 2
        while j + 2 <= channels:
            a, b = np.float32(steps[block, i, j, 0, lane]), np.float32(steps[block, i, j, 1, lane])
            c, d = np.float32(steps[block, i, j + 1, 0, lane]), np.float32(steps[block, i, j + 1, 1, lane])
            for t in range(frames):
                xr, xi, vr, vi = y[f, j, 0, t], y[f, j, 1, t], y[f, j + 1, 0, t], y[f, j + 1, 1, t]
                out[i, 0, t] += a * xr - b * xi + c * vr - d * vi
                out[i, 1, t] += a * xi + b * xr + c * vi + d * vr
            j += 2
        if j < channels:
            a, b = np.float32(steps[block, i, j, 0, lane]), np.float32(steps[block, i, j, 1, lane])
            for t in range(frames):
                xr, xi = y[f, j, 0, t], y[f, j, 1, t]
                out[i, 0, t] += a * xr - b * xi
                out[i, 1, t] += a * xi + b * xr


@jit
def _noise(w, block, k, lane, load):
    """load |w_k|^2 at one frequency."""
    squares = 0 * w[block, 0, 0, 0, 0]
    for c in range(w.shape[2]):
        squares += w[block, k, c, 0, lane] ** 2 + w[block, k, c, 1, lane] ** 2
    return np.float32(load * squares)


@jit
def _add_power(y, f, w, load, total):
    """total_k += |y_k|^2 + load |w_k|^2 for frequency f."""
    for k in range(total.shape[0]):
        noise = _noise(w, f // LANES, k, f % LANES, load)
        for t in range(total.shape[1]):
            total[k, t] += y[f, k, 0, t] ** 2 + y[f, k, 1, t] ** 2 + noise


@jit
def _total_power(y, w, load, total):
    lanes.clear(total)
    for f in range(y.shape[0]):
        _add_power(y, f, w, load, total)


@jit
def _gather(y, w, phi, means, frames, load, covariances):
    """Loaded covariances of some blocks in output coordinates, and their Gram matrices."""
    sources, padded = phi.shape[1], y.shape[3]
    rows = np.empty((2, padded), np.float32)
    sums = np.empty((2, sources), np.float32)
    scale = np.float32(1 / frames)
    for block in range(w.shape[0]):
        lanes.gram(w, covariances, block)
        for lane in range(LANES):
            f = block * LANES + lane
            g = f if f < phi.shape[0] else 0
            _covariances(y, f, phi, g, scale, covariances, block, lane, rows, sums)
        for k in range(sources):
            lanes.add_load(covariances, block, k, means, load)


@jit
def _sweep_ip(covariances, steps, blocks, ring):
    work = lanes.workspace(steps)
    for block in range(blocks):
        lanes.set_identity(steps[block])
        lanes.sweep_ip(covariances[block], steps[block], work)


@jit
def _sweep_ip2(covariances, steps, blocks, ring):
    work = lanes.workspace(steps)
    for block in range(blocks):
        lanes.set_identity(steps[block])
        lanes.sweep_ip2(covariances[block], steps[block], ring, work)


@jit
def _sweep_iss2(covariances, steps, blocks, ring):
    work = lanes.workspace(steps)
    for block in range(blocks):
        lanes.set_identity(steps[block])
        lanes.sweep_iss2(covariances[block], steps[block], ring, work)


@jit
def _sweep_ipa(covariances, steps, blocks, ring):
    work = lanes.workspace(steps)
    for block in range(blocks):
        lanes.set_identity(steps[block])
        lanes.sweep_ipa(covariances[block], steps[block], work)


@jit
def _finish(covariances, steps, w, count, logs):
    """Refresh the background, W <- T W, and the log-determinants of the blocks' first ``count`` frequencies."""
    work = lanes.workspace(steps)
    for block in range(w.shape[0]):
        u, step = covariances[block], steps[block]
        if u.shape[0] - 1 < u.shape[1]:
            lanes.background(u, step, work)
        lanes.multiply(step, w[block], work)
        logs[block] = lanes.log_determinant(u, min(count - block * LANES, LANES), work)


@jit
def _apply(y, w, steps, count, load, total):
    """y <- T y, and its power."""
    channels, sources, frames = y.shape[1], total.shape[0], y.shape[3]
    out = np.empty(y.shape[1:], np.float32)
    for f in range(count):
        block, lane = f // LANES, f % LANES
        _transform(y, f, steps, block, lane, out)
        for i in range(channels):
            if i < sources:
                noise = _noise(w, block, i, lane, load)
                for t in range(frames):
                    re, im = out[i, 0, t], out[i, 1, t]
                    y[f, i, 0, t] = re
                    y[f, i, 1, t] = im
                    total[i, t] += re * re + im * im + noise
            else:
                for t in range(frames):
                    y[f, i, 0, t] = out[i, 0, t]
                    y[f, i, 1, t] = out[i, 1, t]


@jit
def _steering_sums(y, f, m, k, phi, g):
    """sum_t phi_m y_m y_k^* (real and imaginary part) and sum_t phi_m |y_k|^2."""
    re = im = power = np.float32(0)
    for t in range(y.shape[3]):
        br, bi = y[f, k, 0, t], y[f, k, 1, t]
        weighted_r, weighted_i = phi[g, m, t] * br, phi[g, m, t] * bi
        re += y[f, m, 0, t] * weighted_r + y[f, m, 1, t] * weighted_i
        im += y[f, m, 1, t] * weighted_r - y[f, m, 0, t] * weighted_i
        power += br * weighted_r + bi * weighted_i
    return re, im, power


@jit
def _iss(y, w, phi, frames, load, total, logs):
    """Source steering straight on the outputs: no matrix is formed, the cost is quadratic in the channels."""
    sources, padded = phi.shape[1], y.shape[3]
    v = np.empty((sources, 2), np.float32)
    loads = np.empty(sources, np.float32)
    row = np.empty((sources, sources, 2), np.float32)
    for f in range(y.shape[0]):
        g, block, lane = (f if phi.shape[0] > 1 else 0), f // LANES, f % LANES
        for k in range(sources):
            mean = np.float32(0)
            for t in range(padded):
                mean += phi[g, k, t]
            loads[k] = load * mean
            for c in range(sources):
                row[k, c, 0], row[k, c, 1] = w[block, k, c, 0, lane], w[block, k, c, 1, lane]
        for k in range(sources):
            for m in range(sources):
                re, im, power = _steering_sums(y, f, m, k, phi, g)
                for c in range(sources):
                    mr, mi, kr, ki = row[m, c, 0], row[m, c, 1], row[k, c, 0], row[k, c, 1]
                    re += loads[m] * (mr * kr + mi * ki)
                    im += loads[m] * (mi * kr - mr * ki)
                    power += loads[m] * (kr * kr + ki * ki)
                v[m, 0], v[m, 1] = re / power, im / power
                if m == k:
                    v[k, 0], v[k, 1] = np.sqrt(frames / power), 0
            for m in range(sources):
                if m != k:
                    vr, vi = v[m, 0], v[m, 1]
                    for t in range(padded):
                        br, bi = y[f, k, 0, t], y[f, k, 1, t]
                        y[f, m, 0, t] -= vr * br - vi * bi
                        y[f, m, 1, t] -= vr * bi + vi * br
                    for c in range(sources):
                        kr, ki = row[k, c, 0], row[k, c, 1]
                        row[m, c, 0] -= vr * kr - vi * ki
                        row[m, c, 1] -= vr * ki + vi * kr
            scale = v[k, 0]
            for t in range(padded):
                y[f, k, 0, t] *= scale
                y[f, k, 1, t] *= scale
            for c in range(sources):
                row[k, c, 0] *= scale
                row[k, c, 1] *= scale
            logs[block] += np.log(scale)
        for k in range(sources):
            for c in range(sources):
                w[block, k, c, 0, lane], w[block, k, c, 1, lane] = row[k, c, 0], row[k, c, 1]
        _add_power(y, f, w, load, total)


_SWEEPS = {"ip": _sweep_ip, "ip2": _sweep_ip2, "iss2": _sweep_iss2, "ipa": _sweep_ipa}
