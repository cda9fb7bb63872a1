"""Small complex matrices of sixteen frequencies at once, compiled: the algebra that ``demixing_sweeps`` needs.

A matrix is an array ``(row, column, re/im, LANES)``, a vector ``(row, re/im, LANES)``; see ``lanes``.
"""

import numpy as np

from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.lanes import (
    abs2,
    absolute,
    any_lane,
    conj,
    load,
    maximum,
    pack,
    select,
    splat,
    sqrt,
    store,
    zero,
)

JACOBI_SWEEPS = 12
SMALL = np.float32(1e-7)
"""Below float32's rounding."""


@jit
def copy(a, b):
    """b = a, matrices of any two precisions."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            store(b, (i, j), load(a, (i, j)))


@jit
def clear_vector(a):
    """a = 0."""
    for i in range(a.shape[0]):
        store(a, (i,), zero(a))


@jit
def set_identity(a):
    """a = I."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            store(a, (i, j), zero(a))
        store(a, (i, i), zero(a) + 1)


@jit
def mirror(a):
    """Upper triangle of a Hermitian matrix from the lower one."""
    for i in range(a.shape[0]):
        for j in range(i):
            store(a, (j, i), conj(load(a, (i, j))))


@jit
def squared_norm(w, i):
    """|w_i|^2 of a row."""
    total = splat(w, 0.0)
    for c in range(w.shape[1]):
        total += abs2(load(w, (i, c)))
    return total


@jit
def gram(w, g):
    """g = w w^H."""
    for i in range(w.shape[0]):
        for j in range(i):
            total = zero(w)
            for c in range(w.shape[1]):
                total += load(w, (i, c)) * conj(load(w, (j, c)))
            store(g, (i, j), total)
        store(g, (i, i), pack(squared_norm(w, i), splat(w, 0.0)))
    mirror(g)


@jit
def multiply(a, b, out):
    """out = a b."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = zero(a)
            for c in range(a.shape[1]):
                total += load(a, (i, c)) * load(b, (c, j))
            store(out, (i, j), total)


@jit
def apply(a, vector, out):
    """out = a vector."""
    for i in range(a.shape[0]):
        total = zero(a)
        for c in range(a.shape[1]):
            total += load(a, (i, c)) * load(vector, (c,))
        store(out, (i,), total)


@jit
def inner(a, b):
    """a^H b."""
    total = zero(a)
    for i in range(a.shape[0]):
        total += conj(load(a, (i,))) * load(b, (i,))
    return total


@jit
def invert(a, n):
    """In place Gauss-Jordan inverse of the leading n x n block; Hermitian positive definite, so without pivoting."""
    for p in range(n):
        scale = 1 / load(a, (p, p)).re
        for j in range(n):
            if j != p:
                store(a, (p, j), load(a, (p, j)) * scale)
        for i in range(n):
            if i != p:
                factor = load(a, (i, p))
                for j in range(n):
                    if j != p:
                        store(a, (i, j), load(a, (i, j)) - factor * load(a, (p, j)))
                store(a, (i, p), factor * (0 - scale))
        store(a, (p, p), pack(scale, splat(a, 0.0)))


@jit
def eigenvectors(a, s, n):
    """Cyclic Jacobi on the leading n x n block: eigenvalues onto the diagonal of ``a``, vectors to columns of ``s``."""
    for i in range(n):
        for j in range(n):
            store(s, (i, j), zero(s) + (1 if i == j else 0))
    for _ in range(JACOBI_SWEEPS):
        rotated = False
        for p in range(n):
            for q in range(p + 1, n):
                corner = load(a, (p, q))
                app, aqq = load(a, (p, p)).re, load(a, (q, q)).re
                size = sqrt(abs2(corner))
                rotated |= any_lane(size > SMALL * sqrt(absolute(app * aqq)))
                safe = maximum(size, 1e-30)
                tau = (aqq - app) / (2 * safe)
                t = 1 / (absolute(tau) + sqrt(1 + tau * tau))
                t = select(size > 1e-30, select(tau >= 0, t, 0 - t), 0)
                c = 1 / sqrt(1 + t * t)
                sine = corner * (t * c / safe)
                for i in range(n):
                    _rotate(a, i, p, q, c, sine)
                    _rotate(s, i, p, q, c, sine)
                for j in range(n):  # rows are the conjugates of columns
                    x, y = load(a, (p, j)), load(a, (q, j))
                    store(a, (p, j), c * x - sine * y)
                    store(a, (q, j), conj(sine) * x + c * y)
        if not rotated:
            break


@jit
def _rotate(a, i, p, q, c, sine):
    """Columns p, q of row i: p <- c p - conj(s) q, q <- s p + c q."""
    x, y = load(a, (i, p)), load(a, (i, q))
    store(a, (i, p), c * x - conj(sine) * y)
    store(a, (i, q), sine * x + c * y)


@jit
def paired_eigenvectors(a00, a11, a10, b00, b11, b10):
    """A h = lambda B h for Hermitian 2 x 2 matrices given by diagonals and lower entries.

    Returns the larger lambda and its vector (two entries), the smaller one and its vector, h^H B h = 1.
    """
    l00 = sqrt(b00)  # B = L L^H
    l10 = b10 / l00
    l11 = sqrt(maximum(b11 - abs2(l10), SMALL * b11))
    h00 = a00 / l00  # C = L^-1 A L^-H
    c10 = (a10 - l10 * h00) / l11 / l00
    c00 = h00 / l00
    c11 = ((a11 - (l10 * conj(a10)).re / l00) / l11 - (c10 * conj(l10)).re) / l11
    half, mean = (c00 - c11) / 2, (c00 + c11) / 2
    s = sqrt(half * half + abs2(c10)) + SMALL * mean
    p = absolute(half) + s
    norm = 1 / sqrt(p * p + abs2(c10))
    p, c10 = p * norm, c10 * norm
    # Eigenvectors of C: (p, c) and (-c^*, p), or the other way round, whichever does not cancel.
    first = half >= 0
    none = p - p
    x0 = pack(select(first, p, c10.re), select(first, none, 0 - c10.im))
    x1 = pack(select(first, c10.re, p), select(first, c10.im, none))
    y0 = pack(select(first, 0 - c10.re, p), select(first, c10.im, none))
    y1 = pack(select(first, p, 0 - c10.re), select(first, none, 0 - c10.im))
    x1, y1 = x1 / l11, y1 / l11  # h = L^-H e
    x0, y0 = (x0 - conj(l10) * x1) / l00, (y0 - conj(l10) * y1) / l00
    return mean + s, x0, x1, maximum(mean - s, SMALL * mean), y0, y1
