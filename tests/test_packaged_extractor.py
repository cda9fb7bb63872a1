"""The packaged extractor on real voices: whose comes out, and enrollments that are no good."""

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.errors import InputError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.extracting import enrollment_of, load_extractor
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


def test_the_enrolled_one_comes_out(scenes):
    _, network = load_extractor("auto", "cpu")
    gains, right = [], []
    for mixture, sources, said in scenes:
        for number, enrollment in enumerate(said):
            voice = network(mixture[None, None], enrollment=enrollment)[0]
            mine, other = si_sdr(voice.expand_as(sources), sources)[[number, 1 - number]]
            gains.append(float(mine - si_sdr(mixture[None], sources[number : number + 1])))
            right.append(bool(mine > other))
    assert np.mean(right) > 0.75
    assert np.median(gains) > 3


def test_two_people_by_turns_enroll_nobody(scenes, tmp_path):
    told = []
    for _, _, said in scenes:
        soundfile.write(tmp_path / "turns.wav", torch.cat(said), RATE, subtype="FLOAT")
        warnings: list[str] = []
        try:
            enrollment_of([tmp_path / "turns.wav"], RATE, warnings)
        except InputError as error:
            warnings.append(str(error))
        told.append(any("by turns" in each for each in warnings))
    assert np.mean(told) >= 0.5
