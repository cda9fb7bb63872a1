"""Streams of causal networks: the same as the whole, whatever the pieces; rates, levels, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.base.audio import resample
from unbabble.base.errors import InputError, UsageError
from unbabble.methods.separation.conv_tasnet import ConvTasNet
from unbabble.nn.cumulative_norm import CumulativeNorm
from unbabble.nn.state import Memory

VARIANTS = {
    "plain": {},
    "no skip": {"skip": 0, "encoder_relu": True, "mask": "softmax"},
    "each frame": {"norm": "channel", "sources": 3, "conv_kernel": 2},
    "batch": {"norm": "batch", "kernel": 2},
}


def network(seed: int = 0, **options) -> ConvTasNet:
    torch.manual_seed(seed)
    made = ConvTasNet(**ConvTasNet.TINY | {"causal": True, "levels": "kept"} | options).eval()
    for name, each in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(each, std=0.1)
    return made


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()


def in_pieces(streamer, samples: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(streamer.push(samples[..., start : start + size]))
        start += size
    return torch.cat([*pieces, streamer.push(samples[..., start:]), streamer.flush()], -1)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=12, deadline=None)
@given(length=st.integers(1, 500), sizes=st.lists(st.integers(0, 120), max_size=5))
def test_a_stream_is_the_whole(variant, length, sizes):
    net, mixture = network(**VARIANTS[variant]), noise(length)
    with torch.no_grad():
        whole = net.estimate(mixture[None])[0]
    found = in_pieces(net.streamer(), mixture, sizes)
    assert found.shape == whole.shape
    assert (found - whole).abs().max() < 1e-5


def test_output_is_at_most_the_latency_behind():
    streamer, given_out = network().streamer(), 0
    for taken in range(1, 200):
        given_out += streamer.push(noise(1)).shape[1]
        assert taken - given_out <= streamer.latency
    assert streamer.latency == 15


def test_running_sums_do_not_stop_growing():
    """After 2^24 frames float32 cannot count on."""
    state = {"sums": torch.tensor([[[2.0**25, 0.0, 2.0**25]]], dtype=torch.float64)}
    CumulativeNorm(1)(torch.ones(1, 3, 1), Memory(state))
    assert state["sums"].flatten().tolist() == [2**25 + 3, 3, 2**25 + 3]


@pytest.mark.parametrize("level", [0.01, 20.0])
def test_any_level_gives_the_same_at_that_level(level):
    net = network()
    mixture = 0.05 * noise(1, 4000)
    wanted = in_pieces(net.stream(8000, 1), mixture, [1000])
    found = in_pieces(net.stream(8000, 1), level * mixture, [1000])
    assert (found / level - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_an_offset_is_removed():
    net = network()
    mixture = 0.05 * noise(1, 4000)
    wanted = in_pieces(net.stream(8000, 1), mixture, [])
    found = in_pieces(net.stream(8000, 1), mixture + 0.5, [17, 2000, 0, 1])
    assert torch.allclose(found, wanted, atol=1e-4)
    with torch.no_grad():
        whole = net.estimate(16 * mixture)[0] / 16
    assert (found - whole).square().sum() < 0.01 * whole.square().sum()


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (11025, 2), (8000, 3), (4000, 1)])
def test_any_rate_and_channels(rate, channels):
    net = network(reference=channels - 1)
    seconds = 1.5
    time = torch.arange(round(seconds * rate)) / rate
    tone = 0.1 * torch.sin(2 * torch.pi * 300 * time) * torch.sin(2 * torch.pi * 3 * time) ** 2
    recording = noise(channels, len(time))
    recording[-1] = tone
    streamer = net.stream(rate, channels)
    found = in_pieces(streamer, recording, [997] * 5)
    assert found.shape == (2, len(time))
    with torch.no_grad():
        whole = net.estimate(16 * resample(tone[None], rate, 8000))[0] / 16
    wanted = resample(whole, 8000, rate)
    inside = slice(rate // 10, min(wanted.shape[1], len(time)) - rate // 10)
    error = (found - wanted[:, : len(time)])[:, inside].square().sum() / wanted[:, inside].square().sum()
    assert 10 * error.log10() < -30
    assert streamer.latency / rate < (0.2 if rate >= 8000 else 0.5)


def test_an_empty_stream_gives_nothing():
    assert network().streamer().flush().shape == (2, 0)
    assert network().stream(48000, 1).flush().shape == (2, 0)
    assert network(sources=1).stream(48000, 1).flush().shape == (1, 0)


def test_one_source():
    assert in_pieces(network(sources=1).stream(16000, 1), noise(1, 500), [77]).shape == (1, 500)


def test_refusals():
    with pytest.raises(UsageError, match="causal"):
        network(causal=False).streamer()
    with pytest.raises(UsageError, match="levels"):
        network(levels="fitted").stream(8000, 1)
    with pytest.raises(InputError, match="no microphone 1"):
        network(reference=1).stream(8000, 1)
    with pytest.raises(InputError, match="shape"):
        network().stream(8000, 1).push(torch.zeros(2, 10))
    with pytest.raises(InputError, match="not finite"):
        network().stream(8000, 1).push(torch.full((1, 10), torch.nan))
