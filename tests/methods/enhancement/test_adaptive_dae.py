"""The denoiser that goes on learning from each recording."""

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.methods.enhancement.adaptive_dae import AdaptiveDAE


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(**options) -> AdaptiveDAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AdaptiveDAE(**AdaptiveDAE.TINY | options).eval()


def test_on_a_recording_the_checker_is_pleased_more_and_more():
    errors = []
    for steps in (0, 5, 40):
        network = built(adaptation_steps=steps, adaptation_rate=3e-3)
        voice = network(noise(1, 1, 4000))[:, 0]
        errors.append(float(network.purity_error(voice).detach()))
    assert errors[0] > errors[1] > errors[2]


def test_a_recording_leaves_the_network_as_it_was():
    network = built(adaptation_rate=1e-2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = network(noise(1, 1, 4000))
    network(noise(1, 1, 3000, seed=1))
    assert torch.equal(network(noise(1, 1, 4000)), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_it_also_learns_where_nothing_else_may():
    """As the hub hands networks out: without gradients, its weights frozen."""
    network = built(adaptation_rate=1e-2).requires_grad_(False)
    with torch.no_grad():
        found = network(noise(1, 1, 4000))
        plain = network.estimate(noise(1, 4000) / noise(1, 4000).square().mean().sqrt())
    assert found.isfinite().all()
    assert (found[:, 0] - plain[:, 0]).norm() > 1e-3 * plain.norm()


@pytest.mark.parametrize("gain", [1e-4, 1e3])
def test_purity_does_not_depend_on_the_level(gain):
    network, voice = built(), noise(2, 4000)
    torch.testing.assert_close(
        network.purity_error(gain * voice), network.purity_error(voice), rtol=1e-3, atol=1e-4
    )


def test_the_checker_learns_what_is_clean():
    network = built(checker_hidden=16, bottleneck=8).train()
    tone = torch.sin(torch.arange(4000) * 0.3)[None, None].expand(2, 1, 4000)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        loss = network.loss(tone[:, 0] + 0.5 * noise(2, 4000), tone).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network.purity_error(tone[:1, 0]) < 0.5 * network.purity_error(noise(1, 4000, seed=3))


@pytest.mark.parametrize(
    "options", [{"hidden": 0}, {"bottleneck": 0}, {"adaptation_steps": -1}, {"adaptation_rate": 0.0}]
)
def test_sizes_that_make_no_sense(options):
    with pytest.raises(UsageError):
        built(**options)
