"""What every network keeps that predicts tokens: whole texts and single steps say the same, whatever is beside them."""

import copy
import inspect
import json

import pytest
import torch
import yaml

from unbabble.base import registry, weights
from unbabble.base.config import check_arguments, keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.base.kinds import KINDS
from unbabble.networks.folder import model_card
from unbabble.networks.load import load
from unbabble.nn.kinds.language_model import NeuralLanguageModel

NETWORKS = [name for name in registry.of_kind("language model") if registry.cards()[name].network]
TEXT = torch.tensor([[1, 2, 3, 1, 4, 5], [2, 2, 4, 0, 0, 0], [5, 0, 0, 0, 0, 0]])
every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, seed: int = 0) -> NeuralLanguageModel:
    """The tiny variant, with weights that depend on the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return registry.create(name, **registry.method(name).TINY).eval()


def stepped(network: NeuralLanguageModel, text: torch.Tensor) -> torch.Tensor:
    """(batch, token + 1, number): log-probabilities, one step after another."""
    state, found = network.start(len(text)), []
    for x in torch.nn.functional.pad(text, (1, 0)).T:
        log_probs, state = network.step(x, state)
        found.append(log_probs)
    return torch.stack(found, 1)


@every_network
def test_keeps_the_contract(name):
    network = build(name)
    assert isinstance(network, KINDS["language model"].contract)
    assert isinstance(network, NeuralLanguageModel)
    assert network.tokens == ("▁", "a", "b", "c", "d")
    assert sum(each.numel() for each in network.parameters()) < 100_000
    with torch.no_grad():
        assert stepped(network, TEXT).exp().sum(-1) == pytest.approx(torch.ones(3, 7), abs=1e-5)


@every_network
def test_steps_are_the_whole(name):
    network = build(name)
    with torch.no_grad():
        whole = network.logits(TEXT).log_softmax(-1)
        torch.testing.assert_close(stepped(network, TEXT), whole, rtol=0, atol=1e-5)


@every_network
def test_what_comes_later_and_what_stands_beside_changes_nothing(name):
    network = build(name)
    with torch.no_grad():
        alone = torch.stack([network.nats(row[row > 0][None])[0] for row in TEXT])
        torch.testing.assert_close(network.nats(TEXT), alone, rtol=0, atol=1e-5)
        cut = network.logits(TEXT[:1, :3])
        torch.testing.assert_close(cut, network.logits(TEXT[:1])[:, :4], rtol=0, atol=1e-5)


@every_network
def test_hypotheses_are_picked_row_by_row(name):
    network, rows = build(name), torch.tensor([2, 0, 0])
    with torch.no_grad():
        state = network.start(3)
        for x in (torch.zeros(3, dtype=torch.long), torch.tensor([1, 2, 3])):
            _, state = network.step(x, state)
        kept = {key: value.clone() for key, value in state.items()}
        expected, _ = network.step(torch.tensor([4, 4, 4]), state)
        picked = {key: value[rows] for key, value in state.items()}
        found, _ = network.step(torch.tensor([4, 4, 4]), picked)
    torch.testing.assert_close(found, expected[rows], rtol=0, atol=1e-5)
    assert all(torch.equal(value, state[key]) for key, value in kept.items()), "a state is not changed"


@every_network
def test_gradients_reach_every_parameter(name):
    network = build(name).train()
    loss = network.loss(TEXT)
    assert loss.shape == (3,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter
    with torch.autocast("cpu", torch.bfloat16):
        assert network.loss(TEXT).isfinite().all()


@every_network
def test_a_text_is_learnt_by_heart(name):
    network = build(name).train()
    assert network.figure(TEXT[:1]) > 3
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(TEXT[:1]).mean().backward()
        optimizer.step()
    assert network.eval().figure(TEXT[:1]) < 1.2


@every_network
def test_saved_loaded_and_copied_it_says_the_same(name, tmp_path):
    network = build(name)
    options = network.resolved_options()
    for option, parameter in keyword_parameters(type(network)).items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, option
    assert json.loads(json.dumps(options)) == options
    assert check_arguments(type(network), options, name) == options
    path = tmp_path / "tiny.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, options))
    with torch.no_grad():
        expected = network.logits(TEXT)
        assert torch.equal(load(str(path), "language model").network.logits(TEXT), expected)
        assert torch.equal(copy.deepcopy(network).logits(TEXT), expected)
        assert not torch.equal(build(name, seed=1).logits(TEXT), expected)


@every_network
def test_its_model_card_says_what_it_is(name):
    network = build(name)
    text = model_card("mine", weights.WeightsCard(name), network)
    assert yaml.safe_load(text.split("---")[1])["pipeline_tag"] == "text-generation"
    assert (
        f"It says which words are likely: {sum(p.numel() for p in network.parameters()):,} parameters;"
        in text
    )


@every_network
def test_tokens_that_are_none(name):
    for tokens in ("", ["a", "a"]):
        with pytest.raises(UsageError, match="at least one token, and none twice"):
            registry.create(name, tokens=tokens)


def test_heads_divide_the_width():
    with pytest.raises(UsageError, match="3 heads do not divide a width of 16"):
        registry.create("transformer_lm", width=16, heads=3)
