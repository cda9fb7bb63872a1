"""Every network that extracts an enrolled person keeps the contract, in its tiny variant with random weights."""

import math

import pytest
import torch

from unbabble.base import weights
from unbabble.base.contracts import Separator
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import cards, create, method

VARIANTS = {"td_speakerbeam with an embedder": {"embedder_channels": 4, "embedder_dimension": 6}}
EXTRACTORS = [card.name for card in cards().values() if card.network and card.contract == "extractor"]
pytestmark = pytest.mark.parametrize("name", [*EXTRACTORS, *VARIANTS])


def build(name: str, seed: int = 0, **changes: object):
    changes |= VARIANTS.get(name, {})
    name = name.partition(" ")[0]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY | changes).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [2, 63, 64, 1000, 4001])
@pytest.mark.parametrize("enrolled", [2, 500, 4000])
def test_contract(name, length, enrolled):
    network = build(name)
    assert isinstance(network, Separator)
    found = network(noise(2, 2, length), enrollment=noise(enrolled, seed=1))
    assert found.shape == (2, 1, length)
    assert found.isfinite().all()


def test_who_is_enrolled_makes_a_difference(name):
    network, mixture = build(name), noise(1, 1, 4000)
    swelling = (0.3 * torch.arange(4000)).sin() * (0.002 * torch.arange(4000)).sin()
    one, other = (network(mixture, enrollment=enrollment) for enrollment in (noise(4000, seed=1), swelling))
    assert (one - other).norm() > 1e-5 * one.norm()
    again = network(mixture, person=network.enrolled(noise(4000, seed=1)))
    assert torch.equal(one, again)


@pytest.mark.parametrize("gain", [1e-5, 200.0])
def test_levels_do_not_matter(name, gain):
    network, mixture, enrollment = build(name), noise(1, 1, 4000), noise(3000, seed=1)
    expected = network(mixture, enrollment=enrollment)
    found = network(gain * mixture, enrollment=gain * enrollment)
    torch.testing.assert_close(found / gain, expected, rtol=1e-3, atol=1e-4)


def test_a_batch_is_its_items_one_by_one(name):
    network, mixture, enrollment = build(name), noise(3, 2000), noise(3, 3000, seed=1)
    with torch.no_grad():
        together = network.extract(mixture, network.enroll(enrollment))
        apart = [
            network.extract(each[None], network.enroll(who[None]))
            for each, who in zip(mixture, enrollment, strict=True)
        ]
    torch.testing.assert_close(together, torch.cat(apart), rtol=0, atol=1e-5)


def test_what_cannot_be_extracted(name):
    network, mixture = build(name), noise(1, 1, 4000)
    with pytest.raises(UsageError, match="enrollment"):
        network(mixture)
    with pytest.raises(InputError):
        network(mixture, enrollment=torch.zeros(4000))
    with pytest.raises(InputError):
        network(torch.zeros(1, 1, 4000), enrollment=noise(4000))
    with pytest.raises(InputError):
        network(mixture * math.nan, enrollment=noise(4000))
    with pytest.raises(InputError, match="microphone"):
        build(name, reference=1)(mixture, enrollment=noise(4000))


def test_gradients_reach_every_parameter_that_learns(name):
    network = build(name).train()
    sources = noise(2, 1, 2000)
    loss = network.loss(sources[:, 0] + noise(2, 2000, seed=1), noise(2, 2500, seed=2), sources)
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert not value.requires_grad or (value.grad is not None and value.grad.isfinite().all()), parameter
        assert not value.requires_grad or value.grad.any(), parameter


def test_who_is_absent_costs_what_is_heard(name):
    network = build(name)
    mixture, enrollment, nobody = noise(1, 2000), noise(1, 2500, seed=1), torch.zeros(1, 1, 2000)
    with torch.no_grad():
        assert network.loss(mixture, enrollment, nobody).isfinite().all()
        assert math.isnan(network.figure(mixture, enrollment, nobody))


def test_a_few_steps_lower_the_loss(name):
    network = build(name).train()
    sources = torch.nn.functional.avg_pool1d(noise(2, 1, 2000), 9, 1, 4) * 3
    mixture, enrollment = sources[:, 0] + noise(2, 2000, seed=1), noise(2, 2500, seed=2)
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], 3e-3)
    losses = []
    for _ in range(12):
        loss = network.loss(mixture, enrollment, sources).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[6:]) < losses[0]


def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    network, mixture, enrollment = build(name), noise(1, 1, 3000), noise(3000, seed=1)
    path = tmp_path / f"{network.card.name}.tiny.safetensors"
    weights.save(
        path, network.state_dict(), weights.WeightsCard(network.card.name, network.resolved_options())
    )
    card = weights.read_card(path)
    again = create(card.method, **card.options).eval()
    again.load_state_dict(weights.read_tensors(path))
    assert torch.equal(again(mixture, enrollment=enrollment), network(mixture, enrollment=enrollment))


def test_what_is_given_by_an_embedder_and_nothing_else_does_not_learn(name):
    network = build(name)
    embedder = getattr(network, "embedder", None) or torch.nn.Module()
    before = {key: tensor.clone() for key, tensor in embedder.state_dict().items()}
    fixed = {id(each) for each in embedder.parameters()}
    network.train()
    network.loss(noise(2, 2000), noise(2, 2500, seed=1), noise(2, 1, 2000, seed=2)).sum().backward()
    assert all(torch.equal(tensor, before[key]) for key, tensor in embedder.state_dict().items())
    assert all((each.grad is None) == (id(each) in fixed) for each in network.parameters())
