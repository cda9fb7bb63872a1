"""Small matrices of all frequencies at once, against the library's routines for one after another."""

import pytest
import torch

from unbabble.signal.blind import small_matrices as small


def matrices(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def positive_definite(frequencies: int, size: int) -> torch.Tensor:
    root = matrices(frequencies, 2, size, size)
    return root @ root.mH + 0.1 * torch.eye(size)


@pytest.mark.parametrize("lay", [small.abreast, torch.clone])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_algebra_is_the_library_s(size, lay):
    step, covariances = lay(matrices(7, size, size)), lay(positive_definite(7, size))
    right = matrices(7, 2, size, 3, seed=1)
    torch.testing.assert_close(small.times(step, step.mH), step @ step.mH)
    moved = step[:, None] @ covariances @ step[:, None].mH
    torch.testing.assert_close(small.congruent(step, covariances), moved)
    before = covariances.clone()
    torch.testing.assert_close(small.solve(covariances, right), torch.linalg.solve(covariances, right))
    torch.testing.assert_close(covariances, before, rtol=0, atol=0)
    torch.testing.assert_close(small.identities(step) @ step, step)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_weighted_products_are_the_covariances(channels):
    outputs, weights = matrices(6, channels, 40), torch.rand(6, 2, 40, dtype=torch.float64)
    parts = torch.cat([outputs.real, outputs.imag], 1)
    covariances = small.hermitian(small.products(parts) @ weights.mT, channels)
    expected = (outputs[:, None] * weights[:, :, None]) @ outputs[:, None].mH
    torch.testing.assert_close(covariances, expected)
    torch.testing.assert_close(covariances, covariances.mH, rtol=0, atol=0)


def test_the_real_form_multiplies_as_the_complex_matrices_do():
    step, outputs = matrices(5, 3, 3), matrices(5, 3, 9, seed=1)
    real, imaginary = (small.real_form(step) @ torch.cat([outputs.real, outputs.imag], 1)).chunk(2, 1)
    torch.testing.assert_close(torch.complex(real, imaginary), step @ outputs)
