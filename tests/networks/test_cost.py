import pytest
import torch

from unbabble.base.registry import create
from unbabble.networks.cost import macs_per_second, parameter_count


def test_recurrent_layers_are_counted():
    network = create("bsrnn", features=16, hidden=12, mask_hidden=8, blocks=3, sample_rate=8000)
    bands, frames_per_second = len(network.split.widths), 8000 / 128
    recurrence = 2 * 4 * 12 * (16 + 12) + 2 * 12 * 16
    spectrum = 3 * 256 * 2 * 129  # there, and back for two voices
    masks = bands * 16 * 8 + 2 * 129 * 16 + 8 * 2 * 2 * 2 * 129
    expected = frames_per_second * (bands * recurrence * 6 + spectrum + masks)
    assert macs_per_second(network) == pytest.approx(expected, rel=0.02)


def test_convolutions_are_counted():
    """Conv-TasNet: nearly all is 1x1 convolutions, each weight once a frame."""
    network = create("conv_tasnet")
    assert macs_per_second(network, 1.0) == pytest.approx(parameter_count(network) * 1000, rel=0.03)


def test_attention_is_counted():
    """Scores and weighted sums: twice the width for each pair of frames of a chunk."""
    options = {"width": 32, "kernel": 16, "stride": 8, "layers": 1, "repeats": 1, "heads": 4, "hidden": 16}
    short, long = (create("sepformer", chunk=chunk, inter="means", **options) for chunk in (50, 100))
    frames_per_second = 8000 / 8
    difference = macs_per_second(long) - macs_per_second(short)
    assert difference == pytest.approx(frames_per_second * 2 * 32 * (100 - 50), rel=0.05)


def test_the_network_is_left_as_it_was():
    network = create("bsrnn", features=6, hidden=5, mask_hidden=8, blocks=1).train()
    mixture = torch.randn(1, 800, generator=torch.Generator().manual_seed(0))
    before = network.estimate(mixture)
    macs_per_second(network, 0.1)
    assert network.training
    assert torch.equal(network.estimate(mixture), before)
