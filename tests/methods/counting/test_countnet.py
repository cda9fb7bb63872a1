"""CountNet: a classifier of any length and level, trained like any network."""

import pytest
import torch

from unbabble.base.contracts import Counter
from unbabble.base.errors import UsageError
from unbabble.base.registry import create, method
from unbabble.methods.counting.countnet import mel_filters


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create("countnet", **method("countnet").TINY).eval()


@pytest.fixture
def mixture(generator):
    return torch.randn(2, 8000, generator=generator)


def test_mel_filters_share_every_frequency_between_their_centres():
    filters = mel_filters(10, 256, 8000)
    peaks = filters.argmax(1)
    assert (peaks.diff() > 0).all()
    assert (peaks.diff().diff() >= -1).all(), "wider and wider"
    inside = filters[:, peaks[0] : peaks[-1] + 1].sum(0)
    torch.testing.assert_close(inside, torch.ones_like(inside), rtol=0, atol=0.15)


@pytest.mark.parametrize("length", [1, 100, 4000, 8001])
def test_probabilities_of_any_length(network, generator, length):
    found = network(torch.randn(3, length, generator=generator))
    assert isinstance(network, Counter)
    assert found.shape == (3, network.sources)
    torch.testing.assert_close(found.sum(1), torch.ones(3))


@pytest.mark.parametrize("gain", [1e-20, 3.0, 1e15])
def test_level_and_offset_do_not_matter(network, mixture, gain):
    offset = 0.1 * gain
    torch.testing.assert_close(network(gain * mixture + offset), network(mixture), rtol=0, atol=1e-4)


def test_silence_is_finite(network):
    assert network(torch.zeros(1, 8000)).isfinite().all()


def test_a_batch_is_its_items_one_by_one(network, mixture):
    apart = torch.cat([network(each[None]) for each in mixture])
    torch.testing.assert_close(network(mixture), apart, rtol=0, atol=1e-6)


def test_the_loss_is_the_cross_entropy_of_who_speaks(network, mixture):
    logits = network.logits(mixture).double()
    sources = torch.zeros(2, 3, 8000)
    sources[0, 1] = 1  # one talker, whichever
    sources[1, :2] = 1
    expected = logits.logsumexp(1) - torch.stack([logits[0, 0], logits[1, 1]])
    torch.testing.assert_close(network.loss(mixture, sources).double(), expected, rtol=1e-5, atol=1e-6)


def test_it_learns_to_tell_one_tone_from_two(generator):
    """Two tones of random pitch beside one: counting, not loudness, as levels are equal."""
    torch.manual_seed(0)
    network = create("countnet", bands=16, hidden=16).train()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    time = torch.arange(4000) / 8000

    def draw(count):
        hertz = 300 + 3000 * torch.rand(count, 2, 1, generator=generator)
        sources = torch.sin(2 * torch.pi * hertz * time)
        sources[: count // 2, 1] = 0
        mixture = sources.sum(1)
        return mixture / mixture.square().mean(1, keepdim=True).sqrt(), sources

    for _ in range(100):
        loss = network.loss(*draw(16)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    mixture, sources = draw(40)
    right = [network.figure(mixture[i : i + 1], sources[i : i + 1]) for i in range(40)]
    assert sum(right) >= 34


def test_numbers_that_make_no_sense():
    with pytest.raises(UsageError, match="at least one source"):
        create("countnet", sources=0)
    with pytest.raises(UsageError, match="at least 8"):
        create("countnet", bands=7)
