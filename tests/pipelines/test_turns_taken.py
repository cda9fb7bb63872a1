"""How many take turns: by vectors, and what ``separate`` says of it."""

import numpy as np
import pytest
import torch

from unbabble import cli
from unbabble.base import audio
from unbabble.pipelines import turns_taken
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.turns_taken import count_turn_takers, talkers


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


def test_separate_says_that_talkers_take_turns(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(turns_taken, "count_turn_takers", lambda recording, ears: 3)
    monkeypatch.setattr("unbabble.pipelines.choose.alone", lambda *rest: True)
    audio.write(tmp_path / "talk.wav", 0.1 * torch.randn(1, 32000), 16000)
    arguments = ["separate", str(tmp_path / "talk.wav"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    said = "3 talkers seem to take turns: `unbabble diarize` writes a file for each."
    assert cli.run(arguments) == 0
    assert said in capsys.readouterr().err
    assert cli.run([*arguments, "--sources", "1", "--overwrite"]) == 0
    assert said not in capsys.readouterr().err, "who says how many there are knows"
