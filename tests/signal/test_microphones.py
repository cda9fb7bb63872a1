"""What channels are."""

import pytest
import torch

from unbabble.signal.microphones import (
    clipped_share,
    independent_microphones,
    is_one_microphone,
    live_channels,
)


@pytest.fixture
def two():
    return torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))


def test_constant_channels_are_dead_in_one_block_or_several(two):
    samples = torch.stack([torch.zeros(1000), two[0], torch.full((1000,), 0.1), two[1]])
    samples[3, :600] = 0.0
    assert live_channels([samples]) == live_channels(samples.split(300, dim=1)) == [1, 3]
    steps = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert live_channels(steps.split(2, dim=1)) == [0], "constant in each block, not over all"
    assert live_channels([torch.zeros(2, 10)]) == []


def test_copies_are_one_microphone(two):
    assert is_one_microphone(torch.stack([two[0], 0.7 * two[0] + 1e-5 * two[1]]))
    assert not is_one_microphone(two)
    assert not is_one_microphone(torch.stack([two[0], two[0] + 0.01 * two[1]]))
    both = torch.stack([two[0], two[1], two[0] - two[1], torch.zeros(1000)])
    assert [independent_microphones(both[:count]) for count in (1, 2, 3, 4)] == [1, 2, 2, 2]


def test_runs_at_the_extremes_of_a_loud_channel_are_clipped(two):
    assert clipped_share(0.1 * two) == 0
    clipped = torch.tensor([[0.0, 1, 1, 1, 0, -1, -1, 0, 1, 0]])
    assert clipped_share(clipped) == pytest.approx(0.3)
    assert clipped_share(0.1 * clipped) == 0
