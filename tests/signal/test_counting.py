"""Counting the talkers of one microphone, window by window."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unbabble.signal.counting import FAIR_SHARE, WINDOW_SECONDS, most_talkers, windows


@given(length=st.integers(1, 4000), rate=st.sampled_from([50, 100]))
def test_windows_hold_every_sample_and_end_with_the_last(length, rate):
    samples = torch.arange(float(length))
    found = windows(samples, rate)
    assert found.shape[1] == min(length, WINDOW_SECONDS * rate)
    assert set(found.flatten().tolist()) == set(samples.tolist())
    assert found[-1, -1] == length - 1
    starts = found[:, 0].diff()
    assert (starts > 0).all()
    assert (starts <= found.shape[1] // 2).all(), "every talker who changes is in the middle of one"


@pytest.mark.parametrize(("crowded", "expected"), [(2, 1), (3, 3)])
def test_a_fair_share_of_the_windows_decides(crowded, expected):
    assert 2 / 12 < FAIR_SHARE <= 3 / 12
    probabilities = torch.eye(3)[torch.tensor([2] * crowded + [0] * (12 - crowded))]
    assert most_talkers(probabilities, torch.ones(12)) == expected


def test_windows_of_two_and_of_three_are_all_at_least_of_two():
    probabilities = torch.eye(3)[torch.tensor([1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
    assert most_talkers(probabilities, torch.ones(12)) == 2


@pytest.mark.parametrize("level", [1e-30, 1.0, 1e12])
def test_quiet_windows_tell_nothing(level):
    probabilities = torch.eye(3)[torch.tensor([0, 0, 2, 2])]
    assert most_talkers(probabilities, level * torch.tensor([1.0, 0.5, 1e-4, 0.0])) == 1
    assert most_talkers(probabilities, torch.zeros(4)) == 3, "nothing stands out in silence"
