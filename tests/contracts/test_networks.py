"""Every network that separates, in its tiny variant with random weights, can be trained, saved and run."""

import copy
import inspect
import json

import pytest
import torch

from unbabble.base import weights
from unbabble.base.config import check_arguments, keyword_parameters
from unbabble.base.registry import cards, create, method

NETWORKS = [
    card.name for card in cards().values() if card.network and card.contract in ("separator", "enhancer")
]
TINY_PARAMETERS = 100_000
LENGTHS = (1, 2, 3, 7, 64, 257, 1000, 1601)
CLUSTERING = ("deep_clustering",)
"""Without training there are no clusters: any rounding may move a bin to another voice."""
pytestmark = pytest.mark.parametrize("name", NETWORKS)


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(name: str, seed: int = 0, **changes: object):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY | changes).eval()


def _estimate(network, mixture: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.estimate(mixture)


def test_tiny_is_small(name):
    tiny = build(name)
    assert method(name).TINY
    assert sum(each.numel() for each in tiny.parameters()) < TINY_PARAMETERS


def test_options_are_keywords_of_plain_types(name):
    """They travel through YAML, JSON and the command line."""
    for option, parameter in keyword_parameters(method(name)).items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, option
        assert isinstance(parameter.default, bool | int | float | str | None), option
    options = build(name).resolved_options()
    assert json.loads(json.dumps(options)) == options
    assert check_arguments(method(name), options, name) == options


@pytest.mark.parametrize("length", LENGTHS)
def test_any_length(name, length):
    network = build(name)
    estimates = _estimate(network, _noise(2, length, seed=length))
    assert estimates.shape == (2, network.sources, length)
    assert estimates.isfinite().all()


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_as_many_voices_as_asked_for(name, sources):
    if "sources" not in keyword_parameters(method(name)):
        pytest.skip("has a number of voices of its own")
    assert _estimate(build(name, sources=sources), _noise(1, 500)).shape == (1, sources, 500)


def test_silence_and_constants_are_finite(name):
    for mixture in (torch.zeros(1, 800), torch.ones(1, 800)):
        assert _estimate(build(name), mixture).isfinite().all()


def test_estimates_are_deterministic(name):
    network, mixture = build(name), _noise(2, 900)
    first = _estimate(network, mixture)
    torch.manual_seed(99)
    assert torch.equal(first, _estimate(network, mixture))


@pytest.mark.parametrize("length", [50, 1203])
def test_a_batch_is_its_items_one_by_one(name, length):
    network = build(name)
    mixture = _noise(3, length) * torch.tensor([[1.0], [0.1], [3.0]])
    together = _estimate(network, mixture)
    apart = torch.cat([_estimate(network, item[None]) for item in mixture])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5 * float(apart.abs().max()))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_every_parameter(name, training):
    network = build(name).train(training)
    sources = _noise(2, network.sources, 1500, seed=1)
    loss = network.loss(sources.sum(1), sources)
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


def test_a_few_steps_lower_the_loss(name):
    network = build(name).train()
    sources = _noise(2, network.sources, 1000, seed=1)
    sources[:, 0] = torch.nn.functional.avg_pool1d(sources[:, :1], 9, 1, 4)[:, 0] * 3  # so that they differ
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(10):
        loss = network.loss(sources.sum(1), sources).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[5:]) < losses[0]


def test_the_loss_of_sources_does_not_depend_on_their_order(name):
    network = build(name)
    sources = _noise(2, network.sources, 800, seed=1)
    with torch.no_grad():
        loss = network.loss(sources.sum(1), sources)
        reordered = network.loss(sources.sum(1), sources.flip(1))
    torch.testing.assert_close(loss, reordered, rtol=1e-4, atol=1e-4)


def test_the_loss_of_a_silent_source_is_finite(name):
    network = build(name)
    sources = _noise(2, network.sources, 800, seed=1)
    sources[0, -1] = 0
    sources[1] = 0
    loss = network.loss(sources.sum(1), sources)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)


def test_half_precision_is_finite_and_near(name):
    network = build(name)
    sources = _noise(2, network.sources, 1200, seed=1)
    mixture = sources.sum(1)
    exact = _estimate(network, mixture)
    with torch.autocast("cpu", torch.bfloat16):
        estimates = _estimate(network, mixture).float()
        loss = network.loss(mixture, sources)
    loss.float().sum().backward()
    assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)
    assert estimates.isfinite().all()
    assert name in CLUSTERING or float((estimates - exact).norm()) < 0.2 * float(exact.norm())


def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    network, mixture = build(name), _noise(1, 700)
    path = tmp_path / f"{name}.tiny.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    card = weights.read_card(path)
    again = create(card.method, **card.options).eval()
    assert weights.describe_mismatch(path, again.state_dict()) is None
    assert not torch.equal(_estimate(again, mixture), _estimate(network, mixture))
    again.load_state_dict(weights.read_tensors(path))
    assert torch.equal(_estimate(again, mixture), _estimate(network, mixture))


def test_saved_in_half_precision_it_gives_nearly_the_same(name, tmp_path):
    network, mixture = build(name), _noise(1, 700)
    path = tmp_path / f"{name}.tiny.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()), half=True)
    again = build(name, seed=1)
    again.load_state_dict(weights.read_tensors(path))
    exact = _estimate(network, mixture)
    if name in CLUSTERING:
        pytest.skip("any rounding may move a bin to another voice")
    assert float((_estimate(again, mixture) - exact).norm()) < 0.02 * float(exact.norm())


def test_a_copy_is_the_same_network(name):
    network, mixture = build(name), _noise(1, 700)
    twin = copy.deepcopy(network)
    assert twin.options == network.options
    assert twin.resolved_options() == network.resolved_options()
    assert torch.equal(_estimate(twin, mixture), _estimate(network, mixture))
    with torch.no_grad():
        next(twin.parameters()).add_(1)
    assert not torch.equal(_estimate(twin, mixture), _estimate(network, mixture))


def test_resolved_options_build_the_same_network(name):
    network = build(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        again = method(name)(**network.resolved_options()).eval()
    assert again.resolved_options() == network.resolved_options()
    assert torch.equal(_estimate(again, _noise(1, 700)), _estimate(network, _noise(1, 700)))
