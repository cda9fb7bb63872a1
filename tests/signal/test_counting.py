"""Counting talkers by the outputs of a network that leaves those silent that it does not need."""

import pytest
import torch

from unbabble.signal.counting import AUDIBLE_DB, count_audible


@pytest.mark.parametrize("talkers", [1, 2, 3])
@pytest.mark.parametrize("level", [1e-12, 1.0, 1e12])
def test_outputs_that_are_much_weaker_than_the_loudest_are_nobody(generator, talkers, level):
    outputs = torch.randn(3, 1000, generator=generator)
    outputs /= outputs.norm(dim=1, keepdim=True)
    outputs[1:talkers] *= 10 ** ((AUDIBLE_DB + 1) / 20)
    outputs[talkers:] *= 10 ** ((AUDIBLE_DB - 1) / 20)
    assert count_audible(level * outputs[torch.randperm(3, generator=generator)]) == talkers


def test_silence_is_one_talker():
    assert count_audible(torch.zeros(3, 100)) == 1
