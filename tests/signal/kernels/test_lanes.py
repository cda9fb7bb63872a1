"""Vector values inside kernels against the same arithmetic in NumPy."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from unbabble.signal.kernels import small_matrices as small
from unbabble.signal.kernels.compile import jit
from unbabble.signal.kernels.lanes import (
    ALIGNMENT,
    LANES,
    abs2,
    absolute,
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
)


def lanes(values, dtype=np.float32):
    """Complex (..., LANES) as an array of complex vectors."""
    planes = aligned((*values.shape[:-1], 2, LANES), dtype)
    planes[..., 0, :], planes[..., 1, :] = values.real, values.imag
    return planes


def numbers(planes):
    return planes[..., 0, :] + 1j * planes[..., 1, :]


def random(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal(shape) + 1j * generator.standard_normal(shape)


@jit
def _arithmetic(a, out):
    x, y, r = load(a, (0, 0)), load(a, (0, 1)), load(a, (0, 2)).re
    store(out, (0,), x + y)
    store(out, (1,), x - y)
    store(out, (2,), x * y)
    store(out, (3,), conj(x) * r + y / r)
    store(out, (4,), 2 * x - 1 + y * np.float32(0.5))
    store(out, (5,), r - x)
    store(out, (6,), pack(abs2(x), sqrt(abs2(x))))
    x += y
    x *= r
    store(out, (7,), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic(dtype):
    a = random(1, 3, LANES)
    out = aligned((8, 2, LANES), dtype)
    _arithmetic(lanes(a, dtype), out)
    x, y, r = a[0, 0], a[0, 1], a[0, 2].real
    size = abs(x) ** 2
    expected = [
        *(x + y, x - y, x * y, x.conj() * r + y / r),
        *(2 * x - 1 + y / 2, r - x, size + 1j * size**0.5, (x + y) * r),
    ]
    np.testing.assert_allclose(numbers(out), np.stack(expected), rtol=0, atol=50 * np.finfo(dtype).eps)


@jit
def _choices(a, out):
    x, y = load_real(a, (0,)), load_real(a, (1,))
    store_real(out, (0,), maximum(x, y))
    store_real(out, (1,), maximum(x, 0.25))
    store_real(out, (2,), select(x >= y, x, 7))
    store_real(out, (3,), absolute(y))
    store_real(out, (4,), splat(out, 3))
    return any_lane(x > y), any_lane(x > 1e9), any_lane(x == y)


def test_comparisons_and_choices():
    a = np.random.default_rng(1).standard_normal((2, LANES)).astype(np.float32)
    out = np.zeros((5, LANES), np.float32)
    assert _choices(a, out) == (True, False, False)
    x, y = a
    expected = [np.maximum(x, y), np.maximum(x, 0.25), np.where(x >= y, x, 7), abs(y), np.full(LANES, 3)]
    np.testing.assert_array_equal(out, np.stack(expected))
    a[1, 5] = a[0, 5]
    assert _choices(a, out)[2]


@jit
def _convert(a, out):
    store(out, (0,), load(a, (0,)))
    store_real(out, (1, 0), splat(out, load(a, (0,)).re))


@pytest.mark.parametrize("kinds", [(np.float32, np.float64), (np.float64, np.float32)])
def test_storing_converts_precision(kinds):
    a, out = lanes(random(1, LANES), kinds[0]), aligned((2, 2, LANES), kinds[1])
    _convert(a, out)
    np.testing.assert_array_equal(out[0], a[0].astype(kinds[1]))
    np.testing.assert_array_equal(out[1, 0], a[0, 0].astype(kinds[1]))


def test_infinities_and_nan_keep_their_meaning():
    a = np.ones((2, LANES), np.float32)
    a[0, :3] = np.inf, np.nan, -np.inf
    out = np.zeros((5, LANES), np.float32)
    _choices(a, out)
    assert np.isinf(out[0, 0])
    assert out[2, 1] == 7  # a comparison with NaN does not hold
    assert out[0, 2] == 1


@pytest.mark.parametrize("shape", [(3,), (2, 5)])
def test_aligned_arrays_begin_at_a_cache_line(shape):
    for _ in range(5):
        array = aligned((*shape, LANES))
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.shape == (*shape, LANES)
        assert not array.any()


@jit
def _wrong_index(a):
    return any_lane(load_real(a, (0, 0)) > 0)


def test_an_index_that_does_not_leave_the_lanes_is_refused():
    with pytest.raises(TypingError, match="leading indices"):
        _wrong_index(np.zeros((3, LANES), np.float32))


def hermitian(n, condition=30.0):
    q, _ = np.linalg.qr(random(LANES, n, n))
    values = np.geomspace(1, condition, n)
    return np.moveaxis((q * values) @ q.conj().swapaxes(1, 2), 0, -1), values


@pytest.mark.parametrize("n", [1, 2, 5])
def test_inverse(n):
    matrix, _ = hermitian(n)
    planes = lanes(matrix)
    small.invert(planes, n)
    product = np.einsum("ijl,jkl->ikl", numbers(planes), matrix)
    np.testing.assert_allclose(product, np.eye(n)[..., None] + 0 * product, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_eigenvectors(n):
    matrix, values = hermitian(n)
    planes, vectors = lanes(matrix), aligned((n, n, 2, LANES))
    small.eigenvectors(planes, vectors, n)
    found = numbers(planes)[range(n), range(n)].real
    np.testing.assert_allclose(np.sort(found, 0), values[:, None] + 0 * found, rtol=2e-6)
    s = numbers(vectors)
    np.testing.assert_allclose(np.einsum("ijl,jkl->ikl", matrix, s), s * found, rtol=0, atol=1e-4)
    identity = np.einsum("jil,jkl->ikl", s.conj(), s)
    np.testing.assert_allclose(identity, np.eye(n)[..., None] + 0 * identity, rtol=0, atol=1e-5)


@jit
def _pairs(a, b, out):
    big, x0, x1, least, y0, y1 = small.paired_eigenvectors(
        load(a, (0, 0)).re,
        load(a, (1, 1)).re,
        load(a, (1, 0)),
        load(b, (0, 0)).re,
        load(b, (1, 1)).re,
        load(b, (1, 0)),
    )
    for i, entry in enumerate((x0, x1, y0, y1, pack(big, least))):
        store(out, (i,), entry)


def test_paired_eigenvectors():
    (a, _), (b, _) = hermitian(2), hermitian(2, 4.0)
    b = b[::-1, ::-1].conj()
    out = aligned((5, 2, LANES))
    _pairs(lanes(a), lanes(b), out)
    x0, x1, y0, y1, values = numbers(out)
    for value, h in ((values.real, np.stack([x0, x1])), (values.imag, np.stack([y0, y1]))):
        right = np.einsum("ijl,jl->il", b, h)
        np.testing.assert_allclose(np.einsum("ijl,jl->il", a, h), value * right, rtol=0, atol=1e-4)
        np.testing.assert_allclose((h.conj() * right).sum(0), 1 + 0 * right[0], rtol=0, atol=1e-5)
    assert (values.real >= values.imag).all()
