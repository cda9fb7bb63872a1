"""Each fault of a recording is found, and a good recording passes; on voices made by a computer, and on people's."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr

from tests.web.conftest import DEMO
from unbabble.web.collect.checks import active_level, both_sentences, content_hash, duplicate, examine
from unbabble.web.collect.counting import talkers

RATE = 16000


def voice(number: int) -> np.ndarray:
    samples, rate = soundfile.read(DEMO / f"reference{number}.flac", dtype="float32")
    assert rate == RATE
    return samples


@pytest.fixture(scope="module")
def both() -> np.ndarray:
    return (voice(1) + voice(2))[None]


def failed(samples, track=None) -> set[str]:
    return {each.name for each in examine(samples, RATE, track or {}) if not each.passed}


def blocked(samples) -> set[str]:
    return {each.name for each in examine(samples, RATE, {}) if not each.passed and each.blocks}


def test_two_people_who_read_at_once_pass(both):
    assert failed(both) == set()
    assert failed(np.concatenate([both, both])) == set()  # two channels


def test_too_short_and_too_long_are_refused(both):
    assert blocked(both[:, : RATE // 2]) == {"too short"}
    assert blocked(np.tile(both, 4)) == {"too long"}
    assert blocked(np.zeros((1, 1), np.float32)) == {"too short", "silent"}


def test_silence_is_refused(both):
    hiss = 1e-5 * np.random.default_rng(0).standard_normal((1, 5 * RATE)).astype(np.float32)
    for nothing in (np.zeros((1, 5 * RATE), np.float32), hiss, hiss + 0.3):  # the last one has an offset
        assert blocked(nothing) == {"silent"}


def test_a_quiet_recording_is_doubted(both):
    assert failed(both * 0.2) == {"too quiet"}


def test_clipping_is_doubted_and_much_of_it_refused(both):
    loud = both / np.abs(both).max()
    assert "clipped" in failed(np.clip(2 * loud, -1, 1))
    assert blocked(np.clip(2 * loud, -1, 1)) == set()
    assert blocked(np.clip(30 * loud, -1, 1)) == {"clipped"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_voice_is_doubted(number):
    assert failed(voice(number)[None]) == {"one voice"}


def test_which_sentence_was_not_understood_is_said():
    assert both_sentences([True, True], [1.2, 0.8]).to_dict() == {
        "name": "both sentences",
        "passed": True,
        "blocks": False,
        "value": 0.8,
        "advice": "",
    }
    second = both_sentences([True, False], [1.2, None])
    assert (second.passed, second.blocks, second.value) == (False, False, None)
    assert second.advice.startswith("The second sentence was not understood.")
    assert both_sentences([False, True], [0.1, 1.0]).advice.startswith("The first sentence was not")
    assert both_sentences([False, False], [0.1, 0.0]).advice.startswith("Both sentences were not understood.")


def test_silence_around_speech_does_not_count(both):
    around = np.pad(both[:, : 5 * RATE], ((0, 0), (3 * RATE, 3 * RATE)))
    assert active_level(around[0], RATE) == pytest.approx(active_level(both[0, : 5 * RATE], RATE), abs=0.2)


def test_processing_that_a_browser_kept_is_named(both):
    for kept in ({"noiseSuppression": True}, {"echoCancellation": "all"}):
        (check,) = [each for each in examine(both, RATE, kept) if not each.passed]
        assert check.name == "processed"
        assert "cancellation" in check.advice or "suppression" in check.advice
    off = {
        "echoCancellation": False,
        "noiseSuppression": False,
        "autoGainControl": False,
        "sampleRate": 48000,
    }
    assert failed(both, track=off) == set()


def test_the_same_samples_have_the_same_hash_in_whichever_file(both, tmp_path):
    pcm = np.rint(both * 32768) / 32768
    for name, subtype in (("a.wav", "PCM_16"), ("b.flac", "PCM_24")):
        soundfile.write(tmp_path / name, pcm.T, RATE, subtype=subtype)
    found = []
    for name in ("a.wav", "b.flac"):
        samples, rate = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
        found.append(content_hash(samples.T, rate))
    assert found[0] == found[1]
    changed = pcm.copy()
    changed[0, 1000] += 1 / 32768
    assert content_hash(changed, RATE) != found[0]
    assert content_hash(pcm, 8000) != found[0]
    assert not duplicate(True).passed
    assert duplicate(True).blocks


@pytest.mark.parametrize("samples", [100, 4001, 30000, 76000])
def test_the_counter_of_talkers_is_the_one_that_was_trained(samples, both):
    import torch

    from unbabble.networks.load import load

    network = load("countnet.3talkers_8k", "counter").network
    heard = soxr.resample(both[0], RATE, 8000)[:samples]
    expected = network(torch.from_numpy(heard.copy())[None])[0].numpy()
    np.testing.assert_allclose(
        talkers(heard, 8000), expected, atol=1e-3
    )  # rounding through a recurrent layer


def test_of_people_in_measured_rooms_most_alone_are_found_and_few_pairs_suspected(data_folder):
    import csv

    from scipy.signal import fftconvolve

    with open(data_folder / "speech.csv") as file:
        rows = [
            row for row in csv.DictReader(file) if row["split"] == "test" and 3 < float(row["seconds"]) < 8
        ]
    with open(data_folder / "rir.csv") as file:
        rooms = [row for row in csv.DictReader(file) if row["split"] == "test"]
    draw, alone, pairs = np.random.default_rng(0), [], []
    for _ in range(20):
        first, second = draw.choice(len(rows), 2, replace=False)
        while rows[second]["speaker"] == rows[first]["speaker"]:
            second = draw.integers(len(rows))
        heard = []
        for number in (first, second):
            dry, _ = soundfile.read(data_folder / "speech" / rows[number]["file"], dtype="float32")
            room = rooms[draw.integers(len(rooms))]["file"]
            response, _ = soundfile.read(data_folder / "rir" / room, dtype="float32", always_2d=True)
            wet = fftconvolve(dry, response[:, 0])[: len(dry)].astype(np.float32)
            heard.append(0.05 * wet / wet.std())
        length = max(map(len, heard))
        mixture = sum(np.pad(each, (0, length - len(each))) for each in heard)
        alone.append("one voice" in failed(heard[0][None]))
        pairs.append(failed(mixture[None]))
    assert np.mean(alone) >= 0.5
    assert np.mean(["one voice" in each for each in pairs]) <= 0.2


def test_checking_loads_no_pytorch():
    code = (
        "import sys, numpy, unbabble.web.collect.contributing as it\n"
        "noise = 0.1 * numpy.random.default_rng(0).standard_normal((1, 32000)).astype('float32')\n"
        "assert len(it.examine(noise, 16000, {})) == 7\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
