"""The speech detector: the demo's voices, silence and noises, level, rate, what is joined."""

import numpy as np
import pytest
import torch

from unbabble.base import audio
from unbabble.base.files import DEMO_FOLDER
from unbabble.data import corpora
from unbabble.signal.activity import FEATURES, RATE, features, is_speech, runs, speech_probability


@pytest.fixture(scope="module")
def speech():
    recording = audio.read(DEMO_FOLDER / "reference1.flac")
    return recording.samples[0], recording.sample_rate


def test_a_voice_between_silences(speech):
    samples, rate = speech
    silence = torch.zeros(3 * rate)
    hiss = (
        1e-4
        * samples.abs().max()
        * torch.randn(len(samples) + 6 * rate, generator=torch.Generator().manual_seed(0))
    )
    found = is_speech(torch.cat([silence, samples, silence]) + hiss, rate)
    seconds = np.arange(len(found)) * 0.02
    inside = (seconds > 3) & (seconds < 3 + len(samples) / rate)
    assert found[torch.from_numpy(inside)].float().mean() > 0.8
    assert not found[: 2 * 50].any()
    assert not found[-2 * 50 :].any()


def test_the_level_makes_no_difference(speech):
    samples, rate = speech
    expected = is_speech(samples, rate)
    for gain in (1e-4, 30.0):
        assert (is_speech(gain * samples, rate) == expected).float().mean() > 0.99


def test_the_rate_makes_little_difference(speech):
    samples, rate = speech
    expected = is_speech(samples, rate)
    for other in (8000, 16000, 44100):
        found = is_speech(audio.resample(samples, rate, other), other)
        assert len(found) == pytest.approx(len(expected), abs=1)
        count = min(len(found), len(expected))
        assert (found[:count] == expected[:count]).float().mean() > 0.95


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.02, 0.5, 3.0])
def test_silence_of_any_length(seconds):
    found = is_speech(torch.zeros(round(16000 * seconds)), 16000)
    assert len(found) == int(seconds / 0.02 + 1e-9)
    assert not found.any()


@pytest.mark.parametrize(
    "sound",
    [
        lambda time, noise: noise,
        lambda time, noise: torch.cumsum(noise, 0) / 100,
        lambda time, noise: torch.sin(2 * torch.pi * 440 * time),
        lambda time, noise: torch.sin(2 * torch.pi * 220 * time) * (torch.sin(2 * torch.pi * time) > 0),
        lambda time, noise: (
            noise * (torch.rand(len(time), generator=torch.Generator().manual_seed(1)) > 0.999)
        ),
    ],
    ids=["white noise", "brown noise", "a tone", "beeps", "clicks"],
)
def test_what_is_no_speech(sound):
    time = torch.arange(10 * 16000) / 16000
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    assert not is_speech(0.1 * sound(time, noise), 16000).any()


def test_every_feature_is_finite_and_weighed():
    for samples in (torch.zeros(RATE), torch.randn(RATE), torch.ones(1)):
        found = features(samples)
        assert found.keys() == FEATURES.keys()
        assert all(each.isfinite().all() for each in found.values())
    probability = speech_probability(torch.randn(2 * RATE))
    assert ((probability >= 0) & (probability <= 1)).all()


def test_runs():
    assert runs(torch.zeros(3, dtype=torch.bool)) == []
    assert runs(torch.ones(3, dtype=torch.bool)) == [(0, 3)]


def test_dev_speakers_are_found_and_few_noises_are_taken_for_speech(data_folder):
    """As measured by ``scripts/fit_activity.py``: every dev utterance, and 3 of 29 windows of unknown noises."""
    generator = np.random.default_rng(0)
    utterances = corpora.speech(data_folder / "speech.csv", "dev")
    for number in generator.permutation(len(utterances))[:20]:
        recording = audio.read(utterances[number].path)
        assert is_speech(recording.samples[0], recording.sample_rate).float().mean() > 0.4
    windows = [
        is_speech(window, recording.sample_rate).any()
        for noise in corpora.noises(data_folder / "noise.csv", "test")
        for recording in [audio.read(noise.path)]
        for window in recording.samples[0].split(20 * recording.sample_rate)
        if len(window) > recording.sample_rate
    ]
    assert sum(windows) <= 3
