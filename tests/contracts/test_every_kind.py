"""What every model keeps, whatever its kind; new ones are picked up once they are registered."""

import copy
import inspect
import json

import pytest
import torch

from tests.contracts.examples import (
    BOUNDS,
    ELSEWHERE,
    EXAMPLES,
    MODELS,
    NETWORKS,
    build,
    example,
    mixture_for,
    of_kind,
    use,
)
from unbabble.base import registry, weights
from unbabble.base.config import check_arguments, keyword_parameters
from unbabble.base.errors import InputError
from unbabble.base.kinds import KINDS
from unbabble.base.registry import create, method
from unbabble.networks.onnx import FASTER

TINY_PARAMETERS = 100_000
CLUSTERING = ("deep_clustering",)
"""Without training there are no clusters: any rounding may move a bin to another voice."""
every_model = pytest.mark.parametrize("model", MODELS)
every_network = pytest.mark.parametrize("name", NETWORKS)


def attempt(model: str, mixture: torch.Tensor, **changes: object) -> torch.Tensor | None:
    """What the model says, or None where the input was refused in one sentence."""
    message = ""
    try:
        return use(model, mixture, **changes)
    except InputError as error:
        message = str(error)
    assert message.endswith(".")
    assert "\n" not in message
    return None


def test_every_kind_has_an_example():
    assert {*EXAMPLES, "adaptation", "language model", "objective", *ELSEWHERE} == set(KINDS)
    assert {kind.name for kind in MODELS.values()} == set(EXAMPLES)


@every_model
def test_keeps_the_contract_of_its_kind(model):
    built = build(model)
    assert isinstance(built, MODELS[model].contract)
    assert isinstance(built.sample_rate, int)
    assert model not in NETWORKS or isinstance(built, example(model).base)
    for kind in built.card.also:
        other = built.acting_as(kind)
        assert isinstance(other, KINDS[kind].contract)
        assert isinstance(other, torch.nn.Module), "it goes to a device as a network does"


@pytest.mark.parametrize("name", registry.of_kind("adaptation"))
def test_adaptations_keep_theirs(name):
    assert issubclass(method(name), KINDS["adaptation"].contract)


@every_model
def test_shape_and_type(model):
    built = build(model)
    mixture = mixture_for(built)
    before = mixture.clone()
    found = use(model, mixture)
    assert found.shape == (1, *example(model).shape(built, mixture.shape[-1]))
    assert (found.dtype, found.device) == (torch.float32, mixture.device)
    assert found.isfinite().all()
    assert not found.requires_grad
    assert torch.equal(mixture, before), "the input was modified"


@every_model
def test_is_deterministic_and_leaves_the_global_random_state_alone(model):
    built = build(model)
    mixture, state = mixture_for(built, 3), torch.random.get_rng_state()
    first = example(model).use(built, mixture)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first, example(model).use(built, mixture))
    with torch.random.fork_rng():
        torch.manual_seed(123)
        assert torch.equal(first, use(model, mixture))


@every_model
@pytest.mark.parametrize("gain", [2.0**-10, 2.0**10, 0.01, 100.0])
def test_level_changes_nothing_else(model, gain):
    mixture = mixture_for(build(model))
    expected, found = use(model, mixture), use(model, mixture * gain)
    if not example(model).keeps_level:
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    elif gain in (0.01, 100.0):
        assert float((found / gain - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
    else:
        assert torch.equal(found, expected * gain), "a power of two is exact"


@every_model
def test_silence(model):
    silence = torch.zeros_like(mixture_for(build(model)))
    if example(model).refuses_silence:
        with pytest.raises(InputError, match="silent"):
            use(model, silence)
    else:
        assert use(model, silence).isfinite().all()


@every_model
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_no_numbers_are_refused(model, bad):
    mixture = mixture_for(build(model))
    mixture[0, 0, 100] = bad
    with pytest.raises(InputError, match=r"finite|not numbers"):
        use(model, mixture)


@every_model
@pytest.mark.parametrize("samples", [0, 1, 2, 3, 7, 63, 64, 300, 1001])
def test_very_short_input(model, samples):
    built = build(model)
    found = attempt(model, mixture_for(built)[..., 2000 : 2000 + samples])
    if found is None:
        assert samples < example(model).shortest * 16000, "that is short, but sound"
    else:
        assert samples
        assert found.shape == (1, *example(model).shape(built, samples))
        assert found.isfinite().all()


@every_model
def test_a_batch_is_its_recordings_one_by_one(model):
    mixture = mixture_for(build(model), 3)
    batch = torch.cat([mixture, 0.3 * mixture.flip(1), mixture.roll(500, -1)])
    apart = torch.cat([use(model, item[None]) for item in batch])
    loud = float(apart.abs().max()) if example(model).keeps_level else 100.0
    torch.testing.assert_close(use(model, batch), apart, rtol=0, atol=1e-5 * loud)


@every_model
def test_input_that_is_not_contiguous(model):
    mixture = mixture_for(build(model))
    strided = mixture.transpose(1, 2).contiguous().transpose(1, 2)
    expected = use(model, mixture)
    tolerance = 1e-5 * float(mixture.abs().max()) if example(model).keeps_level else 1e-3
    torch.testing.assert_close(use(model, strided), expected, rtol=0, atol=tolerance)


@every_network
def test_the_tiny_variant_is_tiny(name):
    assert build(name).TINY
    assert sum(each.numel() for each in build(name).parameters()) < TINY_PARAMETERS


@every_network
def test_options_are_keywords_of_plain_types(name):
    """They travel through YAML, JSON and the command line."""
    network = build(name)
    for option, parameter in keyword_parameters(type(network)).items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, option
        assert isinstance(parameter.default, bool | int | float | str | None), option
    options = network.resolved_options()
    assert json.loads(json.dumps(options)) == options
    assert check_arguments(type(network), options, name) == options


@every_network
@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_every_parameter_that_learns(name, training):
    network = build(name).train(training)
    loss = network.loss(*example(name).item(network, False))
    assert loss.shape == (2,)
    loss.sum().backward()
    for parameter, value in network.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, parameter
            assert value.grad.isfinite().all(), parameter
            assert value.grad.any(), parameter


@every_network
def test_half_precision_is_finite(name):
    network = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(*example(name).item(network, False))
    assert loss.isfinite().all()
    loss.float().sum().backward()
    assert all(each.grad.isfinite().all() for each in network.parameters() if each.grad is not None)


@every_network
def test_one_item_is_learnt_by_heart(name):
    """So many steps on one easy item bring it below a bound that random weights are far from."""
    kind = example(name)
    network, bound = build(name), BOUNDS.get(name, kind.bound)
    item = kind.item(network, True)
    with torch.no_grad():
        assert kind.learnt(network, item) > bound
    network.train()
    torch.manual_seed(0)  # of dropout and masks
    optimizer = torch.optim.Adam([each for each in network.parameters() if each.requires_grad], 0.02)
    for _ in range(kind.steps):
        optimizer.zero_grad()
        network.loss(*item).mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert kind.learnt(network.eval(), item) < bound


@every_network
@pytest.mark.parametrize("half", [False, True])
def test_saved_and_loaded_it_says_the_same(name, half, tmp_path):
    network, mixture = build(name), mixture_for(build(name))
    network.calibrate([example(name).item(network, True)])
    path = tmp_path / "tiny.safetensors"
    card = weights.WeightsCard(network.card.name, network.resolved_options())
    weights.save(path, network.state_dict(), card, half=half)
    card, again = weights.read_card(path), build(name, seed=1)
    assert card.options == network.resolved_options()
    assert type(again)(**card.options).resolved_options() == network.resolved_options()
    assert weights.describe_mismatch(path, again.state_dict()) is None
    expected = example(name).use(network, mixture)
    assert not torch.equal(example(name).use(again, mixture), expected)
    again.load_state_dict(weights.read_tensors(path))
    found = example(name).use(again, mixture)
    if not half:
        assert torch.equal(found, expected)
    elif name not in CLUSTERING:
        assert float((found - expected).norm()) < 0.02 * float(expected.norm())


@every_network
def test_a_copy_is_the_same_network(name):
    network, mixture = build(name), mixture_for(build(name))
    twin = copy.deepcopy(network)
    assert twin.options == network.options
    assert twin.resolved_options() == network.resolved_options()
    expected = example(name).use(network, mixture)
    assert torch.equal(example(name).use(twin, mixture), expected)
    with torch.no_grad():
        for each in twin.parameters():
            each.add_(0.1)
    assert not torch.equal(example(name).use(twin, mixture), expected)
    assert torch.equal(example(name).use(network, mixture), expected)


@every_network
def test_resolved_options_build_the_same_network(name):
    network, mixture = build(name), mixture_for(build(name))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        again = type(network)(**network.resolved_options()).eval()
    assert again.resolved_options() == network.resolved_options()
    assert torch.equal(example(name).use(again, mixture), example(name).use(network, mixture))


@pytest.mark.parametrize("name", sorted(FASTER))
def test_onnx_runtime_computes_the_same(name, tmp_path):
    """Of those that it computes by itself, because it is faster; ``export`` compares signals of several lengths."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from unbabble.networks.onnx import export

    assert name in of_kind("separator", "enhancer", networks=True)
    assert export(build(name), tmp_path / "tiny.onnx") < 1e-4


def test_no_card_names_an_unknown_kind():
    from unbabble.base.errors import UsageError
    from unbabble.base.registry import Card

    with pytest.raises(UsageError, match="no kind of model called 'oracle'"):
        Card("delphi", "oracle", "", "")
    assert create("conv_tasnet", **method("conv_tasnet").TINY | {"sources": 1}).kind == KINDS["enhancer"]
