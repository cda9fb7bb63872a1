"""The masking layer and its loss against closed forms, the features, and that a few steps of training help."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unbabble.base.errors import UsageError
from unbabble.methods.separation.huang2014 import (
    Huang2014,
    discriminative_cost,
    mel_filters,
    slopes,
    soft_masks,
)

RNNS = ("none", "drnn-1", "drnn-2", "stacked")


def network(**options: object) -> Huang2014:
    torch.manual_seed(0)
    return Huang2014(**(Huang2014.TINY | options)).eval()  # type: ignore[arg-type]


def tones(*frequencies: float, time: int = 2000, rate: int = 8000) -> Tensor:
    """A tone that comes and goes for each frequency, (source, time)."""
    seconds = torch.arange(time) / rate
    waves = [torch.sin(2 * math.pi * each * seconds) for each in frequencies]
    envelopes = [1 + 0.5 * torch.sin(2 * math.pi * (3 + each) * seconds) for each in range(len(waves))]
    return torch.stack([wave * envelope for wave, envelope in zip(waves, envelopes, strict=True)])


def test_masks_are_shares_of_the_absolute_values() -> None:
    raw = torch.tensor([1.0, -3.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(soft_masks(raw).flatten(), torch.tensor([0.25, 0.75]))
    raw = torch.tensor([2.0, -3.0, 5.0]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(soft_masks(raw).flatten(), torch.tensor([0.2, 0.3, 0.5]))
    nothing = torch.zeros(1, 4, 1, 1, requires_grad=True)
    masks = soft_masks(nothing)
    torch.testing.assert_close(masks.flatten(), torch.full((4,), 0.25))
    masks[0, 0].sum().backward()
    assert nothing.grad is not None
    assert nothing.grad.isfinite().all()


def test_cost_by_hand() -> None:
    estimates = torch.tensor([[[[1.0, 2.0]], [[0.0, 4.0]]]])  # two estimates of one frame, two frequencies
    targets = torch.tensor([[[[1.0, 0.0]], [[2.0, 4.0]]]])
    # Mean squares: first estimate 2 and 2.5, second 8.5 and 2.
    near = torch.tensor([[[2.0, 2.5], [8.5, 2.0]]])
    torch.testing.assert_close(discriminative_cost(estimates, targets, 0.0), near / 2)
    far = torch.tensor([[[2.5, 2.0], [2.0, 8.5]]])
    torch.testing.assert_close(discriminative_cost(estimates, targets, 0.2), (near - 0.2 * far) / 2)


def test_loss_is_the_papers_for_the_better_assignment(generator: torch.Generator) -> None:
    gamma = 0.05
    separator = network(gamma=gamma)
    sources = torch.randn(3, 2, 700, generator=generator)
    mixture = sources.sum(1)

    def size(waveform: Tensor) -> Tensor:
        return separator.magnitude(separator.spectrum.analyse(waveform))

    estimates = separator.masks(size(mixture)) * size(mixture)[:, None]
    one, two = size(sources).unbind(1)
    first, second = estimates.unbind(1)

    def cost(found: Tensor, wanted: Tensor, other: Tensor) -> Tensor:
        near, far = (found - wanted).square(), (found - other).square()
        return 0.5 * (near - gamma * far).mean((-2, -1))

    straight = cost(first, one, two) + cost(second, two, one)
    crossed = cost(first, two, one) + cost(second, one, two)
    torch.testing.assert_close(separator.loss(mixture, sources), torch.minimum(straight, crossed))
    torch.testing.assert_close(separator.loss(mixture, sources.flip(1)), separator.loss(mixture, sources))


def test_loss_with_three_sources_and_with_fewer(generator: torch.Generator) -> None:
    separator = network(sources=3, gamma=0.3)
    sources = torch.randn(2, 3, 500, generator=generator)
    mixture = sources.sum(1)
    loss = separator.loss(mixture, sources)
    for order in itertools.permutations(range(3)):
        torch.testing.assert_close(separator.loss(mixture, sources[:, order]), loss)
    silent = torch.nn.functional.pad(sources[:, :2], (0, 0, 0, 1))
    pair = sources[:, :2].sum(1)
    torch.testing.assert_close(separator.loss(pair, sources[:, :2]), separator.loss(pair, silent))
    with pytest.raises(ValueError, match="cannot stand"):
        network().loss(mixture, sources)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 400), st.sampled_from(RNNS), st.integers(1, 3), st.sampled_from(["log-mel", "magnitude"])
)
def test_estimates_add_up_to_the_mixture(length: int, rnn: str, sources: int, features: str) -> None:
    mixture = torch.randn(2, length, generator=torch.Generator().manual_seed(length))
    found = network(rnn=rnn, sources=sources, features=features, context=3).estimate(mixture)
    assert found.shape == (2, sources, length)
    torch.testing.assert_close(found.sum(1), mixture, atol=1e-5, rtol=0)


def test_recurrence_is_where_it_was_asked_for(generator: torch.Generator) -> None:
    """Without it, and with features that are not normalised over time, a frame knows nothing of those before."""
    recurrent = {
        rnn: [isinstance(layer, torch.nn.RNN) for layer in network(rnn=rnn, layers=3).hidden]
        for rnn in (*RNNS, "drnn-3")
    }
    assert recurrent == {
        "none": [False] * 3, "stacked": [True] * 3,
        "drnn-1": [True, False, False], "drnn-2": [False, True, False], "drnn-3": [False, False, True],
    }  # fmt: skip
    features = torch.randn(1, 9, 33, generator=generator)
    changed = features.clone()
    changed[:, 3] += 1
    for rnn, reach in (("none", {3}), ("drnn-2", set(range(3, 9)))):
        separator = network(rnn=rnn)
        separator.features = lambda magnitude: magnitude  # type: ignore[method-assign]
        moved = (separator.masks(features) - separator.masks(changed)).abs().amax((0, 1, 3)) > 0
        assert set(moved.nonzero().flatten().tolist()) == reach


def test_features() -> None:
    separator = network(features="log-mel", context=3, window_length=512)
    magnitude = torch.rand(2, 20, 257) + 0.1
    features = separator.features(magnitude)
    assert features.shape == (2, 20, 3 * 3 * 41)
    middle = features[..., 123:246]  # the frame itself; before and after it are its neighbours
    torch.testing.assert_close(middle.mean(1), torch.zeros(2, 123), atol=1e-4, rtol=0)
    torch.testing.assert_close(features[:, 1:, :123], middle[:, :-1])
    torch.testing.assert_close(features[:, 0, :123], middle[:, 0])
    torch.testing.assert_close(features[:, :-1, 246:], middle[:, 1:])


def test_slopes_of_a_line() -> None:
    line = torch.arange(10.0)[None, :, None] * torch.tensor([2.0, -1.0])
    torch.testing.assert_close(slopes(line)[0, 2:-2], torch.tensor([2.0, -1.0]).expand(6, 2))


def test_mel_filters_share_the_spectrum() -> None:
    filters = mel_filters(513, 16000)
    peak = filters.argmax(0) * 8000 / 512
    step = 1127 * math.log1p(8000 / 700) / 41
    expected = 700 * (torch.exp(step * torch.arange(1, 41) / 1127) - 1)
    assert ((peak - expected).abs() <= 8000 / 1024 + 1e-3).all()
    inner = slice(int(peak[0] / 15.625) + 1, int(peak[-1] / 15.625))
    torch.testing.assert_close(filters[inner].sum(1), torch.ones(len(filters[inner])), atol=1e-5, rtol=0)
    for bins, rate in ((33, 8000), (129, 8000), (65, 48000)):
        assert (mel_filters(bins, rate).sum(0) > 0).all()


@pytest.mark.parametrize("sources", [2, 3])
def test_training_lowers_the_loss(sources: int) -> None:
    voices = tones(500, 1500, 2600)[:sources][None]
    mixture = voices.sum(1)
    separator = network(sources=sources, hidden=16).train()
    optimiser = torch.optim.Adam(separator.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = separator.loss(mixture, voices).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # The discriminative terms make the least loss that of the sources themselves, below zero.
    targets = separator.magnitude(separator.spectrum.analyse(voices))
    least = discriminative_cost(targets, targets, separator.gamma).diagonal(dim1=1, dim2=2).sum().item()
    assert least < 0
    assert losses[-1] - least < 0.1 * (losses[0] - least)


@pytest.mark.parametrize(
    "options",
    [{"rnn": "drnn-3"}, {"rnn": "lstm"}, {"layers": 0}, {"context": 2}, {"gamma": 1.0}, {"features": "mfcc"}],
)
def test_refuses(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        network(**options)


def test_mixed_precision_and_silence_stay_finite() -> None:
    separator = network(features="log-mel")
    mixture = torch.zeros(2, 600, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = separator.loss(mixture, torch.zeros(2, 2, 600))
        found = separator.estimate(mixture)
    (loss.sum() + found.sum()).backward()
    assert found.dtype == torch.float32
    assert mixture.grad is not None
    assert mixture.grad.isfinite().all()
    for parameter in separator.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
