import pytest

from unbabble.base.registry import create
from unbabble.nn.macs import macs_per_second, parameter_count


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
