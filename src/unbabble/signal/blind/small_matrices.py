"""Algebra on the small matrices of all frequencies at once.

A library's routine, called for each of thousands of 3 x 3 matrices, takes longer than the arithmetic. Here every
operation on an entry, a row or a column is done for all frequencies, which lie side by side in memory (``abreast``);
shapes stay (frequency, ..., row, column). ``signal.kernels.small_matrices`` is compiled.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Matrices = Complex[Tensor, "frequency *batch row column"]


def abreast(matrices: Tensor) -> Tensor:
    """The same numbers with the first axis innermost in memory."""
    return matrices.movedim(0, -1).contiguous().movedim(-1, 0)


def identities(like: Matrices) -> Matrices:
    """Identity matrices of that size, in that order in memory."""
    return torch.zeros_like(like) + torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


def times(left: Matrices, right: Matrices) -> Matrices:
    """left @ right, as a sum of columns times rows."""
    total = left[..., :1] * right[..., :1, :]
    for j in range(1, left.shape[-1]):
        total.addcmul_(left[..., j : j + 1], right[..., j : j + 1, :])
    return total


def congruent(step: Matrices, matrices: Matrices) -> Matrices:
    """step @ matrices @ step^H: what covariances become when ``step`` is applied to the signals."""
    step = step[:, None]
    return times(times(step, matrices), step.mH)


def solve(matrices: Matrices, right: Matrices) -> Matrices:
    """matrices^-1 @ right by Gauss and Jordan; without pivoting, since the matrices are positive definite."""
    for p in range(matrices.shape[-1]):
        pivot, column = matrices[..., p : p + 1, :1], matrices[..., :1]
        row, solution = matrices[..., p : p + 1, 1:] / pivot, right[..., p : p + 1, :] / pivot
        matrices, right = matrices[..., 1:] - column * row, right - column * solution
        matrices[..., p : p + 1, :], right[..., p : p + 1, :] = row, solution
    return right


def real_form(matrices: Complex[Tensor, "frequency row column"]) -> Float[Tensor, "frequency 2*row 2*column"]:
    """What multiplies real parts stacked upon imaginary parts as the complex matrices multiply numbers."""
    real, imaginary = matrices.real, matrices.imag
    return torch.cat([torch.cat([real, -imaginary], 2), torch.cat([imaginary, real], 2)], 1)


def products(parts: Float[Tensor, "frequency 2*channel frame"]) -> Float[Tensor, "frequency product frame"]:
    """y_i y_j^* of all channels i >= j as real numbers: |y_i|^2; then for i - j = 1, 2 ... real and imaginary parts."""
    (real, imaginary), size = parts.chunk(2, 1), parts.shape[1] // 2
    made = parts.new_empty(len(parts), size**2, parts.shape[2])
    places = iter(made.split([size, *(size - apart for apart in range(1, size) for _ in range(2))], 1))
    torch.mul(real, real, out=next(places)).addcmul_(imaginary, imaginary)
    for apart in range(1, size):
        a, b = real[:, apart:], imaginary[:, apart:]
        c, d = real[:, :-apart], imaginary[:, :-apart]
        torch.mul(a, c, out=next(places)).addcmul_(b, d)
        torch.mul(b, c, out=next(places)).addcmul_(a, d, value=-1)
    return made


def hermitian(numbers: Float[Tensor, "frequency product batch"], size: int) -> Matrices:
    """The matrices, (frequency, batch, size, size) and abreast, whose entries ``products`` puts in a row."""
    rest = numbers.permute(2, 0, 1)
    real, rest = rest.split([size, rest.shape[2] - size], 2)
    whole = torch.diag_embed(torch.complex(real, torch.zeros_like(real)))
    for apart in range(1, size):
        real, imaginary, rest = rest.tensor_split([size - apart, 2 * (size - apart)], 2)
        entries = torch.complex(real, imaginary)
        whole.diagonal(-apart, 2, 3).copy_(entries)
        whole.diagonal(apart, 2, 3).copy_(entries.conj())
    return abreast(whole.transpose(0, 1))
