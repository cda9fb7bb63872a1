"""The quick gradient of the cumulative norm is the one that torch derives."""

import pytest
import torch

from unbabble.nn.cumulative_norm import CumulativeNorm


def made(dtype: torch.dtype, *shape: int) -> tuple[CumulativeNorm, torch.Tensor]:
    torch.manual_seed(0)
    norm = CumulativeNorm(shape[-1]).to(dtype)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm, 2 + 3 * torch.randn(shape, dtype=dtype)


def test_gradients_are_exact():
    norm, x = made(torch.float64, 2, 7, 3)

    def normalised(x, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(normalised, (x.requires_grad_(), norm.weight, norm.bias))


def test_of_a_constant_is_finite():
    """Nothing varies: rounding makes the difference of the moments negative now and then, which has no gradient."""
    norm = CumulativeNorm(4)
    x = torch.full((1, 3000, 4), 1000.0, requires_grad=True)
    found = norm(x)
    (found * torch.arange(4.0)).sum().backward()
    assert found.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_and_without_gradients_the_same(dtype):
    norm, x = made(dtype, 3, 40, 5)
    found = norm(x)
    with torch.no_grad():
        assert torch.equal(found, norm(x))
    assert found.dtype == dtype
