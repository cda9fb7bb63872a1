import pytest
import torch
from torch import nn

from unbabble.nn.prelu import PReLU


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_values_and_gradients_are_torchs(dtype):
    ours, theirs = PReLU(), nn.PReLU().to(dtype)
    x = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0] = 0
    factors = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        (layer(leaf) * factors).sum().backward()
        found.append((layer(x).detach(), leaf.grad, layer.weight.grad.double()))
    for mine, peer in zip(*found, strict=True):
        assert torch.allclose(mine, peer, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6)


def test_without_gradients_the_same():
    layer, x = PReLU(), torch.randn(2, 9)
    with torch.no_grad():
        assert torch.equal(layer(x), nn.PReLU()(x))


def test_gradients_are_exact():
    layer = PReLU().double()
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
