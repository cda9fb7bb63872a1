import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unbabble.training.optimisers import Muon, is_matrix, orthogonalise


@settings(deadline=None)
@given(st.integers(16, 60), st.integers(16, 60), st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_orthogonalised_keeps_the_singular_vectors(rows, columns, seed, scale):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values.clamp(min=0.05 * values[0])  # what is all but 0 takes more iterations
    found = left.mT @ orthogonalise(scale * left @ values.diag() @ right) @ right.mT
    assert torch.allclose(found, found.diagonal().diag(), atol=1e-9)
    assert 0.6 < found.diagonal().min() <= found.diagonal().max() < 1.25


def test_moves_as_torchs_muon_does():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (nn.Parameter(torch.zeros(48, 32)) for _ in range(2))
    mine = Muon([ours], lr=0.02, weight_decay=0.1)
    peer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(20):
        gradient = torch.randn(48, 32, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        assert mine.step(lambda: 1.0) == peer.step(lambda: 1.0) == 1.0
    # Theirs iterates in bfloat16.
    difference = (ours - theirs).detach().norm() / theirs.detach().norm()
    assert float(difference) < 0.02


def test_a_kernel_is_a_matrix_and_a_gain_is_none():
    kernel = nn.Parameter(torch.zeros(32, 16, 3))
    flat = nn.Parameter(torch.zeros(32, 48))
    kernel.grad = torch.randn(32, 16, 3, generator=torch.Generator().manual_seed(0))
    flat.grad = kernel.grad.flatten(1)
    Muon([kernel, flat], lr=0.1).step()
    assert torch.equal(kernel.flatten(1), flat)
    assert is_matrix(kernel)
    assert not any(map(is_matrix, (torch.zeros(32), torch.zeros(32, 1, 3), torch.zeros(8, 100))))


def test_weights_without_a_gradient_stay():
    weight = nn.Parameter(torch.ones(16, 16))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(16, 16))
