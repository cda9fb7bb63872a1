"""The enhancer of gated recurrent units."""

import pytest
import torch

from unbabble.base.errors import UsageError
from unbabble.methods.enhancement.gru import GRU
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.nn.live_masks import MEMORY_FRAMES, LevelSoFar, windows
from unbabble.nn.state import Memory


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(**options) -> GRU:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GRU(**options).eval()


def all_pass(**options) -> GRU:
    network = built(**options)
    with torch.no_grad():
        network.to_mask.weight.zero_()
        network.to_mask.bias.fill_(40.0)
    return network


@pytest.mark.parametrize(
    ("layers", "hidden", "parameters", "giga_macs"),
    [
        (2, 32, 75_777, 0.005),
        (2, 64, 169_473, 0.011),
        (2, 1024, 11_551_233, 0.72),
        (3, 1024, 17_848_833, 1.12),
    ],
)
def test_sizes_are_the_published_ones(layers, hidden, parameters, giga_macs):
    """169,473 and 17,848,833 are Kim & Kim's; operations are 62.5 frames a second of one multiplication a weight."""
    network = GRU(layers=layers, hidden=hidden)
    assert parameter_count(network) == parameters
    assert macs_per_second(network) / 1e9 == pytest.approx(giga_macs, rel=0.08)


@pytest.mark.parametrize("heard", [128, 256, 512, 1024])
@pytest.mark.parametrize("length", [1, 255, 256, 257, 4000])
def test_a_mask_of_one_changes_nothing(heard, length):
    network = all_pass(window_length=1024, heard_length=heard, hop_length=64, hidden=4, layers=1)
    mixture = noise(2, length)
    with torch.no_grad():
        torch.testing.assert_close(network.estimate(mixture)[:, 0], mixture, rtol=0, atol=1e-5)


def test_windows_of_full_length_are_square_roots_of_hann():
    analysis, synthesis = windows(64, 64)
    torch.testing.assert_close(analysis, torch.hann_window(64, dtype=torch.float64).sqrt())
    torch.testing.assert_close(analysis * synthesis, torch.hann_window(64, dtype=torch.float64))


def test_a_sample_waits_for_no_more_than_is_heard_of_a_frame():
    network = built()
    mixture = noise(1, 6000)
    changed = mixture.clone()
    changed[:, 4000:] = noise(1, 2000, seed=1)
    with torch.no_grad():
        before, after = network.estimate(mixture), network.estimate(changed)
    known = 4000 - network.frames.heard_length
    torch.testing.assert_close(before[..., :known], after[..., :known], rtol=0, atol=1e-6)
    assert (before[..., known:4000] - after[..., known:4000]).abs().max() > 1e-3
    assert network.frames.heard_length / network.sample_rate == 0.032


@pytest.mark.parametrize("gain", [1e-4, 30.0])
def test_proportional_to_the_recording(gain):
    network, mixture = built(), noise(1, 8000)
    with torch.no_grad():
        expected = gain * network.estimate(mixture)
        torch.testing.assert_close(network.estimate(gain * mixture), expected, rtol=1e-3, atol=1e-4 * gain)


@pytest.mark.parametrize("block", [1, 100, 256, 777, 20000])
def test_a_stream_gives_what_the_whole_gives(block):
    network = built(hidden=16)
    samples = 2000 if block == 1 else 20000
    mixture = noise(1, samples)[0]
    streamer = network.streamer()
    pieces = [streamer.push(part) for part in mixture.split(block)]
    late = samples - sum(piece.shape[1] for piece in pieces)
    assert late <= streamer.latency
    found = torch.cat([*pieces, streamer.flush()], 1)
    with torch.no_grad():
        torch.testing.assert_close(found, network.estimate(mixture[None])[0], rtol=0, atol=1e-5)


def test_an_empty_stream_is_empty():
    streamer = built().streamer()
    assert streamer.push(torch.zeros(0)).shape == (1, 0)
    assert streamer.flush().shape == (1, 0)


def test_the_level_of_a_stream_follows_after_its_memory():
    level = LevelSoFar()
    memory = Memory(level.initial(1))
    level(torch.full((1, MEMORY_FRAMES, 1), 100.0), memory)
    found = level(torch.ones(1, 5 * MEMORY_FRAMES, 1), memory)
    assert found[0, 0] > 99
    assert found[0, -1] < 2


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        {"layers": 0},
        {"heard_length": 300},
        {"heard_length": 2048},
        {"window_length": 1000},
        {"hop_length": 0},
    ],
)
def test_sizes_that_make_no_sense(options):
    with pytest.raises(UsageError):
        GRU(**options)
