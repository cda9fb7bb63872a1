import math

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt, sosfiltfilt

from unbabble.base.registry import create
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import best_permutation
from unbabble.signal.rumble import LiveRumble, without_rumble
from unbabble.signal.stft import Stft

RATE, SECONDS = 8000, 6


def tone(hertz: float, level: float = 1.0, seconds: float = SECONDS) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return level * math.sqrt(2) * torch.sin(2 * math.pi * hertz * time)


def voices(seed: int = 0) -> torch.Tensor:
    """Two talkers as two microphones hear them, (source, channel, time): noise that comes and goes, in a small room."""
    rng = np.random.default_rng(seed)
    samples = SECONDS * RATE
    active = np.repeat(rng.random((2, samples // 800)) < 0.5, 800, axis=1) + 0.01
    band = butter(4, (100, 3000), "bandpass", fs=RATE, output="sos")
    dry = sosfilt(band, rng.standard_normal((2, samples))) * active
    images = np.zeros((2, 2, samples))
    for source in range(2):
        for channel in range(2):
            response = rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
            response[abs(source - channel)] += 4
            images[source, channel] = np.convolve(dry[source], response)[:samples]
    images *= 0.03 / images[:, 0].std()
    return torch.from_numpy(images).float()


def rumble(seed: int = 1) -> torch.Tensor:
    noise = np.random.default_rng(seed).standard_normal((2, SECONDS * RATE))
    low = sosfilt(butter(6, 6, "lowpass", fs=RATE, output="sos"), noise)
    return torch.from_numpy(low / low.std()).float()


def mean_si_sdr(estimates: torch.Tensor, references: torch.Tensor) -> float:
    scores = si_sdr_matrix(estimates, references)
    order = best_permutation(scores)
    return float(np.mean([scores[order[k], k] for k in range(len(references))]))


def test_a_clean_recording_stays_itself():
    clean = torch.stack([tone(120), tone(1000, 0.1) + tone(10, 0.005) + 0.003])
    kept, found = without_rumble(clean, RATE)
    assert kept is clean
    assert found.warning == ""


@pytest.mark.parametrize(("offset", "low"), [(0.3, 0.0), (0.0, 0.5), (-2.0, 3.0)])
def test_what_is_no_sound_goes_and_what_is_stays(offset: float, low: float):
    sound = tone(60) + tone(1000)
    recorded = torch.stack([sound + offset + tone(6, low), sound])
    kept, found = without_rumble(recorded, RATE)
    assert found.offset == (offset != 0)
    assert found.rumble == (low != 0)
    middle = slice(RATE, -RATE)
    assert (kept[:, middle] - sound[middle]).abs().max() < 0.02
    assert kept.mean(1).abs().max() < 1e-3


def test_the_filter_is_that_of_scipy_forwards_and_backwards():
    recorded = torch.stack(
        [tone(500) + tone(7) + 0.4, torch.randn(SECONDS * RATE, generator=torch.manual_seed(0))]
    )
    kept, _ = without_rumble(recorded, RATE)
    sections = butter(4, 20, "highpass", fs=RATE, output="sos")
    centred = recorded.double().numpy() - recorded.double().numpy().mean(1, keepdims=True)
    expected = sosfiltfilt(sections, centred, padlen=RATE // 4)
    assert np.abs(kept.numpy() - expected)[:, RATE // 2 : -RATE // 2].max() < 1e-4
    assert np.abs(kept.numpy() - expected).max() < 0.02  # at the ends, where it is not known how it goes on


def test_any_level_and_short_recordings():
    recorded = torch.stack([tone(500) + 0.4, tone(300) + tone(7)])
    kept, _ = without_rumble(recorded, RATE)
    for exponent in (-60, 60):
        assert torch.equal(without_rumble(recorded * 2.0**exponent, RATE)[0], kept * 2.0**exponent)
    for samples in (0, 1, 100):
        assert without_rumble(recorded[:, :samples], RATE)[0].shape == (2, samples)


def test_the_warning_says_what_was_removed():
    sound = tone(500)[None]
    assert without_rumble(sound + 1, RATE)[1].warning.startswith("A constant offset was removed")
    assert without_rumble(sound + tone(5), RATE)[1].warning.startswith("Rumble below 20 Hz was removed")
    assert without_rumble(sound + tone(5) + 1, RATE)[1].warning.startswith("A constant offset and rumble")


@pytest.mark.parametrize("kind", ["offset", "rumble"])
def test_a_stream_separates_as_well_as_without(kind: str):
    images = voices()
    mixture, heard = images.sum(0), images[:, 0]
    method = create("online_auxiva", sources=2, warmup=3.0)
    clean = mean_si_sdr(method(mixture[None], sample_rate=RATE)[0], heard)
    assert not method.warnings
    noise = torch.tensor([[0.05], [-0.03]]) if kind == "offset" else 0.03 * rumble()
    noisy = mean_si_sdr(method((mixture + noise)[None], sample_rate=RATE)[0], heard)
    assert len(method.warnings) == 1
    assert noisy > clean - 0.2


@pytest.mark.parametrize(("window", "tells"), [(256, False), (4096, True)])
def test_windows_too_short_to_tell_remove_nothing_from_a_stream(window: int, tells: bool):
    stft = Stft(window, window // 4)
    noise = torch.randn(2, SECONDS * RATE, generator=torch.Generator().manual_seed(0))
    for offset, removed in ((0.0, False), (3.0, tells)):
        live = LiveRumble(stft, RATE)
        for frame in stft.analyse(noise + offset).permute(2, 0, 1):
            live.weigh(frame)
        assert bool(live.decide()) == removed
