"""The updates of ``demixing`` as compiled kernels: one pass over the data per iteration, nothing allocated.

``y`` (block, channel, frame, re/im, LANES) holds the outputs, ``w`` (block, row, column, re/im, LANES) the demixing
matrices, ``phi`` the weights, (source, frame) or (block, source, frame, LANES). A block (100 kB for four channels and
12 s) stays in the second-level cache while it is read for its covariances, demixed in place, and measured. Frames
come in pairs; ``counted`` (block, LANES) is zero where there is no frequency.

Compiled at first use and cached on disk (``compile.cache_folder``).
"""

from unbabble.signal.blind.demixing import LONGEST_STEP
from unbabble.signal.kernels import small_matrices as small
from unbabble.signal.kernels import sweeps
from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.lanes import (
    abs2,
    conj,
    load,
    load_real,
    pack,
    select,
    splat,
    sqrt,
    store,
    store_real,
    zero,
)

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
def total_power(y, w, counted, load_power, first, last, total):
    """total_k = sum_f |y_k|^2, with the imagined noise."""
    clear_power(total)
    for block in range(first, last):
        add_power(y, counted, block, total)
    add_noise(w, counted, load_power, first, last, total)


@jit
def _stay_finite(step):
    """``demixing.finite``."""
    channels = step.shape[0]
    size = splat(step, 0.0)
    for i in range(channels):
        for j in range(channels):
            size += abs2(load(step, (i, j)))
    fine = splat(step, LONGEST_STEP**2) > size  # what is no number is not
    for i in range(channels):
        for j in range(channels):
            entry = load(step, (i, j))
            stay = splat(step, 1.0 if i == j else 0.0)
            moved = pack(select(fine, entry.re, stay), select(fine, entry.im, splat(step, 0.0)))
            store(step, (i, j), moved)


@jit
def _finish(y, w, counted, block, apart, total, scratch):
    """Refresh the background, W <- T W, and apply T to the outputs."""
    u, step, single, out, work = scratch
    if apart is not None:  # known from its type: nothing is compiled that is not needed
        sweeps.background(u, step, work)
    _stay_finite(step)
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


KERNELS = {"ip": _ip, "ip2": _ip2, "iss": _iss, "iss2": _iss2, "ipa": _ipa}
