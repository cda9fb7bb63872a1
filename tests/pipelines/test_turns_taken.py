"""Talkers who take turns: how many they are, by vectors, and the voices that ``separate`` makes of them."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from unbabble import cli
from unbabble.base import audio
from unbabble.pipelines import talkers_heard, turns_taken
from unbabble.pipelines.embed import Embedder, Voice
from unbabble.pipelines.extract import NOTHING_OF_THEM
from unbabble.pipelines.extract_by_turns import extract_by_turns
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.turns_taken import count_turn_takers, talkers
from unbabble.pipelines.verify import Verifier

RATE = 8000
HERTZ = (300, 1500)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("each", [20, 200])
def test_talkers_are_counted_by_their_vectors(number, each):
    rng = np.random.default_rng(number)
    own = rng.standard_normal((number, 64))
    vectors = np.repeat(own, each, 0) + 0.7 * rng.standard_normal((number * each, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.arange(number * each)[:, None] * 20 + [0, 80]
    order = rng.permutation(number * each)  # they come in the order of their lengths
    assert talkers(vectors[order], places[order], 0.6) == number


def test_nobody_is_one_talker():
    ears = Ears.load("xvector.8k", "cpu", together=False)
    assert count_turn_takers(Recording.of(torch.zeros(1, 40000), 8000), ears) == 1


class Pitch:
    """Tells a low tone from a high one."""

    sample_rate = RATE

    def __call__(self, waveform):
        spectrum = torch.fft.rfft(waveform * torch.hann_window(waveform.shape[1])).abs()
        bins = [round(hertz * waveform.shape[1] / RATE) for hertz in HERTZ]
        return torch.nn.functional.normalize(spectrum[:, bins].float() + 1e-6)


class Together:
    """Hears two wherever both tones sound."""

    sample_rate = RATE

    def __call__(self, mixture):
        spectrum = torch.fft.rfft(mixture).abs()
        levels = spectrum[:, [round(hertz * mixture.shape[1] / RATE) for hertz in HERTZ]]
        both = (levels.min(1).values > 0.1 * levels.max(1).values).float()
        return torch.stack([1 - both, both], 1)


@pytest.fixture
def ears(monkeypatch):
    """Stand in for the networks: speech is what is not soft."""

    def loud(samples, rate, possible=None):
        frames = samples[: len(samples) // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
        return frames.square().mean(1) > 1e-4

    made = Ears(Pitch(), counter=Together())
    monkeypatch.setattr(talkers_heard, "is_speech", loud)
    monkeypatch.setattr(Ears, "load", lambda **options: made)
    return made


def by_turns(seconds=24.0, pause=0.5, together=0.0):
    """Two tones by turns of 3 s, and samples of each alone; both sound in this share of the time, at the end."""
    time = torch.arange(round(seconds * RATE)) / RATE
    turn, within = (time // 3).long(), time % 3
    both = time >= (1 - together) * seconds
    sounds = (within > pause / 2) & (within < 3 - pause / 2)
    flags = [sounds & (both | (turn % 2 == number)) for number in range(2)]
    return [
        0.1 * torch.sin(2 * torch.pi * hertz * time) * flag for hertz, flag in zip(HERTZ, flags, strict=True)
    ]


def test_each_who_takes_turns_has_a_file(ears, tmp_path, capsys):
    low, high = by_turns()
    low[-4 * RATE :] = 0  # who talks most comes first
    silent = torch.zeros(len(low))
    audio.write(tmp_path / "talk.wav", torch.stack([silent, low + high]), RATE)
    arguments = ["separate", str(tmp_path / "talk.wav"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.run([*arguments, "--residual", "--report", str(tmp_path / "r.json")]) == 0
    assert "2 talkers take turns" in capsys.readouterr().err
    (entry,) = json.loads((tmp_path / "r.json").read_text())["files"]
    assert [Path(path).name for path in entry["outputs"]] == ["source1.wav", "source2.wav", "residual.wav"]
    assert entry["model"] == turns_taken.BY_TURNS
    assert entry["details"]["sources"] == 2
    assert entry["details"]["sure"] > 0.9
    first, second, rest = (audio.read(path).samples[0] for path in entry["outputs"])
    torch.testing.assert_close(first + second + rest, low + high, rtol=0, atol=1e-6)
    for voice, own in ((first, high), (second, low)):
        assert (voice - own).square().sum() < 0.05 * own.square().sum()


def test_who_says_how_many_talk_has_them_separated(ears, tmp_path, capsys):
    audio.write(tmp_path / "talk.wav", torch.stack(by_turns()).sum(0)[None], RATE)
    arguments = ["separate", str(tmp_path / "talk.wav"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.run([*arguments, "--sources", "1"]) == 0
    assert "take turns" not in capsys.readouterr().err
    assert len(list((tmp_path / "out" / "talk").glob("source*"))) == 1


def test_talkers_who_talk_at_once_for_long_take_no_turns(ears):
    assert count_turn_takers(Recording.of(torch.stack(by_turns()).sum(0), RATE), ears) == 2
    assert count_turn_takers(Recording.of(torch.stack(by_turns(48.0, together=0.2)).sum(0), RATE), ears) == 2
    assert count_turn_takers(Recording.of(torch.stack(by_turns(48.0, together=0.5)).sum(0), RATE), ears) == 1
    one = by_turns()[0]
    assert count_turn_takers(Recording.of(one, RATE), ears) == 1


class PitchOfRecordings(Embedder):
    """Voices of recordings by their tones; what is neither tone is unlike both."""

    def __init__(self):
        super().__init__("pitch", cast(Any, None))

    def voice(self, recording):
        (vector,) = Pitch()(recording.samples[:1]).numpy()
        return Voice(vector if recording.seconds > 1 else -vector, recording.seconds)


def test_one_who_takes_turns_is_extracted(ears, tmp_path):
    low, high = by_turns()
    audio.write(tmp_path / "high.wav", high[None, 3 * RATE : 6 * RATE], RATE)
    audio.write(tmp_path / "other.wav", high[None, 4 * RATE : 4 * RATE + 4000], RATE)
    verifier, out = Verifier(PitchOfRecordings()), tmp_path / "voice.wav"
    talk = Recording.of(low + high, RATE)
    made = extract_by_turns(talk, [tmp_path / "high.wav"], ears, verifier, out)
    assert made is not None
    voice = audio.read(out).samples[0]
    assert (voice - high).square().sum() < 0.05 * high.square().sum()
    assert made.level_db == pytest.approx(-3, abs=0.3)
    assert made.likeness == pytest.approx(1, abs=0.01)
    made = extract_by_turns(talk, [tmp_path / "other.wav"], ears, verifier, out)
    assert made is not None
    assert not audio.read(out).samples.any(), "somebody who is not there is silent"
    assert NOTHING_OF_THEM in made.warnings
    assert extract_by_turns(Recording.of(low, RATE), [tmp_path / "high.wav"], ears, verifier, out) is None
