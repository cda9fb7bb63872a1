"""Every network that embeds speakers keeps the contract, in its tiny variant with random weights."""

import pytest
import torch

from unbabble.base import weights
from unbabble.base.contracts import Embedder
from unbabble.base.errors import InputError
from unbabble.base.registry import cards, create, method

EMBEDDERS = [card.name for card in cards().values() if card.network and card.contract == "embedder"]
pytestmark = pytest.mark.parametrize("name", EMBEDDERS)


def build(name: str, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, 7, 399, 400, 1600, 48000])
def test_contract(name, length):
    network = build(name)
    assert isinstance(network, Embedder)
    found = network(noise(3, length) + 0.1)
    assert found.ndim == 2
    assert len(found) == 3
    assert not found.requires_grad
    if length > 1:  # one sample less its mean is silence
        torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("gain", [1e-6, 300.0])
def test_level_does_not_matter(name, gain):
    network, waveform = build(name), noise(2, 8000)
    torch.testing.assert_close(network(gain * waveform + gain), network(waveform), rtol=0, atol=1e-4)


def test_a_batch_is_its_items_one_by_one(name):
    network, waveform = build(name), noise(3, 40000)
    torch.testing.assert_close(
        network(waveform), torch.cat([network(each[None]) for each in waveform]), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_cannot_be_embedded(name, bad):
    waveform = noise(1, 4000)
    waveform[0, 7] = bad
    for wrong in (waveform, torch.zeros(1, 4000), torch.zeros(1, 0)):
        with pytest.raises(InputError):
            build(name)(wrong)


def test_gradients_reach_every_parameter(name):
    network = build(name).train()
    loss = network.loss(noise(2, 3, 2, 4000))
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter


def test_a_few_steps_tell_tones_apart(name):
    network = build(name).train()
    time = torch.arange(6000) / 16000
    pitch = torch.tensor([200.0, 900.0, 3000.0])[:, None, None]
    utterances = torch.sin(2 * torch.pi * pitch * (time + noise(3, 4, 1)))[None]
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = network.loss(utterances).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    with torch.no_grad():
        assert network.eval().figure(utterances) < 0.2


def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    network, waveform = build(name), noise(1, 9000)
    path = tmp_path / f"{name}.tiny.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    card = weights.read_card(path)
    again = create(card.method, **card.options).eval()
    again.load_state_dict(weights.read_tensors(path))
    assert torch.equal(again(waveform), network(waveform))
