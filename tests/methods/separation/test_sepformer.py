from pathlib import Path

import pytest
import torch

from unbabble.base.config import load_yaml
from unbabble.base.errors import UsageError
from unbabble.methods.separation import sepformer
from unbabble.methods.separation.sepformer import COMPACT, SepFormer, positions
from unbabble.networks.cost import macs_per_second, parameter_count

TINY_MEANS = SepFormer.TINY | {"inter": "means", "inter_layers": 2, "repeats": 3}


def network(**options):
    torch.manual_seed(0)
    return SepFormer(**options).eval()


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("sources", "parameters"), [(1, 25_613_569), (2, 25_679_361), (3, 25_745_153)])
def test_published_sizes(sources, parameters):
    with torch.device("meta"):
        built = SepFormer(sources=sources)
    assert sum(each.numel() for each in built.parameters()) == parameters


def test_compact_variant_is_small():
    recipes = map(load_yaml, (Path(__file__).parents[3] / "configs").glob("sepformer_*.yaml"))
    assert any(COMPACT.items() <= recipe["options"].items() for recipe in recipes)
    with torch.device("meta"):
        built = SepFormer(**COMPACT)
        assert parameter_count(built) < 3e6
        assert macs_per_second(built) < 1e9


@pytest.mark.parametrize("options", [SepFormer.TINY, TINY_MEANS, SepFormer.TINY | {"stride": 4}])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 999, 4000])
def test_inference_in_groups_agrees_with_training(options, length, monkeypatch):
    monkeypatch.setattr(sepformer, "GROUP_ROWS", 64)
    built, mixtures = network(**options), noise(3, length)
    trained = built.estimate(mixtures).detach()
    with torch.no_grad():
        inferred = built.estimate(mixtures)
        one = built.estimate(mixtures[1:2])
    assert trained.shape == (3, 2, length)
    torch.testing.assert_close(inferred, trained, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(one, inferred[1:2], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("options", "copies"), [(SepFormer.TINY, 2), (TINY_MEANS, 1)])
@pytest.mark.parametrize("frames", [1, 9, 10, 11, 20, 47])
def test_chunks_go_back_to_their_places(options, copies, frames):
    """Blocks that add nothing leave every frame where it was, as often as chunks cover it."""
    built = network(**options).masknet
    for block in built.blocks:
        for norm in (block.intra_norm, block.inter_norm):
            torch.nn.init.zeros_(norm.weight)
    features = noise(2, frames, options["width"])
    expected = built.activation(built.bottleneck(built.norm(features)))
    torch.testing.assert_close(built(features, built.blocks), copies * expected)


def test_means_carry_news_to_distant_chunks():
    built = network(**TINY_MEANS).masknet
    for block in built.blocks:
        block.intra_norm.forward = block.inter_norm.forward = lambda x, in_place=False: (
            x
        )  # these see everything too
    features = noise(1, 200, 16).requires_grad_()
    built.norm.forward = lambda x: x
    built(features, built.blocks)[0, -1].sum().backward()
    assert features.grad[0, 0].abs().max() > 1e-6


def test_first_positions():
    found = positions(3, 4)
    angles = torch.tensor([[0, 0], [1, 0.01], [2, 0.02]])
    torch.testing.assert_close(found[:, 0::2], angles.sin())
    torch.testing.assert_close(found[:, 1::2], angles.cos())


@pytest.mark.parametrize("inter", ["frames", "means"])
def test_bfloat16_is_for_inference_alone(inter):
    options = SepFormer.TINY | {"inter": inter}
    exact, rounded = network(**options), network(**options, precision="bfloat16")
    mixture = noise(1, 2000)
    torch.testing.assert_close(
        rounded.estimate(mixture), exact.estimate(mixture)
    )  # gradients are wanted: float32
    with torch.no_grad():
        expected, found = exact.estimate(mixture), rounded.estimate(mixture)
    error = (found - expected).norm() / expected.norm()
    assert 1e-6 < error < 10 ** (-40 / 20)
    assert all(each.dtype == torch.float32 for each in rounded.parameters())


def test_without_the_fused_layers(monkeypatch):
    built, mixture = network(**SepFormer.TINY), noise(1, 800)
    with torch.no_grad():
        expected = built.estimate(mixture)
        monkeypatch.setattr(sepformer, "FUSED", None)
        torch.testing.assert_close(built.estimate(mixture), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("options", [SepFormer.TINY, TINY_MEANS])
def test_it_learns_two_tones(options):
    time = torch.arange(1600) / 8000
    sources = torch.stack([torch.sin(6.28 * 300 * time), torch.sin(6.28 * 1500 * time)])[None]
    mixture = sources.sum(1)
    built = network(**options)
    optimizer = torch.optim.Adam(built.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(built.loss(mixture, sources).mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 5


@pytest.mark.parametrize(
    "options", [{"chunk": 7}, {"width": 10, "heads": 4}, {"stride": 32}, {"layers": 0}, {"sources": 0}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError):
        SepFormer(**SepFormer.TINY | options)
