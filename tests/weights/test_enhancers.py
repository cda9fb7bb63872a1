"""The packaged enhancers on real voices and noises, and what adaptation does with recordings that it should not get."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base import audio, weights
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second
from unbabble.pipelines.enhance import DEFAULTS
from unbabble.signal.metrics import si_sdr
from unbabble.training import personal as adapting

RATE, COUNT, STEPS = 16000, 8, 24


@pytest.fixture(scope="module")
def scenes(data_folder):
    """Test speakers in test noises."""
    mixing = DynamicMixing(
        data_folder / "speech.csv",
        "test",
        talkers=(1,),
        seconds=4.0,
        sample_rate=RATE,
        noise=data_folder / "noise.csv",
        noise_share=1.0,
        snr_db=(0.0, 5.0),
    )
    made = DynamicMixtures(mixing, 3)
    items = [made[number] for number in range(COUNT)]
    return [(torch.from_numpy(item.mixture)[None], torch.from_numpy(item.sources)) for item in items]


def gain(network, scenes) -> float:
    """Mean SI-SDR improvement."""
    with torch.no_grad():
        found = [si_sdr(network.estimate(noisy)[0], voice) - si_sdr(noisy, voice) for noisy, voice in scenes]
    return float(torch.cat(found).mean())


@pytest.mark.parametrize(
    ("name", "least"),
    [
        (DEFAULTS[0], 3.0),
        (DEFAULTS[1], 2.0),
        ("sparse_ensemble.16k", 2.0),
        ("gru.2x32", 1.0),
        ("adaptive_dae.16k", 1.0),
    ],
)
def test_noise_comes_off_and_clean_speech_stays(name, least, scenes):
    network = networks.load(name, "enhancer").network
    assert gain(network, scenes) > least
    with torch.no_grad():
        kept = [float(si_sdr(network.estimate(voice)[0], voice)) for _, voice in scenes]
    assert np.mean(kept) > 12


def test_the_large_one_takes_off_more_than_the_tiny_one(scenes):
    large, tiny = (gain(networks.load(name, "enhancer").network, scenes) for name in DEFAULTS)
    assert large > tiny


def test_the_budget_chooses_the_student():
    costs = {
        name: macs_per_second(networks.load(name, "enhancer").network) / 1e6
        for name in ("gru.2x32", "gru.2x64")
    }
    assert costs["gru.2x32"] < 5 < costs["gru.2x64"] < 11
    assert adapting.student_within(5) == "gru.2x32"
    assert adapting.student_within(11) == adapting.student_within() == "gru.2x64"


def test_all_weights_together_stay_within_their_budget():
    assert sum(path.stat().st_size for path in weights.packaged().values()) < 72e6


@pytest.fixture
def recordings(data_folder, tmp_path, monkeypatch):
    """What should not be adapted to: noise alone, music, somebody else in silence."""
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "cache"))
    noises = {each.label: each.path for each in corpora.noises(data_folder / "noise.csv", "train")}
    other = corpora.speech(data_folder / "speech.csv", "dev")[:4]
    sounds = {
        "noise": audio.read(noises["kitchen"]).samples[0],
        "music": torch.cat(
            [audio.read(noises[name]).samples[0] for name in ("piano", "guitar", "jazz_guitar")]
        ),
        "somebody else": torch.cat([audio.read(each.path).samples[0] for each in other]),
    }
    paths = {}
    for name, samples in sounds.items():
        paths[name] = tmp_path / f"{name}.wav"
        soundfile.write(paths[name], samples[: 28 * RATE].numpy(), RATE, subtype="FLOAT")
    return paths


@pytest.mark.parametrize("what", ["noise", "music", "somebody else"])
def test_recordings_of_something_else_do_no_harm(recordings, scenes, what):
    before = gain(networks.load(adapting.STUDENT, "enhancer").network, scenes)
    network, _ = adapting.adapt([recordings[what]], steps=STEPS)
    assert gain(network, scenes) > before - 0.5
