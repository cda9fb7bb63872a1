import pytest
import torch

from unbabble.base.errors import InputError
from unbabble.signal.level import check_mixture, live_channel, loudest_first, restore_level, unit_level


@pytest.mark.parametrize("exponent", [-140, -126, -40, -1, 0, 3, 60, 120])
def test_unit_level_is_exact(exponent, generator):
    waveform = torch.randint(-500, 500, (2, 3, 50), generator=generator) * 2.0**-9 + 2.0**-9
    loud = torch.ldexp(
        torch.ldexp(waveform, torch.tensor(exponent // 2)), torch.tensor(exponent - exponent // 2)
    )
    level, exponents = unit_level(loud)
    assert ((level.abs().amax((1, 2)) >= 0.5) & (level.abs().amax((1, 2)) < 1)).all()
    assert torch.equal(restore_level(level, exponents), loud)
    if exponent >= -100:
        assert torch.equal(level, unit_level(waveform)[0])


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        (torch.zeros(2, 100), "shape"),
        (torch.ones(1, 1, 100), "1 channel;"),
        (torch.zeros(1, 2, 0), "too short"),
        (torch.full((1, 2, 5), float("nan")), "not finite"),
        (torch.full((1, 2, 5), float("inf")), "not finite"),
        (torch.zeros(1, 2, 5), "silent"),
        (torch.stack([torch.zeros(2, 5), torch.ones(2, 5)]), "silent"),
    ],
)
def test_what_cannot_be_separated_is_one_sentence(mixture, words):
    with pytest.raises(InputError, match=words) as error:
        check_mixture(mixture, min_channels=2)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_live_channel_passes_over_a_dead_one(generator):
    channels = torch.randn(3, 100, generator=generator)
    assert live_channel(channels, 1) == 1
    channels[0] = 0.25
    assert live_channel(channels, 0) == 1


def test_loudest_first_keeps_equals_in_order():
    sources = torch.tensor([[1.0, 1.0], [3.0, 0.0], [1.0, -1.0]])
    assert loudest_first(sources).tolist() == [1, 0, 2]
