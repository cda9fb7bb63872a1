"""The steps of ``demixing`` on the covariances of sixteen frequencies at once, compiled.

``u`` (source + 1, row, column, re/im, LANES) holds the covariances U_k and, last, the Gram matrix; ``step`` becomes the
product of the steps. Equations and names are those of ``demixing``.
"""

import numpy as np

from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.lanes import (
    LANES,
    abs2,
    aligned,
    any_lane,
    conj,
    load,
    load_real,
    maximum,
    pack,
    select,
    splat,
    sqrt,
    store,
    store_real,
    zero,
)
from unbabble.signal.kernels.small_matrices import (
    SMALL,
    apply,
    clear_vector,
    copy,
    eigenvectors,
    inner,
    invert,
    paired_eigenvectors,
    set_identity,
)

NEWTON_STEPS = 60
TINY = np.float32(1e-12)
"""Stands in for a vanishing magnitude; its square is still a normal float32."""


def workspace(channels, dtype):
    """Scratch matrices and scratch vectors that the functions below share."""
    matrices = aligned((3, channels, channels, 2, LANES), dtype)
    vectors = aligned((8, channels, 2, LANES), dtype)
    return matrices, vectors


# Scratch matrices by purpose, and scratch vectors by purpose and number.
_INVERSE, _OTHER, _THIRD = range(3)
_ROW, _NEW, _STEERING, _COLUMN, _SOLUTION, _TARGET = 0, 2, 4, 4, 6, 6


@jit
def _steer(u, k, a, work):
    """a = a_k, column of the sources' pseudo-inverse: a unit vector, plus G_bt G_tt^-1 e_k in the background."""
    sources, channels = u.shape[0] - 1, u.shape[1]
    clear_vector(a)
    store(a, (k,), zero(a) + 1)
    if sources < channels:
        gram, g = u[sources], work[0][_OTHER]
        copy(gram, g)
        invert(g, sources)
        for i in range(sources, channels):
            total = zero(a)
            for s in range(sources):
                total += load(gram, (i, s)) * load(g, (s, k))
            store(a, (i,), total)


@jit
def _set_rows(u, step, first, targets, work):
    """Outputs ``targets`` become row_p @ outputs: U <- T U T^H from covariance ``first`` on, step <- T step."""
    channels, vectors = u.shape[1], work[1]
    for m in range(first, u.shape[0] + 1):
        is_step = m == u.shape[0]
        a = step if is_step else u[m]
        for p in range(len(targets)):
            for j in range(channels):
                total = zero(a)
                for i in range(channels):
                    total += load(vectors, (_ROW + p, i)) * load(a, (i, j))
                store(vectors, (_NEW + p, j), total)
        for p in range(len(targets)):
            for j in range(channels):
                new = load(vectors, (_NEW + p, j))
                store(a, (targets[p], j), new)
                if not is_step:
                    store(a, (j, targets[p]), conj(new))
        if not is_step:
            for p in range(len(targets)):
                for q in range(len(targets)):
                    corner = zero(a)
                    for j in range(channels):
                        corner += load(vectors, (_NEW + p, j)) * conj(load(vectors, (_ROW + q, j)))
                    store(a, (targets[p], targets[q]), corner)


@jit
def _add_column(u, step, k, c):
    """Every output i but k gains c[i] y_k: U <- T U T^H, step <- T step. ``c[k]`` is zero."""
    channels = u.shape[1]
    for m in range(u.shape[0] + 1):
        a = step if m == u.shape[0] else u[m]
        for i in range(channels):
            if i != k:
                gain = load(c, (i,))
                for j in range(channels):
                    store(a, (i, j), load(a, (i, j)) + gain * load(a, (k, j)))
        if m < u.shape[0]:
            for i in range(channels):
                corner = load(a, (i, k))
                for j in range(channels):
                    if j != k:
                        store(a, (i, j), load(a, (i, j)) + conj(load(c, (j,))) * corner)


@jit
def background(u, step, work):
    """``demixing.background``, by Gram and Schmidt; of ``u`` only the Gram matrix is kept up to date."""
    sources, channels = u.shape[0] - 1, u.shape[1]
    g, inverse, row = u[sources], work[0][_INVERSE], work[1][_ROW]
    copy(g, inverse)
    invert(inverse, sources)
    for b in range(sources, channels):
        clear_vector(row)
        for t in range(
            sources
        ):  # minus G_bt G_tt^-1; the earlier background is orthonormal and off the sources
            total = zero(row)
            for s in range(sources):
                total -= load(g, (b, s)) * load(inverse, (s, t))
            store(row, (t,), total)
        for t in range(sources, b):
            store(row, (t,), zero(row) - load(g, (b, t)))
        store(row, (b,), zero(row) + 1)
        norm = splat(row, 0.0)
        for t in range(b + 1):
            norm += (load(row, (t,)) * load(g, (t, b))).re
        scale = 1 / sqrt(maximum(norm, SMALL))
        for t in range(b + 1):
            store(row, (t,), scale * load(row, (t,)))
        _set_rows(u, step, sources, (b,), work)


@jit
def ip(u, step, work, ring):
    """``demixing.ip`` for every source."""
    set_identity(step)
    sources, channels = u.shape[0] - 1, u.shape[1]
    inverse, a, x = work[0][_INVERSE], work[1][_STEERING], work[1][_SOLUTION]
    for k in range(sources):
        copy(u[k], inverse)
        invert(inverse, channels)
        _steer(u, k, a, work)
        apply(inverse, a, x)
        scale = 1 / sqrt(inner(a, x).re)
        for i in range(channels):
            store(work[1], (_ROW, i), conj(load(x, (i,))) * scale)
        _set_rows(u, step, k + 1, (k,), work)


@jit
def ip2(u, step, work, ring):
    """``demixing.ip2`` for the pairs of ``ring``."""
    set_identity(step)
    channels, vectors = u.shape[1], work[1]
    first, second = work[0][_INVERSE], work[0][_THIRD]
    a, b, x, y = vectors[_STEERING], vectors[_STEERING + 1], vectors[_SOLUTION], vectors[_SOLUTION + 1]
    for pair in range(ring.shape[0]):
        k, m = ring[pair]
        _steer(u, k, a, work)
        _steer(u, m, b, work)
        copy(u[k], first)
        copy(u[m], second)
        invert(first, channels)
        invert(second, channels)
        apply(second, a, x)
        apply(second, b, y)
        g00, g11, g10 = inner(a, x).re, inner(b, y).re, inner(b, x)
        apply(first, a, x)
        apply(first, b, y)
        top, h0, h1, _, e0, e1 = paired_eigenvectors(
            inner(a, x).re, inner(b, y).re, inner(b, x), g00, g11, g10
        )
        scale = 1 / sqrt(top)
        for i in range(channels):
            combined = load(x, (i,)) * h0 + load(y, (i,)) * h1
            store(vectors, (_ROW, i), conj(combined) * scale)
        apply(second, a, x)
        apply(second, b, y)
        for i in range(channels):
            combined = load(x, (i,)) * e0 + load(y, (i,)) * e1
            store(vectors, (_ROW + 1, i), conj(combined))
        _set_rows(u, step, 0, (k, m), work)


@jit
def iss2(u, step, work, ring):
    """``demixing.iss2`` for the pairs of ``ring``."""
    set_identity(step)
    sources, vectors = u.shape[0] - 1, work[1]
    c, d, row0, row1 = vectors[_COLUMN], vectors[_COLUMN + 1], vectors[_ROW], vectors[_ROW + 1]
    for pair in range(ring.shape[0]):
        k, m = ring[pair]
        clear_vector(c)
        clear_vector(d)
        for i in range(sources):
            if i != k and i != m:  # minus (G_i^-1 f_i)^H, by Cramer's rule
                g00, g11, g10 = load(u, (i, k, k)).re, load(u, (i, m, m)).re, load(u, (i, m, k))
                f, e = load(u, (i, k, i)), load(u, (i, m, i))
                scale = -1 / maximum(g00 * g11 - abs2(g10), SMALL * g00 * g11)
                store(c, (i,), scale * conj(g11 * f - conj(g10) * e))
                store(d, (i,), scale * conj(g00 * e - g10 * f))
        g00, g11, g10 = load(u, (k, k, k)).re, load(u, (k, m, m)).re, load(u, (k, m, k))
        _, y0, y1, _, x0, x1 = paired_eigenvectors(
            g00, g11, g10, load(u, (m, k, k)).re, load(u, (m, m, m)).re, load(u, (m, m, k))
        )
        # The smallest eigenvalue may have no digits left: the Rayleigh quotient has them all.
        first, second = g00 * abs2(x0), g11 * abs2(x1)
        length = maximum(
            first + second + 2 * (g10 * x0 * conj(x1)).re,
            SMALL * (first + second),
        )
        scale = 1 / sqrt(length)
        clear_vector(row0)
        clear_vector(row1)
        store(row0, (k,), conj(x0) * scale)
        store(row0, (m,), conj(x1) * scale)
        store(row1, (k,), conj(y0))
        store(row1, (m,), conj(y1))
        _add_column(u, step, k, c)
        _add_column(u, step, m, d)
        _set_rows(u, step, 0, (k, m), work)


@jit
def ipa(u, step, work, ring):
    """``demixing.ipa`` for every source; ``c``, ``s``, ``b``, ``v`` are indexed by outputs, row and column k unused."""
    set_identity(step)
    sources, vectors = u.shape[0] - 1, work[1]
    inverse, c, s = work[0][_INVERSE], work[0][_OTHER], work[0][_THIRD]
    b, v, column, row = vectors[_NEW], vectors[_NEW + 1], vectors[_COLUMN], vectors[_ROW]
    x, scales, phi = vectors[_TARGET], vectors[_TARGET + 1], vectors[_COLUMN + 1]
    n = sources - 1
    for k in range(sources):
        copy(u[k], inverse)
        invert(inverse, sources)
        for i in range(n):
            m = i if i < k else i + 1
            scale = 1 / sqrt(load(u, (m, k, k)).re)
            store_real(scales, (i, 0), scale)
            store(b, (i,), load(u, (m, k, m)) * scale)  # A^-1/2 b
        for i in range(n):  # C = A^-1/2 conj(M_oo) A^-1/2, x = -(C A^-1/2 b + A^-1/2 conj(M_ok))
            p = i if i < k else i + 1
            scale = load_real(scales, (i, 0))
            total = conj(load(inverse, (p, k))) * scale
            for j in range(n):
                q = j if j < k else j + 1
                entry = conj(load(inverse, (p, q))) * (scale * load_real(scales, (j, 0)))
                store(c, (i, j), entry)
                total += entry * load(b, (j,))
            store(x, (i,), zero(x) - total)
        eigenvectors(c, s, n)
        top = splat(c, 0.0)
        for i in range(n):
            top = maximum(top, maximum(load(c, (i, i)).re, TINY))
        for i in range(n):  # v = S^H x, in units of the top eigenvalue
            total = zero(v)
            for j in range(n):
                total += conj(load(s, (j, i))) * load(x, (j,))
            store(v, (i,), total / top)
            store_real(phi, (i, 0), maximum(maximum(load(c, (i, i)).re, TINY) / top, SMALL))
        root = _largest_root(phi, v, 1 / (load(u, (k, k, k)).re * top), n)
        store(column, (k,), zero(column))
        for i in range(n):  # column = conj(q)
            total = zero(v) - load(b, (i,))
            for j in range(n):
                total += load(s, (i, j)) * load(v, (j,))
            store(column, (i if i < k else i + 1,), conj(total) * load_real(scales, (i, 0)))
        length = 1 / sqrt(root * top)
        for m in range(sources):  # row = (M x)^H / sqrt(lambda), x = [1, -conj(q)]
            total = load(inverse, (m, k))
            for j in range(sources):
                total -= load(inverse, (m, j)) * load(column, (j,))
            store(row, (m,), conj(total) * length)
        corner = load(row, (k,))  # the row is meant for the outputs before the column is added
        for m in range(sources):
            corner -= load(row, (m,)) * load(column, (m,))
        store(row, (k,), corner)
        _add_column(u, step, k, column)
        _set_rows(u, step, 0, (k,), work)


@jit
def _largest_root(phi, v, z, n):
    """``demixing.largest_root``; ``v`` is overwritten by v_i / (root - phi_i)."""
    beyond = maximum(z - 1, TINY)
    for i in range(n):
        value, vi = load_real(phi, (i, 0)), load(v, (i,))
        size = sqrt(abs2(vi))
        size = select(value == 1, maximum(size, TINY), size)
        store_real(phi, (i, 1), size)
        beyond = maximum(beyond, value - 1 + size)
    for _ in range(NEWTON_STEPS):
        value = splat(phi, 0.0)
        slope = splat(phi, 0.0)
        for i in range(n):
            this = load_real(phi, (i, 0))
            distance = 1 / (beyond + (1 - this))
            ratio = load_real(phi, (i, 1)) * distance
            term = ratio * ratio / this
            value += term
            slope += term * this * distance
        x = 1 + beyond
        rise = (x * x * value - x + z) / (1 + 2 * x * slope)
        moving = any_lane(rise > np.float32(1e-5) * beyond)
        beyond += maximum(rise, 0)
        if not moving:
            break
    for i in range(n):
        vi, size = load(v, (i,)), load_real(phi, (i, 1))
        length = sqrt(abs2(vi))
        ratio = size / (beyond + (1 - load_real(phi, (i, 0))))
        factor = ratio / maximum(length, np.float32(1e-30))
        there = length > 0
        store(v, (i,), pack(select(there, vi.re * factor, ratio), select(there, vi.im * factor, 0)))
    return 1 + beyond
