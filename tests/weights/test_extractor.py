"""The packaged extractor on real voices: whose comes out, and enrollments that are no good."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble.base.errors import InputError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.pipelines.extract import EMBEDDER, enrollment_of, likeness_of_parts, load_extractor
from unbabble.signal.metrics import si_sdr

RATE, COUNT = 8000, 8


@pytest.fixture(scope="module")
def scenes(data_folder):
    """Clean mixtures of two test speakers, their voices, and something else that each says."""
    made = DynamicMixtures(DynamicMixing(data_folder / "speech.csv", "test", talkers=(2,), seconds=4.0), 1)
    found = []
    for index in range(COUNT):
        rng = np.random.default_rng([1, index])
        drawn = made.drawn(rng)
        said = [alone(data_folder, "test", speaker, rng, drawn.excerpts) for speaker in drawn.speakers]
        found.append((torch.from_numpy(drawn.item.mixture), torch.from_numpy(drawn.item.sources), said))
    return found


def alone(data_folder, split, speaker, rng, taken=()):
    made = DynamicMixtures(DynamicMixing(data_folder / "speech.csv", split, talkers=(1,), seconds=4.0), 1)
    return torch.from_numpy(made.drawn(rng, [str(speaker)], list(taken)).item.mixture)


@pytest.mark.parametrize(
    ("name", "share", "least_db"), [("auto", 0.75, 3.0), ("td_speakerbeam.2talkers_8k", 0.6, 1.0)]
)
def test_the_enrolled_one_comes_out(scenes, name, share, least_db):
    _, network = load_extractor(name, "cpu")
    gains, right = [], []
    for mixture, sources, said in scenes:
        for number, enrollment in enumerate(said):
            voice = network(mixture[None, None], enrollment=enrollment)[0]
            mine, other = si_sdr(voice.expand_as(sources), sources)[[number, 1 - number]]
            gains.append(float(mine - si_sdr(mixture[None], sources[number : number + 1])))
            right.append(bool(mine > other))
    assert np.mean(right) > share, "half is chance"
    assert np.median(gains) > least_db


def test_people_who_take_turns_are_less_alike_than_one(scenes):
    network = networks.load(EMBEDDER).network
    half = len(scenes[0][2][0]) // 2
    one = [likeness_of_parts(network, each, RATE) for _, _, said in scenes for each in said]
    turns = [likeness_of_parts(network, torch.cat([a[:half], b[:half]]), RATE) for _, _, (a, b) in scenes]
    assert np.median(one) > np.median(turns) + 0.15


def test_the_three_of_the_demo_are_no_enrollment():
    """By their four microphones; the network that counts is not sure of any of them."""
    with pytest.raises(InputError, match="its microphones hear 3"):
        enrollment_of([Path(unbabble.__file__).parent / "demo" / "mixture.flac"], RATE)


def test_hardly_anybody_who_talks_alone_is_refused(scenes, tmp_path):
    refused = 0
    for _, _, said in scenes:
        for each in said:
            soundfile.write(tmp_path / "me.wav", each, RATE, subtype="FLOAT")
            try:
                enrollment_of([tmp_path / "me.wav"], RATE)
            except InputError:
                refused += 1
    assert refused <= 1
