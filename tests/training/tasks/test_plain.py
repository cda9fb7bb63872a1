"""One network by its own loss: what is remembered, and where."""

import copy

import pytest
import torch

from unbabble.base import registry
from unbabble.training.tasks import create

ENHANCERS = ("gru", "sparse_ensemble", "adaptive_dae", "conv_tasnet", "bsrnn", "huang2014")


def batch():
    noise = torch.randn(2, 2, 2000, generator=torch.Generator().manual_seed(0))
    return noise.sum(1), noise[:, :1]


@pytest.mark.parametrize("name", ENHANCERS)
def test_a_loss_remembers_nothing(name):
    torch.manual_seed(0)
    method = registry.method(name)
    options = method.TINY | ({"sources": 1} if name in ("conv_tasnet", "bsrnn", "huang2014") else {})
    task = create(method(**options).train(), {})
    before = copy.deepcopy(task.network.state_dict())
    first, second = (task.losses("network", batch(), step)["loss"] for step in (0, 1))
    assert torch.equal(first, second)
    assert all(torch.equal(tensor, before[key]) for key, tensor in task.network.state_dict().items())


def test_an_ensemble_is_annealed_after_each_step_that_all_learn_together():
    method = registry.method("sparse_ensemble")
    for joint in (True, False):
        network = method(**method.TINY | {"joint": joint})
        first, task = network.sharpness, create(network, {})
        for step in range(1, 301):
            task.after(step, None)
        assert (network.sharpness > first) == joint
        assert int(network.annealed) == 300 * joint
