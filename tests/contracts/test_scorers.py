"""Every network that scores keeps the contract, in its tiny variant with random weights."""

import json

import pytest
import torch

from unbabble.base import weights
from unbabble.base.contracts import Scorer
from unbabble.base.errors import InputError
from unbabble.base.registry import cards, create, method
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB

SCORERS = [card.name for card in cards().values() if card.network and card.contract == "scorer"]
pytestmark = pytest.mark.parametrize("name", SCORERS)
TOLERANCE_DB = 2e-3
"""Of float32, in another order."""


def build(name: str, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create(name, **method(name).TINY).eval()


def voices(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recording(samples: int = 8000, sources: int = 2, batch: int = 1, seed: int = 0):
    references = voices(batch, sources, samples, seed=seed)
    mixture = references.sum(1)
    return mixture, references + 0.3 * mixture[:, None], references


def test_contract(name):
    network = build(name)
    assert isinstance(network, Scorer)
    mixture, estimates, _ = recording(batch=2, sources=3)
    found = network.scores(mixture, estimates)
    assert found.db.shape == (2, 3)
    assert torch.equal(network(mixture, estimates), found.db)
    assert (found.low <= found.high).all()
    for each in found:
        assert each.isfinite().all()
        assert ((each >= LOWEST_DB) & (each <= HIGHEST_DB)).all()


@pytest.mark.parametrize("gain", [1e-6, -1.0, 1e4])
def test_level_and_sign_do_not_matter(name, gain):
    network = build(name)
    mixture, estimates, _ = recording()
    gains = torch.tensor([gain, 1.0])[:, None]
    found = network(mixture, estimates)
    if gain > 0 or name != "blind_sisnr":  # the published one hears the sign
        torch.testing.assert_close(network(mixture, estimates * gains), found, rtol=0, atol=TOLERANCE_DB)
        torch.testing.assert_close(network(mixture * abs(gain), estimates), found, rtol=0, atol=TOLERANCE_DB)


def test_order_of_the_estimates_does_not_matter(name):
    network = build(name)
    mixture, estimates, _ = recording(sources=3)
    found, order = network(mixture, estimates), [2, 0, 1]
    torch.testing.assert_close(
        network(mixture, estimates[:, order]), found[:, order], rtol=0, atol=TOLERANCE_DB
    )


def test_a_batch_is_its_items_one_by_one(name):
    network = build(name)
    mixture, estimates, _ = recording(batch=3)
    together = network(mixture, estimates)
    apart = torch.cat([network(mixture[k : k + 1], estimates[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, apart, rtol=0, atol=TOLERANCE_DB)


def test_a_silent_estimate_is_the_worst_for_certain(name):
    network = build(name)
    mixture, estimates, _ = recording()
    estimates[:, 1] = 0
    found = network.scores(mixture, estimates)
    assert [float(each[0, 1]) for each in found] == [LOWEST_DB] * 3
    assert found.db.isfinite().all()


def test_identical_estimates_have_one_score(name):
    mixture, estimates, _ = recording()
    found = build(name)(mixture, estimates[:, :1].expand(-1, 2, -1))
    assert float(found[0, 0]) == pytest.approx(float(found[0, 1]), abs=TOLERANCE_DB)


def test_what_cannot_be_scored_is_refused(name):
    network = build(name)
    mixture, estimates, _ = recording()
    for m, e, words in (
        (mixture, estimates[..., :-1], "not of one recording"),
        (mixture[:, :80], estimates[..., :80], "needs at least"),
        (torch.zeros_like(mixture), estimates, "silent"),
        (mixture, estimates / 0, "not numbers"),
        (mixture * torch.nan, estimates, "finite|not numbers"),
    ):
        with pytest.raises(InputError, match=words):
            network.scores(m, e)


def test_gradients_reach_every_parameter(name):
    network = build(name).train()
    loss = network.loss(*recording(batch=2))
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


def test_gradients_reach_the_estimates(name):
    """So that it can teach a separator, and be attacked."""
    network = build(name)
    mixture, estimates, _ = recording()
    estimates.requires_grad_()
    network.predict(mixture, estimates).db.sum().backward()
    assert estimates.grad.isfinite().all()
    assert estimates.grad.any()


def test_estimates_that_fill_up_do_not_count(name):
    network = build(name)
    mixture, estimates, references = recording(batch=2)
    more = torch.zeros(2, 1, 8000)
    with torch.no_grad():
        loss = network.loss(mixture, estimates, references)
        padded = network.loss(mixture, torch.cat([estimates, more], 1), torch.cat([references, more], 1))
    torch.testing.assert_close(padded, loss, rtol=1e-4, atol=1e-5)


def test_a_few_steps_lower_the_loss(name):
    network = build(name).train()
    items = recording(batch=4)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = network.loss(*items).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[5:]) < losses[0]


def test_intervals_hold_what_they_were_calibrated_to(name):
    network = build(name)
    items = [recording(seed=seed, samples=4000) for seed in range(40)]
    network.calibrate(items)
    held = []
    for mixture, estimates, references in items:
        found = network.scores(mixture, estimates)
        true = 10 * torch.log10(
            (estimates * references).sum(-1) ** 2
            / (
                references.square().sum(-1) * estimates.square().sum(-1)
                - (estimates * references).sum(-1) ** 2
            )
        )
        held.append((found.low - 1e-3 <= true) & (true <= found.high + 1e-3))
    assert 0.85 <= float(torch.cat(held).double().mean()) <= 0.95


def test_saved_and_loaded_it_says_the_same(name, tmp_path):
    network, (mixture, estimates, references) = build(name), recording()
    network.calibrate([(mixture, estimates, references)])
    path = tmp_path / "scorer.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    card = weights.read_card(path)
    assert json.loads(json.dumps(card.options)) == network.resolved_options()
    again = create(card.method, **card.options).eval()
    again.load_state_dict(weights.read_tensors(path))
    for found, before in zip(
        again.scores(mixture, estimates), network.scores(mixture, estimates), strict=True
    ):
        assert torch.equal(found, before)
