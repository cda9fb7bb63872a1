"""What all networks share: levels, order, microphones, options."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.nn.kinds.separator import NeuralSeparator, fit_levels

TIME = 2000


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Bands(NeuralSeparator):
    """The lower and the upper half of the spectrum, with gains of its own, as if a network had found them."""

    def __init__(self, *, gains: float = 1.0, swap: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.gains, self.swap = gains, swap

    def estimate(self, mixture: Tensor) -> Tensor:
        assert mixture.ndim == 2
        spectrum = torch.fft.rfft(mixture)
        low = torch.arange(spectrum.shape[-1]) < spectrum.shape[-1] // 2
        voices = torch.stack((spectrum * low, spectrum * ~low), 1)
        voices = torch.fft.irfft(voices, mixture.shape[-1]) * torch.tensor([self.gains, 1.0])[:, None]
        louder = (mixture.square().sum(-1) * 1000).long() % 2 == 1  # an order that depends on the input
        return voices.flip(1) if self.swap and louder.any() else voices


def _mixture(channels: int = 1) -> Tensor:
    """Strong low noise and weak high noise, each with its own gain at each microphone."""
    spectrum = torch.fft.rfft(_noise(TIME))
    low = torch.arange(spectrum.shape[-1]) < spectrum.shape[-1] // 2
    sources = torch.fft.irfft(torch.stack((spectrum * low, 0.2 * spectrum * ~low)), TIME)
    gains = torch.tensor([[1.0, 1.0], [0.5, 2.0], [0.3, -0.4]])[:channels]
    return (gains @ sources)[None]


@pytest.mark.parametrize(
    ("levels", "gains", "expected"), [("kept", 1.0, 1.0), ("fitted", 40.0, 1.0), ("kept", 3.0, 3.0)]
)
def test_levels_are_kept_or_fitted_to_the_mixture(levels, gains, expected):
    mixture = _mixture() * 0.01 + 0.5
    voices = Bands(gains=gains, levels=levels)(mixture)
    wanted = Bands().estimate((mixture - mixture.mean())[0])[0] * torch.tensor([expected, 1.0])[:, None]
    torch.testing.assert_close(voices[0], wanted, rtol=0, atol=2e-3 * float(wanted.abs().max()))


def test_the_network_hears_unit_level_without_offset():
    heard = []

    class Listener(Bands):
        def estimate(self, mixture: Tensor) -> Tensor:
            heard.append(mixture)
            return super().estimate(mixture)

    Listener()(_mixture() * 0.01 + 0.5)
    assert float(heard[0].mean()) == pytest.approx(0, abs=1e-3)
    assert float(heard[0].std()) == pytest.approx(1, abs=1e-3)


def test_voices_keep_their_places_at_every_microphone():
    """Weak at the first microphone, strong at the second; and a network that swaps them now and then."""
    mixture = _mixture(3)
    for swap in (False, True):
        images = Bands(swap=swap)(mixture, images=True)
        assert images.shape == (1, 2, 3, TIME)
        for channel in range(3):
            wanted = Bands().estimate(mixture[:, channel] - mixture[:, channel].mean())[0]
            torch.testing.assert_close(images[0, :, channel], wanted, rtol=0, atol=5e-3)


def test_a_dead_microphone_has_silent_images_and_is_not_the_reference():
    mixture = _mixture(3)
    mixture[:, 0] = 0
    images = Bands()(mixture, images=True)
    assert not images[:, :, 0].any()
    assert torch.equal(images[:, :, 1], Bands(reference=1)(mixture))
    assert torch.equal(Bands()(mixture), Bands(reference=1)(mixture))


def test_a_constant_channel_next_to_the_reference_is_silent():
    mixture = _mixture(2)
    mixture[:, 1] = 0.3
    assert not Bands()(mixture, images=True)[:, :, 1].any()


def test_options_that_make_no_sense():
    with pytest.raises(UsageError):
        Bands(sources=0)
    with pytest.raises(UsageError):
        Bands(sample_rate=0)
    with pytest.raises(InputError, match="microphone 4"):
        Bands(reference=4)(_mixture())


def test_options_are_remembered_with_the_defaults():
    assert Bands(swap=True).options == {"swap": True}
    assert Bands(swap=True).resolved_options() == {
        "gains": 1.0,
        "swap": True,
        "sources": 2,
        "sample_rate": 8000,
        "levels": "fitted",
        "reference": 0,
    }


def test_no_gradient_is_kept_at_inference():
    class Learned(Bands):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def estimate(self, mixture: Tensor) -> Tensor:
            return self.weight * super().estimate(mixture)

    network = Learned()
    assert not network(_mixture()).requires_grad
    network.loss(_noise(1, TIME), _noise(1, 2, TIME)).sum().backward()
    assert network.weight.grad is not None


@pytest.mark.parametrize(("levels", "penalised"), [("fitted", False), ("kept", True)])
def test_the_loss_leaves_levels_open_only_where_they_are_fitted(levels, penalised):
    mixture = _mixture()[0]
    sources = Bands().estimate(mixture - mixture.mean())
    right, wrong = (float(Bands(gains=gains, levels=levels).loss(mixture, sources)) for gains in (1.0, 2.0))
    assert right == pytest.approx(-30, abs=0.1)
    assert (wrong > right + 5) == penalised


# ---------------------------------------------------------------------------------------------- fit_levels


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), gains=st.lists(st.floats(0.05, 20), min_size=1, max_size=4))
def test_true_voices_get_their_levels_whatever_level_they_come_with(seed, gains):
    voices = _noise(len(gains), TIME, seed=seed)
    mixture = voices.sum(0)
    fitted = fit_levels(torch.tensor(gains)[:, None] * voices, mixture)
    torch.testing.assert_close(fitted, voices, rtol=0, atol=5e-3 * float(voices.abs().max()))


def test_an_inverted_voice_is_turned_back():
    voices = _noise(2, TIME)
    fitted = fit_levels(voices * torch.tensor([[-1.0], [1.0]]), voices.sum(0))
    torch.testing.assert_close(fitted, voices, rtol=0, atol=2e-2)


def test_the_same_voice_twice_shares_the_mixture():
    voice = _noise(TIME)
    fitted = fit_levels(torch.stack((voice, 3 * voice)), voice)
    torch.testing.assert_close(fitted, torch.stack((voice, voice)) / 2, rtol=0, atol=5e-3)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), difference=st.floats(0.0, 1.0))
def test_voices_that_are_nearly_the_same_do_not_come_out_loud_and_opposite(seed, difference):
    voice, other, mixture = _noise(3, TIME, seed=seed)
    fitted = fit_levels(torch.stack((voice, voice + difference * other)), mixture + voice)
    assert fitted.isfinite().all()
    assert float(fitted.norm(dim=-1).max()) < 2 * float((mixture + voice).norm())


def test_a_silent_voice_stays_silent():
    voice = _noise(TIME)
    fitted = fit_levels(torch.stack((voice, torch.zeros(TIME))), 5 * voice)
    assert not fitted[1].any()
    torch.testing.assert_close(fitted[0], 5 * voice, rtol=2e-3, atol=0)
