"""Every network that says something of a recording in a number keeps the contract."""

import pytest
import torch

from unbabble.base import weights
from unbabble.base.contracts import Meter
from unbabble.base.errors import InputError
from unbabble.base.registry import cards, create, method

METERS = [card.name for card in cards().values() if card.network and card.contract == "meter"]
pytestmark = pytest.mark.parametrize("name", METERS)


def build(name: str, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def item(network, length: int = 4000) -> tuple[torch.Tensor, ...]:
    """A batch of two, of what it learns from."""
    voice = noise(2, 1, length)
    if network.ITEM == ("mixture", "sources"):
        return voice[:, 0] + noise(2, length, seed=1), voice
    return voice[:, 0], torch.tensor([1.5, 3.5])


@pytest.mark.parametrize("length", [2, 63, 64, 1000, 20001])
def test_contract(name, length):
    network = build(name)
    assert isinstance(network, Meter)
    found = network(noise(3, length))
    assert found.shape == (3,)
    assert found.isfinite().all()
    assert not found.requires_grad


@pytest.mark.parametrize("gain", [1e-5, 500.0])
def test_level_does_not_matter(name, gain):
    network, waveform = build(name), noise(2, 5000)
    torch.testing.assert_close(network(gain * waveform), network(waveform), rtol=0, atol=2e-3)


def test_a_batch_is_its_items_one_by_one(name):
    network, waveform = build(name), noise(3, 5000)
    apart = torch.cat([network(each[None]) for each in waveform])
    torch.testing.assert_close(network(waveform), apart, rtol=0, atol=1e-4)


def test_what_cannot_be_measured(name):
    waveform = noise(1, 4000)
    waveform[0, 3] = float("nan")
    for wrong in (waveform, torch.zeros(1, 4000), torch.zeros(1, 0)):
        with pytest.raises(InputError):
            build(name)(wrong)


def test_gradients_reach_every_parameter(name):
    network = build(name).train()
    loss = network.loss(*item(network))
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


def test_a_few_steps_lower_the_loss(name):
    network = build(name).train()
    batch = item(network)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = network.loss(*batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    network, waveform = build(name), noise(1, 9000)
    path = tmp_path / f"{name}.tiny.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    card = weights.read_card(path)
    again = create(card.method, **card.options).eval()
    again.load_state_dict(weights.read_tensors(path))
    assert torch.equal(again(waveform), network(waveform))
