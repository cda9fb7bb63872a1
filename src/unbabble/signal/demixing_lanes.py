"""Small complex matrices of sixteen frequencies at once: the algebra of ``demixing``'s steps, compiled.

A stack of matrices is a float32 (or float64) array ``(..., row, column, re/im, LANES)``; every loop over ``lane``
is innermost and free of branches, so that the compiler turns it into vector instructions. Slices take leading axes
only and are filled by loops: both keep arrays contiguous and compilation short. ``u`` holds the covariances U_k and,
last, the Gram matrix, ``step`` the product of the steps so far. Equations and names are those of ``demixing``.
"""

import numpy as np
from numpy.typing import NDArray

from unbabble.signal.kernels import jit

LANES = 16
NEWTON_STEPS = 60
JACOBI_SWEEPS = 12
TINY = np.float32(1e-12)
"""Stands in for a vanishing magnitude; its square is still a normal float32."""
SMALL = np.float32(1e-7)

Planes = NDArray[np.float32]


@jit
def workspace(steps):
    """Scratch matrices and scratch vectors, as precise as ``steps``, that the functions below share."""
    channels = steps.shape[1]
    matrices = np.zeros((5, channels, channels, 2, LANES), steps.dtype)
    vectors = np.zeros((12, channels, 2, LANES), steps.dtype)
    return matrices, vectors


# Scratch matrices by purpose, and scratch vectors by purpose and number.
_INVERSE, _OTHER, _SCHUR, _EIGENVECTORS, _PRODUCT = range(5)
_STEERING, _SOLUTION, _ROW, _NEW = 0, 2, 6, 8
_A, _B, _C, _D = 8, 9, 10, 11


@jit
def clear(a):
    """a = 0, any shape."""
    flat = a.ravel()
    for i in range(flat.size):
        flat[i] = 0


@jit
def copy(a, b):
    """b = a, any shape."""
    source, target = a.ravel(), b.ravel()
    for i in range(source.size):
        target[i] = source[i]


@jit
def set_identity(step):
    """step = I."""
    clear(step)
    for i in range(step.shape[0]):
        for lane in range(LANES):
            step[i, i, 0, lane] = 1


@jit
def gram(w, u, block):
    """u[block, last] = w w^H."""
    last, channels = u.shape[1] - 1, w.shape[1]
    for i in range(channels):
        for j in range(i + 1):
            for lane in range(LANES):
                re = im = np.float32(0)
                for c in range(channels):
                    ar, ai = w[block, i, c, 0, lane], w[block, i, c, 1, lane]
                    br, bi = w[block, j, c, 0, lane], w[block, j, c, 1, lane]
                    re += ar * br + ai * bi
                    im += ai * br - ar * bi
                u[block, last, i, j, 0, lane] = re
                u[block, last, j, i, 0, lane] = re
                u[block, last, i, j, 1, lane] = im
                u[block, last, j, i, 1, lane] = -im


@jit
def add_load(u, block, k, means, load):
    """U_k += load mean_t(phi_k) G; ``means`` has one row for all frequencies, or one each."""
    last, channels = u.shape[1] - 1, u.shape[2]
    for lane in range(LANES):
        f = block * LANES + lane
        noise = load * means[f if f < means.shape[0] else 0, k]
        for i in range(channels):
            for j in range(channels):
                u[block, k, i, j, 0, lane] += noise * u[block, last, i, j, 0, lane]
                u[block, k, i, j, 1, lane] += noise * u[block, last, i, j, 1, lane]


@jit
def multiply(step, w, work):
    """w <- step w."""
    channels, out = w.shape[0], work[0][_PRODUCT]
    clear(out)
    for i in range(channels):
        for c in range(channels):
            for j in range(channels):
                for lane in range(LANES):
                    ar, ai = step[i, c, 0, lane], step[i, c, 1, lane]
                    br, bi = w[c, j, 0, lane], w[c, j, 1, lane]
                    out[i, j, 0, lane] += ar * br - ai * bi
                    out[i, j, 1, lane] += ar * bi + ai * br
    copy(out, w)


@jit
def invert(a, n):
    """In place Gauss-Jordan inverse of the leading n x n block; Hermitian positive definite, so without pivoting."""
    for p in range(n):
        for lane in range(LANES):
            a[p, p, 0, lane] = 1 / a[p, p, 0, lane]
        for j in range(n):
            if j != p:
                for lane in range(LANES):
                    a[p, j, 0, lane] *= a[p, p, 0, lane]
                    a[p, j, 1, lane] *= a[p, p, 0, lane]
        for i in range(n):
            if i != p:
                for j in range(n):
                    if j != p:
                        for lane in range(LANES):
                            fr, fi = a[i, p, 0, lane], a[i, p, 1, lane]
                            br, bi = a[p, j, 0, lane], a[p, j, 1, lane]
                            a[i, j, 0, lane] -= fr * br - fi * bi
                            a[i, j, 1, lane] -= fr * bi + fi * br
                for lane in range(LANES):
                    a[i, p, 0, lane] *= -a[p, p, 0, lane]
                    a[i, p, 1, lane] *= -a[p, p, 0, lane]


@jit
def log_determinant(u, count, work):
    """Sum over the first ``count`` lanes of log det(G) / 2 on the sources, by elimination."""
    sources = u.shape[0] - 1
    a = work[0][_INVERSE]
    copy(u[sources], a)
    total = 0.0
    for p in range(sources):
        for lane in range(min(count, LANES)):
            total += 0.5 * np.log(a[p, p, 0, lane])
        for i in range(p + 1, sources):
            for j in range(p + 1, sources):
                for lane in range(LANES):
                    fr, fi = a[i, p, 0, lane] / a[p, p, 0, lane], a[i, p, 1, lane] / a[p, p, 0, lane]
                    br, bi = a[p, j, 0, lane], a[p, j, 1, lane]
                    a[i, j, 0, lane] -= fr * br - fi * bi
                    a[i, j, 1, lane] -= fr * bi + fi * br
    return total


@jit
def _steer(u, k, a, work):
    """a = a_k, column of the sources' pseudo-inverse: a unit vector, plus G_bt G_tt^-1 e_k in the background."""
    sources, channels = u.shape[0] - 1, u.shape[1]
    clear(a)
    for lane in range(LANES):
        a[k, 0, lane] = 1
    if sources < channels:
        g = work[0][_OTHER]
        copy(u[sources], g)
        invert(g, sources)
        for i in range(sources, channels):
            for s in range(sources):
                for lane in range(LANES):
                    gr, gi = u[sources, i, s, 0, lane], u[sources, i, s, 1, lane]
                    a[i, 0, lane] += gr * g[s, k, 0, lane] - gi * g[s, k, 1, lane]
                    a[i, 1, lane] += gr * g[s, k, 1, lane] + gi * g[s, k, 0, lane]


@jit
def _apply(matrix, vector, out):
    """out = matrix @ vector."""
    channels = vector.shape[0]
    clear(out)
    for i in range(channels):
        for c in range(channels):
            for lane in range(LANES):
                mr, mi = matrix[i, c, 0, lane], matrix[i, c, 1, lane]
                vr, vi = vector[c, 0, lane], vector[c, 1, lane]
                out[i, 0, lane] += mr * vr - mi * vi
                out[i, 1, lane] += mr * vi + mi * vr


@jit
def _inner(a, b, out):
    """out = a^H b."""
    clear(out)
    for i in range(a.shape[0]):
        for lane in range(LANES):
            out[0, lane] += a[i, 0, lane] * b[i, 0, lane] + a[i, 1, lane] * b[i, 1, lane]
            out[1, lane] += a[i, 0, lane] * b[i, 1, lane] - a[i, 1, lane] * b[i, 0, lane]


@jit
def _set_rows(u, step, first, targets, work):
    """Outputs ``targets`` become row_i @ outputs: U <- T U T^H from covariance ``first`` on, step <- T step."""
    channels, vectors = u.shape[1], work[1]
    for m in range(first, u.shape[0] + 1):
        is_step = m == u.shape[0]
        a = step if is_step else u[m]
        for p in range(len(targets)):
            row, new = vectors[_ROW + p], vectors[_NEW + p]
            clear(new)
            for i in range(channels):
                for j in range(channels):
                    for lane in range(LANES):
                        rr, ri = row[i, 0, lane], row[i, 1, lane]
                        ar, ai = a[i, j, 0, lane], a[i, j, 1, lane]
                        new[j, 0, lane] += rr * ar - ri * ai
                        new[j, 1, lane] += rr * ai + ri * ar
        for p in range(len(targets)):
            copy(vectors[_NEW + p], a[targets[p]])
        if is_step:
            continue
        for p in range(len(targets)):
            new = vectors[_NEW + p]
            for j in range(channels):
                for lane in range(LANES):
                    a[j, targets[p], 0, lane] = new[j, 0, lane]
                    a[j, targets[p], 1, lane] = -new[j, 1, lane]
        for p in range(len(targets)):
            for q in range(len(targets)):
                new, row, corner = vectors[_NEW + p], vectors[_ROW + q], a[targets[p], targets[q]]
                clear(corner)
                for j in range(channels):
                    for lane in range(LANES):
                        corner[0, lane] += (
                            new[j, 0, lane] * row[j, 0, lane] + new[j, 1, lane] * row[j, 1, lane]
                        )
                        corner[1, lane] += (
                            new[j, 1, lane] * row[j, 0, lane] - new[j, 0, lane] * row[j, 1, lane]
                        )


@jit
def _add_column(u, step, k, c):
    """Every output i but k gains c[i] y_k: U <- T U T^H, step <- T step."""
    channels = u.shape[1]
    for m in range(u.shape[0] + 1):
        is_step = m == u.shape[0]
        a = step if is_step else u[m]
        for i in range(channels):
            if i != k:
                for j in range(channels):
                    for lane in range(LANES):
                        cr, ci = c[i, 0, lane], c[i, 1, lane]
                        br, bi = a[k, j, 0, lane], a[k, j, 1, lane]
                        a[i, j, 0, lane] += cr * br - ci * bi
                        a[i, j, 1, lane] += cr * bi + ci * br
        if is_step:
            continue
        for i in range(channels):
            for j in range(channels):
                if j != k:
                    for lane in range(LANES):
                        cr, ci = c[j, 0, lane], -c[j, 1, lane]
                        br, bi = a[i, k, 0, lane], a[i, k, 1, lane]
                        a[i, j, 0, lane] += cr * br - ci * bi
                        a[i, j, 1, lane] += cr * bi + ci * br


@jit
def background(u, step, work):
    """``demixing.background``, by Gram and Schmidt; of ``u`` only the Gram matrix is kept up to date."""
    sources, channels = u.shape[0] - 1, u.shape[1]
    g, inverse = u[sources], work[0][_INVERSE]
    row, norm = work[1][_ROW], work[1][_A, 0, 0]
    copy(g, inverse)
    invert(inverse, sources)
    target = np.zeros(1, np.int64)
    for b in range(sources, channels):
        clear(row)
        for t in range(b):
            if t < sources:  # minus G_bt G_tt^-1; the earlier background is orthonormal and off the sources
                for s in range(sources):
                    for lane in range(LANES):
                        gr, gi = g[b, s, 0, lane], g[b, s, 1, lane]
                        hr, hi = inverse[s, t, 0, lane], inverse[s, t, 1, lane]
                        row[t, 0, lane] -= gr * hr - gi * hi
                        row[t, 1, lane] -= gr * hi + gi * hr
            else:
                for lane in range(LANES):
                    row[t, 0, lane] = -g[b, t, 0, lane]
                    row[t, 1, lane] = -g[b, t, 1, lane]
        for lane in range(LANES):
            row[b, 0, lane] = 1
            norm[lane] = 0
        for t in range(b + 1):
            for lane in range(LANES):
                norm[lane] += row[t, 0, lane] * g[t, b, 0, lane] - row[t, 1, lane] * g[t, b, 1, lane]
        for t in range(b + 1):
            for lane in range(LANES):
                scale = 1 / np.sqrt(max(norm[lane], SMALL))
                row[t, 0, lane] *= scale
                row[t, 1, lane] *= scale
        target[0] = b
        _set_rows(u, step, sources, target, work)


@jit
def sweep_ip(u, step, work):
    """``demixing.ip`` for every source."""
    sources, channels = u.shape[0] - 1, u.shape[1]
    inverse, vectors = work[0][_INVERSE], work[1]
    a, x, row, norm = vectors[_STEERING], vectors[_SOLUTION], vectors[_ROW], vectors[_A, 0]
    targets = np.zeros(1, np.int64)
    for k in range(sources):
        copy(u[k], inverse)
        invert(inverse, channels)
        _steer(u, k, a, work)
        _apply(inverse, a, x)
        _inner(a, x, norm)
        for i in range(channels):
            for lane in range(LANES):
                scale = 1 / np.sqrt(norm[0, lane])
                row[i, 0, lane] = scale * x[i, 0, lane]
                row[i, 1, lane] = -scale * x[i, 1, lane]
        targets[0] = k
        _set_rows(u, step, k + 1, targets, work)


@jit
def _paired_eigenvectors(a00, a11, ar, ai, b00, b11, br, bi):
    """A h = lambda B h for Hermitian 2 x 2 matrices given by diagonals and lower entries.

    Returns the larger lambda and its vector, the smaller one and its vector (re, im, re, im), h^H B h = 1.
    """
    small = np.float32(1e-7)
    l00 = np.sqrt(b00)  # B = L L^H
    lr, li = br / l00, bi / l00
    l11 = np.sqrt(max(b11 - lr * lr - li * li, small * b11))
    h00 = a00 / l00  # C = L^-1 A L^-H
    cr, ci = (ar - lr * h00) / l11 / l00, (ai - li * h00) / l11 / l00
    c00 = h00 / l00
    c11 = ((a11 - (lr * ar + li * ai) / l00) / l11 - cr * lr - ci * li) / l11
    half, mean = (c00 - c11) / 2, (c00 + c11) / 2
    s = np.sqrt(half * half + cr * cr + ci * ci) + small * mean
    p = abs(half) + s
    norm = 1 / np.sqrt(p * p + cr * cr + ci * ci)
    p, cr, ci = p * norm, cr * norm, ci * norm
    # Eigenvectors of C: (p, c) and (-c^*, p), or the other way round, whichever does not cancel.
    if half >= 0:
        x0r, x0i, x1r, x1i = p, np.float32(0), cr, ci
        y0r, y0i, y1r, y1i = -cr, ci, p, np.float32(0)
    else:
        x0r, x0i, x1r, x1i = cr, -ci, p, np.float32(0)
        y0r, y0i, y1r, y1i = p, np.float32(0), -cr, -ci
    x1r, x1i, y1r, y1i = x1r / l11, x1i / l11, y1r / l11, y1i / l11  # h = L^-H e
    x0r, x0i = (x0r - lr * x1r - li * x1i) / l00, (x0i - lr * x1i + li * x1r) / l00
    y0r, y0i = (y0r - lr * y1r - li * y1i) / l00, (y0i - lr * y1i + li * y1r) / l00
    return mean + s, x0r, x0i, x1r, x1i, max(mean - s, small * mean), y0r, y0i, y1r, y1i


@jit
def sweep_ip2(u, step, ring, work):
    """``demixing.ip2`` for the pairs of ``ring``."""
    channels, vectors = u.shape[1], work[1]
    inverse, diagonal, corner = work[0][_INVERSE], work[0][_SCHUR], work[0][_EIGENVECTORS]
    a0, a1, row0, row1 = (
        vectors[_STEERING],
        vectors[_STEERING + 1],
        vectors[_ROW],
        vectors[_ROW + 1],
    )
    for pair in range(ring.shape[0]):
        k, m = ring[pair]
        _steer(u, k, a0, work)
        _steer(u, m, a1, work)
        for i in range(2):  # x = U_i^-1 [a_k, a_m] and the block [a_k, a_m]^H x
            x0, x1 = vectors[_SOLUTION + 2 * i], vectors[_SOLUTION + 2 * i + 1]
            copy(u[ring[pair, i]], inverse)
            invert(inverse, channels)
            _apply(inverse, a0, x0)
            _apply(inverse, a1, x1)
            _inner(a0, x0, diagonal[i, 0])
            _inner(a1, x1, diagonal[i, 1])
            _inner(a1, x0, corner[i, 0])
        p0, p1 = vectors[_SOLUTION], vectors[_SOLUTION + 1]
        q0, q1 = vectors[_SOLUTION + 2], vectors[_SOLUTION + 3]
        for lane in range(LANES):
            top, x0r, x0i, x1r, x1i, _, y0r, y0i, y1r, y1i = _paired_eigenvectors(
                diagonal[0, 0, 0, lane],
                diagonal[0, 1, 0, lane],
                corner[0, 0, 0, lane],
                corner[0, 0, 1, lane],
                diagonal[1, 0, 0, lane],
                diagonal[1, 1, 0, lane],
                corner[1, 0, 0, lane],
                corner[1, 0, 1, lane],
            )
            scale = 1 / np.sqrt(top)
            for i in range(channels):
                ar, ai, br, bi = p0[i, 0, lane], p0[i, 1, lane], p1[i, 0, lane], p1[i, 1, lane]
                row0[i, 0, lane] = scale * (ar * x0r - ai * x0i + br * x1r - bi * x1i)
                row0[i, 1, lane] = -scale * (ar * x0i + ai * x0r + br * x1i + bi * x1r)
                ar, ai, br, bi = q0[i, 0, lane], q0[i, 1, lane], q1[i, 0, lane], q1[i, 1, lane]
                row1[i, 0, lane] = ar * y0r - ai * y0i + br * y1r - bi * y1i
                row1[i, 1, lane] = -(ar * y0i + ai * y0r + br * y1i + bi * y1r)
        _set_rows(u, step, 0, ring[pair], work)


@jit
def sweep_iss2(u, step, ring, work):
    """``demixing.iss2`` for the pairs of ``ring``."""
    sources, vectors = u.shape[0] - 1, work[1]
    c, d, row0, row1 = vectors[_C], vectors[_D], vectors[_ROW], vectors[_ROW + 1]
    for pair in range(ring.shape[0]):
        k, m = ring[pair]
        clear(c)
        clear(d)
        for i in range(sources):
            if i != k and i != m:  # minus (G_i^-1 f_i)^H, by Cramer's rule
                for lane in range(LANES):
                    g00, g11 = u[i, k, k, 0, lane], u[i, m, m, 0, lane]
                    gr, gi = u[i, m, k, 0, lane], u[i, m, k, 1, lane]
                    fr, fi = u[i, k, i, 0, lane], u[i, k, i, 1, lane]
                    er, ei = u[i, m, i, 0, lane], u[i, m, i, 1, lane]
                    scale = -1 / max(g00 * g11 - gr * gr - gi * gi, SMALL * g00 * g11)
                    c[i, 0, lane] = scale * (g11 * fr - (gr * er + gi * ei))
                    c[i, 1, lane] = -scale * (g11 * fi - (gr * ei - gi * er))
                    d[i, 0, lane] = scale * (g00 * er - (gr * fr - gi * fi))
                    d[i, 1, lane] = -scale * (g00 * ei - (gr * fi + gi * fr))
        clear(row0)
        clear(row1)
        for lane in range(LANES):
            g00, g11 = u[k, k, k, 0, lane], u[k, m, m, 0, lane]
            gr, gi = u[k, m, k, 0, lane], u[k, m, k, 1, lane]
            _, y0r, y0i, y1r, y1i, _, x0r, x0i, x1r, x1i = _paired_eigenvectors(
                g00,
                g11,
                gr,
                gi,
                u[m, k, k, 0, lane],
                u[m, m, m, 0, lane],
                u[m, m, k, 0, lane],
                u[m, m, k, 1, lane],
            )
            # The smallest eigenvalue may have no digits left: the Rayleigh quotient has them all.
            first, second = g00 * (x0r * x0r + x0i * x0i), g11 * (x1r * x1r + x1i * x1i)
            re, im = x1r * x0r + x1i * x0i, x1r * x0i - x1i * x0r
            length = max(first + second + 2 * (gr * re - gi * im), SMALL * (first + second))
            scale = 1 / np.sqrt(length)
            row0[k, 0, lane], row0[k, 1, lane] = scale * x0r, -scale * x0i
            row0[m, 0, lane], row0[m, 1, lane] = scale * x1r, -scale * x1i
            row1[k, 0, lane], row1[k, 1, lane] = y0r, -y0i
            row1[m, 0, lane], row1[m, 1, lane] = y1r, -y1i
        _add_column(u, step, k, c)
        _add_column(u, step, m, d)
        _set_rows(u, step, 0, ring[pair], work)


@jit
def sweep_ipa(u, step, work):
    """``demixing.ipa`` for every source."""
    sources, vectors = u.shape[0] - 1, work[1]
    n = sources - 1
    inverse, c, s = work[0][_INVERSE], work[0][_SCHUR], work[0][_EIGENVECTORS]
    b, v, x, column, row = vectors[0], vectors[1], vectors[2], vectors[3], vectors[_ROW]
    scale, phi = np.empty((n, LANES), np.float32), np.empty((n, LANES), np.float32)
    root, top = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    z = np.empty(LANES, np.float32)
    targets = np.zeros(1, np.int64)
    for k in range(sources):
        copy(u[k], inverse)
        invert(inverse, sources)
        for i in range(n):
            m = i if i < k else i + 1
            for lane in range(LANES):
                scale[i, lane] = 1 / np.sqrt(u[m, k, k, 0, lane])
                b[i, 0, lane] = u[m, k, m, 0, lane] * scale[i, lane]  # A^-1/2 b
                b[i, 1, lane] = u[m, k, m, 1, lane] * scale[i, lane]
        for i in range(n):
            p = i if i < k else i + 1
            for j in range(n):
                q = j if j < k else j + 1
                for lane in range(LANES):
                    c[i, j, 0, lane] = inverse[p, q, 0, lane] * scale[i, lane] * scale[j, lane]
                    c[i, j, 1, lane] = -inverse[p, q, 1, lane] * scale[i, lane] * scale[j, lane]
        for i in range(n):  # x = -(C A^-1/2 b + A^-1/2 conj(M_ok))
            p = i if i < k else i + 1
            for lane in range(LANES):
                x[i, 0, lane] = -scale[i, lane] * inverse[p, k, 0, lane]
                x[i, 1, lane] = scale[i, lane] * inverse[p, k, 1, lane]
            for j in range(n):
                for lane in range(LANES):
                    cr, ci, br, bi = c[i, j, 0, lane], c[i, j, 1, lane], b[j, 0, lane], b[j, 1, lane]
                    x[i, 0, lane] -= cr * br - ci * bi
                    x[i, 1, lane] -= cr * bi + ci * br
        _eigenvectors(c, s, n)
        clear(top)
        for i in range(n):
            for lane in range(LANES):
                phi[i, lane] = max(c[i, i, 0, lane], TINY)
                top[lane] = max(top[lane], phi[i, lane])
        for i in range(n):  # v = S^H x, in units of the top eigenvalue
            for lane in range(LANES):
                v[i, 0, lane] = v[i, 1, lane] = 0
            for j in range(n):
                for lane in range(LANES):
                    sr, si = s[j, i, 0, lane], s[j, i, 1, lane]
                    v[i, 0, lane] += (sr * x[j, 0, lane] + si * x[j, 1, lane]) / top[lane]
                    v[i, 1, lane] += (sr * x[j, 1, lane] - si * x[j, 0, lane]) / top[lane]
            for lane in range(LANES):
                phi[i, lane] = max(phi[i, lane] / top[lane], SMALL)
        for lane in range(LANES):
            z[lane] = 1 / (u[k, k, k, 0, lane] * top[lane])
        _largest_root(phi, v, z, n, root)
        clear(column)
        for i in range(n):  # column = conj(q)
            m = i if i < k else i + 1
            for j in range(n):
                for lane in range(LANES):
                    sr, si, tr, ti = s[i, j, 0, lane], s[i, j, 1, lane], v[j, 0, lane], v[j, 1, lane]
                    column[m, 0, lane] += sr * tr - si * ti
                    column[m, 1, lane] -= sr * ti + si * tr
            for lane in range(LANES):
                column[m, 0, lane] = (column[m, 0, lane] - b[i, 0, lane]) * scale[i, lane]
                column[m, 1, lane] = (column[m, 1, lane] + b[i, 1, lane]) * scale[i, lane]
        clear(row)
        for m in range(sources):  # row = (M x)^H / sqrt(lambda), x = [1, -conj(q)]
            for lane in range(LANES):
                row[m, 0, lane], row[m, 1, lane] = inverse[m, k, 0, lane], -inverse[m, k, 1, lane]
            for j in range(sources):
                if j != k:
                    for lane in range(LANES):
                        mr, mi = inverse[m, j, 0, lane], inverse[m, j, 1, lane]
                        row[m, 0, lane] -= mr * column[j, 0, lane] - mi * column[j, 1, lane]
                        row[m, 1, lane] += mr * column[j, 1, lane] + mi * column[j, 0, lane]
        for m in range(sources):
            for lane in range(LANES):
                length = 1 / np.sqrt(root[lane] * top[lane])
                row[m, 0, lane] *= length
                row[m, 1, lane] *= length
        for m in range(sources):  # the row is meant for the outputs before the column is added
            if m != k:
                for lane in range(LANES):
                    cr, ci = column[m, 0, lane], column[m, 1, lane]
                    row[k, 0, lane] -= row[m, 0, lane] * cr - row[m, 1, lane] * ci
                    row[k, 1, lane] -= row[m, 0, lane] * ci + row[m, 1, lane] * cr
        _add_column(u, step, k, column)
        targets[0] = k
        _set_rows(u, step, 0, targets, work)


@jit
def _largest_root(phi, v, z, n, root):
    """``demixing.largest_root``; ``v`` is overwritten by v_i / (root - phi_i)."""
    beyond, size = np.empty(LANES, np.float32), np.empty((n, LANES), np.float32)
    for lane in range(LANES):
        beyond[lane] = max(z[lane] - 1, TINY)
    for i in range(n):
        for lane in range(LANES):
            size[i, lane] = np.sqrt(v[i, 0, lane] ** 2 + v[i, 1, lane] ** 2)
            if phi[i, lane] == 1:
                size[i, lane] = max(size[i, lane], TINY)
            beyond[lane] = max(beyond[lane], phi[i, lane] - 1 + size[i, lane])
    value, slope = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for _ in range(NEWTON_STEPS):
        clear(value)
        clear(slope)
        for i in range(n):
            for lane in range(LANES):
                distance = beyond[lane] + (1 - phi[i, lane])
                ratio = size[i, lane] / distance
                term = ratio * ratio / phi[i, lane]
                value[lane] += term
                slope[lane] += term * phi[i, lane] / distance
        moving = False
        for lane in range(LANES):
            x = 1 + beyond[lane]
            rise = (x * x * value[lane] - x + z[lane]) / (1 + 2 * x * slope[lane])
            if rise > np.float32(1e-5) * beyond[lane]:
                moving = True
            beyond[lane] += max(rise, np.float32(0))
        if not moving:
            break
    for lane in range(LANES):
        root[lane] = 1 + beyond[lane]
    for i in range(n):
        for lane in range(LANES):
            length = np.sqrt(v[i, 0, lane] ** 2 + v[i, 1, lane] ** 2)
            ratio = size[i, lane] / (beyond[lane] + (1 - phi[i, lane]))
            if length > 0:
                v[i, 0, lane] *= ratio / length
                v[i, 1, lane] *= ratio / length
            else:
                v[i, 0, lane] = ratio


@jit
def _eigenvectors(a, s, n):
    """Cyclic Jacobi on the leading n x n block: eigenvalues onto the diagonal of ``a``, vectors to columns of ``s``."""
    for i in range(n):
        for j in range(n):
            for lane in range(LANES):
                s[i, j, 0, lane] = 1 if i == j else 0
                s[i, j, 1, lane] = 0
    cosine, sine_r, sine_i = (
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
    )
    for _ in range(JACOBI_SWEEPS):
        rotated = False
        for p in range(n):
            for q in range(p + 1, n):
                for lane in range(LANES):
                    ar, ai = a[p, q, 0, lane], a[p, q, 1, lane]
                    app, aqq = a[p, p, 0, lane], a[q, q, 0, lane]
                    size = np.sqrt(ar * ar + ai * ai)
                    if size > SMALL * np.sqrt(abs(app * aqq)):
                        rotated = True
                    safe = max(size, np.float32(1e-30))
                    tau = (aqq - app) / (2 * safe)
                    t = 1 / (abs(tau) + np.sqrt(1 + tau * tau))
                    t = t if tau >= 0 else -t
                    t = t if size > 1e-30 else np.float32(0)
                    cosine[lane] = 1 / np.sqrt(1 + t * t)
                    sine_r[lane] = t * cosine[lane] * ar / safe
                    sine_i[lane] = t * cosine[lane] * ai / safe
                for i in range(n):
                    _rotate(a, s, i, p, q, cosine, sine_r, sine_i)
                for j in range(n):  # rows are the conjugates of columns
                    for lane in range(LANES):
                        c, sr, si = cosine[lane], sine_r[lane], sine_i[lane]
                        xr, xi, yr, yi = (
                            a[p, j, 0, lane],
                            a[p, j, 1, lane],
                            a[q, j, 0, lane],
                            a[q, j, 1, lane],
                        )
                        a[p, j, 0, lane] = c * xr - (sr * yr - si * yi)
                        a[p, j, 1, lane] = c * xi - (sr * yi + si * yr)
                        a[q, j, 0, lane] = sr * xr + si * xi + c * yr
                        a[q, j, 1, lane] = sr * xi - si * xr + c * yi
        if not rotated:
            break


@jit
def _rotate(a, s, i, p, q, cosine, sine_r, sine_i):
    """Columns p, q of row i in both matrices: p <- c p - conj(s) q, q <- s p + c q."""
    for lane in range(LANES):
        c, sr, si = cosine[lane], sine_r[lane], sine_i[lane]
        xr, xi, yr, yi = a[i, p, 0, lane], a[i, p, 1, lane], a[i, q, 0, lane], a[i, q, 1, lane]
        a[i, p, 0, lane] = c * xr - (sr * yr + si * yi)
        a[i, p, 1, lane] = c * xi - (sr * yi - si * yr)
        a[i, q, 0, lane] = sr * xr - si * xi + c * yr
        a[i, q, 1, lane] = sr * xi + si * xr + c * yi
        xr, xi, yr, yi = s[i, p, 0, lane], s[i, p, 1, lane], s[i, q, 0, lane], s[i, q, 1, lane]
        s[i, p, 0, lane] = c * xr - (sr * yr + si * yi)
        s[i, p, 1, lane] = c * xi - (sr * yi - si * yr)
        s[i, q, 0, lane] = sr * xr - si * xi + c * yr
        s[i, q, 1, lane] = sr * xi + si * xr + c * yi
