"""Everything around the demixing, tried with the cheapest method there is."""

import numpy as np
import pytest
import soxr
import torch
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.methods.separation.auxiva import AuxIVA
from unbabble.signal.blind.separator import CHECK_EVERY, random_rotations

SAMPLES = 8000


def voices(count: int = 2, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    """Noise with pauses and colours of its own, (source, time)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, samples + 4, generator=generator)
    rates = torch.arange(count)[:, None] * 3 + 7
    envelope = torch.sin(rates * torch.arange(samples) / samples * torch.pi + rates) ** 6
    colour = torch.stack([noise[:, 4:], (-1.0) ** torch.arange(count)[:, None] * noise[:, 3:-1]]).sum(0)
    return 0.1 * colour * envelope


def mixture(count: int = 2, microphones: int = 2, samples: int = SAMPLES, noise: float = 1e-3) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    sources = voices(count, samples)
    paths = (
        torch.randn(3, microphones, count, generator=generator) * torch.tensor([1.0, 0.3, 0.1])[:, None, None]
    )
    heard = sum(path @ sources.roll(4 * delay, dims=-1) for delay, path in enumerate(paths))
    assert isinstance(heard, Tensor)
    return (heard + noise * torch.randn(microphones, samples, generator=generator))[None]


def separator(**options) -> AuxIVA:
    return AuxIVA(**{"tag": "ip", "sources": 2, "iterations": 5, "window_length": 256} | options)


def decibels(signal: Tensor, error: Tensor) -> float:
    return float(10 * torch.log10(signal.square().sum() / error.square().sum()))


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("exponent", [-100, -20, 1, 60])
def test_a_level_that_is_a_power_of_two_is_exactly_invariant(backend, exponent):
    x = mixture()
    expected = separator(backend=backend)(x)
    assert torch.equal(separator(backend=backend)(x * 2.0**exponent), expected * 2.0**exponent)


@pytest.mark.parametrize("scale", ["projection_back", "minimal_distortion"])
@pytest.mark.parametrize("gain", [1e-5, 0.37, 3e4])
def test_level_does_not_matter(gain, scale):
    x = mixture()
    expected = separator(scale=scale)(x)
    assert decibels(expected, separator(scale=scale)(gain * x) / gain - expected) > 60


@pytest.mark.parametrize("microphones", [2, 3, 4])
@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_images_of_as_many_sources_as_microphones_add_up_to_the_mixture(microphones, backend):
    x = mixture(microphones, microphones)
    images = separator(sources=microphones, backend=backend)(x, images=True)
    assert images.shape == (1, microphones, microphones, SAMPLES)
    assert decibels(x, images.sum(1) - x) > 80


def test_an_image_at_the_reference_is_the_source():
    x = mixture(2, 3)
    for reference in range(3):
        sources = separator(reference=reference, sources=2)(x)
        images = separator(reference=reference, sources=2)(x, images=True)
        assert images.shape == (1, 2, 3, SAMPLES)
        assert decibels(sources, images[:, :, reference] - sources) > 100


def test_minimal_distortion_takes_source_k_at_microphone_k():
    x = mixture()
    images = separator()(x, images=True)[0]
    scaled = separator(scale="minimal_distortion")(x)[0]
    for one in scaled:
        distance = [decibels(one, one - images[k, m]) for k in range(2) for m in range(2)]
        assert max(distance) > 80
    assert not torch.allclose(scaled, separator()(x)[0])


def test_sources_come_loudest_first_at_the_reference():
    x = mixture(3, 3)
    for images in (False, True):
        heard = separator(sources=3, reference=1)(x, images=images)[0]
        power = (heard[:, 1] if images else heard).square().sum(-1)
        assert (power.diff() <= 0).all()


@pytest.mark.parametrize("rate", [16, 1000, 8000, 11025, 44100, 48000, 192000])
def test_the_window_follows_the_rate(rate):
    length = AuxIVA().stft(rate).window_length
    assert length & (length - 1) == 0
    assert 0.512 / 2**0.51 <= length / rate <= 0.512 * 2**0.51
    assert AuxIVA(window_length=1000).stft(rate).window_length == 1000


def test_a_rate_that_is_absurdly_low_still_has_a_window():
    assert AuxIVA().stft(1).window_length == 4


@pytest.mark.parametrize("tag", ["ip", "iss2", "ipa"])
def test_empty_bands_are_left_alone(tag):
    """16 kHz material at 48 kHz: two thirds of the bins hold nothing but what the resampler left there."""
    x = mixture(2, 2, 16000)
    high = torch.from_numpy(soxr.resample(x[0].numpy().T, 16000, 48000).T.copy())[None]
    options = {"tag": tag, "iterations": 15, "record": True}
    narrow, wide = separator(**options), separator(**options | {"window_length": 768})
    expected, sources = narrow(x, sample_rate=16000), wide(high, sample_rate=48000)
    assert torch.isfinite(sources).all()
    assert np.isfinite(wide.history).all()
    assert decibels(high[:, 0], sources.sum(1) - high[:, 0]) > 60
    again = torch.from_numpy(soxr.resample(sources[0].numpy().T, 48000, 16000).T.copy())[None]
    assert decibels(expected, again[..., : x.shape[-1]] - expected) > 10


def test_silent_frequencies_stay_finite_and_are_shared():
    spectrum = torch.fft.rfft(mixture(noise=0.0))
    spectrum[..., 1000:2000] = 0
    x = torch.fft.irfft(spectrum, SAMPLES)
    sources = separator()(x)
    assert torch.isfinite(sources).all()
    assert decibels(x[:, 0], sources.sum(1) - x[:, 0]) > 60


@pytest.mark.parametrize("microphones", [2, 3])
def test_dependent_channels_are_said_to_be_so(microphones):
    x = mixture(2, 2)
    x = torch.cat([x, x[:, :1]], 1) if microphones == 3 else x[:, :1].repeat(1, 2, 1)
    separate = separator(sources=microphones - 1)
    estimates = separate(x)
    assert estimates.shape == (1, microphones - 1, SAMPLES)
    assert torch.isfinite(estimates).all()
    assert separate.warnings == [f"Independent channels: {microphones - 1} of {microphones}."]
    separate(mixture(2, 2))
    assert separate.warnings == []


@pytest.mark.parametrize("tag", ["ip", "ip2", "iss", "iss2", "ipa"])
def test_one_source_is_the_first_principal_component(tag):
    x = mixture(2, 3)
    one = separator(tag=tag, sources=1)(x)
    assert one.shape == (1, 1, SAMPLES)
    assert torch.isfinite(one).all()
    none = separator(tag=tag, sources=1, iterations=0)(x)
    assert decibels(none, one - none) > 60


@pytest.mark.parametrize("microphones", [2, 3])
def test_without_a_number_the_talkers_are_counted(microphones):
    x = mixture(2, microphones)
    sources = separator(sources=None)(x)[0]
    assert 1 <= len(sources) <= microphones
    assert torch.equal(sources, separator(sources=len(sources))(x)[0])


def test_no_iterations_give_the_principal_components():
    separate = separator(iterations=0, record=True)
    x = mixture()
    sources = separate(x)
    assert len(separate.history) == 1
    assert decibels(x[:, 0], sources.sum(1) - x[:, 0]) > 60


@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_tolerance_stops_early(backend):
    x = mixture()
    long = separator(iterations=60, tolerance=0.0, record=True, backend=backend)
    short = separator(iterations=60, tolerance=1e-2, backend=backend)
    long(x)
    short(x)
    assert len(long.history) == 61
    assert 2 <= len(short.history) < 61
    bins = 129
    gains = -np.diff(short.history) / CHECK_EVERY
    assert gains[-1] < 1e-2 * bins * 2
    assert (gains[:-1] >= 1e-2 * bins * 2).all()
    np.testing.assert_allclose(short.history, long.history[::CHECK_EVERY][: len(short.history)], rtol=1e-6)


def test_recording_the_objective_changes_nothing():
    """Not even where rounding makes the objective rise, nor when to stop."""
    x = mixture()
    with_history = separator(iterations=150, tolerance=0.0, record=True)
    assert torch.equal(with_history(x), separator(iterations=150, tolerance=0.0)(x))
    assert len(with_history.history) == 151
    with_history = separator(record=True)
    assert torch.equal(with_history(x), separator()(x))
    assert 1 < len(with_history.history) < 151


def test_more_starts_never_end_higher():
    x = mixture(3, 3)
    ends = []
    for starts in (1, 2, 4):
        separate = separator(sources=3, starts=starts, iterations=8, record=True)
        first = separate(x)
        ends.append(separate.history[-1])
        assert torch.equal(first, separator(sources=3, starts=starts, iterations=8)(x)), (
            "starts are drawn from the seed"
        )
    assert ends[0] >= ends[1] >= ends[2]
    other = separator(sources=3, starts=4, iterations=8, seed=1, record=True)
    other(x)
    assert other.history[-1] <= ends[0]


def test_random_rotations_are_unitary():
    spectrogram = torch.zeros(6, 3, 10, dtype=torch.complex128)
    q = random_rotations(spectrogram, torch.Generator().manual_seed(0))
    eye = torch.eye(3, dtype=q.dtype).expand(6, -1, -1)
    torch.testing.assert_close(q @ q.mH, eye, check_layout=False)
    assert not torch.allclose(q[0], q[1])


def test_double_precision_goes_through():
    x = mixture().double()
    sources = separator(backend="reference")(x)
    assert sources.dtype == torch.float64
    assert decibels(x[:, 0], sources.sum(1) - x[:, 0]) > 80


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sources": 0}, "sources"),
        ({"iterations": -1}, "iterations"),
        ({"starts": 0}, "starts"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"scale": "loud"}, "scale"),
        ({"backend": "gpu"}, "backend"),
        ({"source_model": "cauchy"}, "source_model"),
        ({"window_length": 501}, "window_length"),
        ({"window_length": 2}, "window_length"),
        ({"window_length": -8}, "window_length"),
        ({"window_length": 0}, "window_length"),
        ({"reference": 2}, "microphone 2"),
        ({"reference": -1}, "microphone -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_sentence(options, words):
    with pytest.raises(UsageError, match=words) as error:
        separator(**options)(mixture())
    assert_sentence(str(error.value))


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="rate"):
        AuxIVA()(mixture(), sample_rate=rate)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:, :1], "has 1 channel;"),
        (lambda x: x[..., :255], "too short"),
        (lambda x: 0 * x, "silent"),
        (lambda x: x.where(x != x.max(), torch.nan), "finite"),
        (lambda x: x[0], "shape"),
        (lambda x: x[:, :1].repeat(1, 3, 1), "independent channel"),
    ],
)
def test_a_recording_that_cannot_be_used_is_one_sentence(change, words):
    with pytest.raises(InputError, match=words) as error:
        separator(sources=2)(change(mixture()))
    assert_sentence(str(error.value))


def assert_sentence(text: str) -> None:
    assert text.endswith(".")
    assert "\n" not in text
