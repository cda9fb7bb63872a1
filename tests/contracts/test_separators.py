"""Every separator of the registry keeps the contract; new ones are picked up once they are registered.

Of a network, its tiny variant stands for it, with random weights.
"""

import inspect
from functools import cache

import pytest
import torch

from unbabble.base.errors import InputError
from unbabble.base.registry import cards, create, method

SAMPLE_RATE = 16000
SAMPLES = 6000
CHEAP = {
    "iterations": 4,
    "window_length": 256,
    "hop_length": 64,
    "sources": 2,
    "seed": 0,
}
"""Given to every method that has such an option."""
SPECIAL: dict[str, dict] = {"nmf": {"rank": 3}}
"""Further options by method name."""
ANY_COUNT = {"sources": None}
CARDS = [card for card in cards().values() if card.contract in ("separator", "enhancer")]
NETWORKS = [card.name for card in CARDS if card.network]
SEPARATORS = NETWORKS + [model for card in CARDS if not card.network for model in card.models]


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def sources() -> torch.Tensor:
    """Two coloured, pausing sources, (2, time)."""
    white = _noise(2, SAMPLES + 8, seed=1).unfold(-1, 9, 1)
    colours = torch.stack(
        [torch.hann_window(9), torch.hann_window(9) * torch.tensor([1.0, -1.0] * 4 + [1.0])]
    )
    time = torch.arange(SAMPLES) / SAMPLES
    envelopes = torch.stack([torch.sin(9 * torch.pi * time) ** 4, torch.sin(13 * torch.pi * time + 1) ** 4])
    return torch.einsum("stk,sk->st", white, colours) * envelopes * torch.tensor([[0.2], [0.1]])


@cache
def _mixture(channels: int) -> torch.Tensor:
    """(1, channels, time): each source by its own path, and a little noise at each microphone."""
    gains = 0.5 + torch.rand(channels, 2, generator=torch.Generator().manual_seed(2))
    gains[1::2, 1] *= -1
    here = torch.einsum("cs,st->ct", gains, sources())
    later = torch.einsum("cs,st->ct", 0.3 * gains.flip(0), sources().roll(3, dims=-1))
    return (here + later + 1e-3 * _noise(channels, SAMPLES, seed=3))[None]


def options(model: str, **changes: object) -> dict:
    name = model.partition(".")[0]
    special = dict(SPECIAL.get(name, {}))
    if name == "nmf":
        special["dictionaries"] = list(sources())
    if name == "speech_nmf":
        special["speech"] = list(sources())
    accepted = {
        option
        for cls in type(create(model)).__mro__
        if "__init__" in vars(cls)
        for option in inspect.signature(cls.__init__).parameters
    }
    return {k: v for k, v in (CHEAP | special | changes).items() if k in accepted}


def build(model: str, **changes: object):
    if model not in NETWORKS:
        return create(model, **options(model, **changes))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return create(model, **method(model).TINY).eval()


def separate(model: str, mixture: torch.Tensor, **changes: object) -> torch.Tensor:
    return build(model, **changes)(mixture, sample_rate=SAMPLE_RATE)


def attempt(model: str, mixture: torch.Tensor, **changes: object) -> torch.Tensor | None:
    """The estimates, or None where the input was refused in one sentence."""
    message = ""
    try:
        return separate(model, mixture, **changes)
    except InputError as error:
        message = str(error)
    assert message.endswith(".")
    assert "\n" not in message
    return None


def voices(model: str) -> int:
    """How many it returns of two talkers: an enhancer one, all others both."""
    return 1 if build(model).max_sources == 1 else 2


def mixture_for(model: str, channels: int = 2) -> torch.Tensor:
    return _mixture(max(channels, build(model).min_channels)).clone()


pytestmark = pytest.mark.parametrize("model", SEPARATORS)


def test_says_what_it_accepts(model):
    separator = build(model)
    assert isinstance(separator.sample_rate, int)
    assert separator.min_channels >= 1
    assert separator.max_sources >= 0


def test_shape_and_dtype(model):
    mixture = mixture_for(model)
    before = mixture.clone()
    estimates = separate(model, mixture)
    assert estimates.shape == (1, voices(model), SAMPLES)
    assert estimates.dtype == torch.float32
    assert torch.isfinite(estimates).all()
    assert not estimates.requires_grad
    assert torch.equal(mixture, before), "the input was modified"


def test_is_deterministic(model):
    mixture = mixture_for(model, 3)
    separator = build(model)
    first = separator(mixture, sample_rate=SAMPLE_RATE)
    assert torch.equal(first, separator(mixture, sample_rate=SAMPLE_RATE))
    torch.manual_seed(123)
    assert torch.equal(first, separate(model, mixture))


def test_leaves_the_global_random_state_alone(model):
    state = torch.random.get_rng_state()
    separate(model, mixture_for(model))
    assert torch.equal(state, torch.random.get_rng_state())


def test_powers_of_two_in_level_change_nothing_else(model):
    mixture = mixture_for(model)
    expected = separate(model, mixture)
    for exponent in (-10, 10):
        assert torch.equal(separate(model, mixture * 2.0**exponent), expected * 2.0**exponent)


def test_level_does_not_matter(model):
    mixture = mixture_for(model)
    expected = separate(model, mixture)
    for gain in (0.01, 100.0):
        difference = separate(model, mixture * gain) / gain - expected
        assert float(difference.abs().max()) <= 1e-4 * float(expected.abs().max())


def test_silence_is_refused(model):
    with pytest.raises(InputError, match="silent"):
        separate(model, torch.zeros_like(mixture_for(model)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_no_numbers_are_refused(model, bad):
    mixture = mixture_for(model)
    mixture[0, 0, 100] = bad
    with pytest.raises(InputError, match="not finite"):
        separate(model, mixture)


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 7, 63, 300])
def test_very_short_input(model, samples):
    mixture = mixture_for(model)[..., 2000 : 2000 + samples]
    estimates = attempt(model, mixture)
    if estimates is None:
        assert samples < 300, "300 samples are short, but sound"
    else:
        assert estimates.shape == (1, voices(model), samples)
        assert torch.isfinite(estimates).all()


def test_identical_channels(model):
    """Rank 1: one sentence, or estimates that are no louder than what came in."""
    mixture = mixture_for(model)[:, :1].repeat(1, 3, 1)
    _answers_or_refuses(model, mixture)


def test_dead_channel(model):
    mixture = mixture_for(model, 3)
    mixture[:, 2] = 0
    _answers_or_refuses(model, mixture)


def test_dead_reference_channel(model):
    mixture = mixture_for(model, 3)
    mixture[:, 0] = 0
    _answers_or_refuses(model, mixture)


def test_a_constant_channel(model):
    mixture = mixture_for(model, 3)
    mixture[:, 2] = 0.25
    _answers_or_refuses(model, mixture)


def test_clipped_input(model):
    mixture = mixture_for(model, 3).clamp(-0.05, 0.05)
    _answers_or_refuses(model, mixture)


def _answers_or_refuses(model: str, mixture: torch.Tensor) -> None:
    for changes in ({}, {} if model in NETWORKS else ANY_COUNT):
        estimates = attempt(model, mixture, **changes)
        if estimates is not None:
            assert torch.isfinite(estimates).all()
            assert estimates.shape[0] == 1
            assert estimates.shape[2] == mixture.shape[2]
            assert float(estimates.norm(dim=-1).max()) < 10 * float(mixture.norm(dim=-1).max())


def test_many_channels_and_little_time(model):
    mixture = _noise(1, 64, 1000, seed=5) * 0.1
    estimates = separate(model, mixture)
    assert estimates.shape == (1, voices(model), 1000)
    assert torch.isfinite(estimates).all()


def test_too_few_channels_are_refused(model):
    fewest = build(model).min_channels
    if fewest == 1:
        pytest.skip("one microphone is enough")
    with pytest.raises(InputError, match="channel"):
        separate(model, mixture_for(model)[:, : fewest - 1])


def test_a_batch_is_its_recordings_one_by_one(model):
    mixture = mixture_for(model, 3)
    batch = torch.cat([mixture, 0.3 * mixture.flip(1)])
    together = separate(model, batch)
    apart = torch.cat([separate(model, item[None]) for item in batch])
    assert torch.allclose(together, apart, rtol=0, atol=1e-5 * float(apart.abs().max()))


def test_non_contiguous_input(model):
    mixture = mixture_for(model)
    strided = mixture.transpose(1, 2).contiguous().transpose(1, 2)
    difference = separate(model, strided) - separate(model, mixture)
    assert float(difference.abs().max()) <= 1e-5 * float(mixture.abs().max())


def test_loudest_first(model):
    powers = separate(model, mixture_for(model, 3)).square().sum(-1)[0]
    assert (powers[:-1] >= powers[1:]).all()


def test_as_many_sources_as_channels_add_up_to_the_reference(model):
    """Scaled as heard at the first microphone: what is there is shared out, nothing is added or lost."""
    if model in NETWORKS:
        pytest.skip("without training, estimates need not add up to anything")
    if voices(model) == 1:
        pytest.skip("leaves out what is no voice")
    mixture = mixture_for(model)
    total = separate(model, mixture, taps=0).sum(1)  # what a prediction takes away would be missing
    reference = mixture[:, 0] - mixture[:, 0].mean(-1, keepdim=True)
    difference = total - total.mean(-1, keepdim=True) - reference
    assert float(difference.norm()) < 0.02 * float(reference.norm())


def test_images_at_every_microphone(model):
    mixture = mixture_for(model)
    separator = build(model)
    try:
        images = separator(mixture, sample_rate=SAMPLE_RATE, images=True)
    except InputError:
        pytest.skip("gives no images")
    assert images.shape == (1, voices(model), mixture.shape[1], SAMPLES)
    estimates = separator(mixture, sample_rate=SAMPLE_RATE)
    difference = images[:, :, 0] - estimates
    assert float(difference.norm()) < 1e-3 * float(estimates.norm())


def test_warnings_are_sentences(model):
    separator = build(model)
    separator(mixture_for(model), sample_rate=SAMPLE_RATE)
    assert all(isinstance(text, str) and text.endswith(".") for text in separator.warnings)
