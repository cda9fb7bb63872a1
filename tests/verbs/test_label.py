"""``unbabble label``: the words that fit best, and when; what is refused."""

import json

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from tests.sound_models import RATE, tiny_clap, tone, write
from unbabble import cli
from unbabble.base.errors import InputError, UsageError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    write(tmp_path / "low.wav", tone(300))
    write(tmp_path / "both.wav", tone(300, 2.0), tone(3000, 2.0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_heard_and_when(here, model, capsys):
    assert cli.run(["label", "low.wav", "both.wav", "--model", model, "--report", "r.json"]) == 0
    low, both = (file["details"] for file in json.loads((here / "r.json").read_text())["files"])
    assert low["labels"][0]["text"] == "low"
    assert low["labels"][0]["share"] > 0.8
    assert sum(each["share"] for each in low["labels"]) == pytest.approx(1, abs=1e-4)
    assert [each["text"] for each in both["events"]] == ["low", "high"]
    assert both["events"][0]["start"] == 0
    assert 1.5 <= both["events"][0]["end"] == both["events"][1]["start"] <= 2.5
    assert both["events"][1]["end"] == 4
    assert "both.wav" in capsys.readouterr().out


def test_words_of_ones_own_are_noted_where_they_were_not_learnt(here, model, capsys):
    report = unbabble.label("low.wav", words="low, hiss", model=model)
    assert {each["text"] for each in report.files[0].details["labels"]} == {"low", "hiss"}
    assert "has not learnt 'hiss' by name" in capsys.readouterr().err
    unbabble.label("low.wav", words=["low", "high"], model=model)
    assert "by name" not in capsys.readouterr().err


def test_a_part_of_a_recording(here, model):
    report = unbabble.label("both.wav", start=2, model=model, quiet=True)
    assert [each["text"] for each in report.files[0].details["events"]] == ["high"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("low,,high", UsageError, "A word of --words is empty"),
        ("low", UsageError, "With 'low' alone nothing is told apart"),
        ("low,low", UsageError, "'low' comes twice"),
        ("low,雨", InputError, "Nothing of '雨' can be read"),
    ],
)
def test_words_that_make_no_sense(here, model, words, error, message):
    with pytest.raises(error, match=message):
        unbabble.label("low.wav", words=words, model=model, quiet=True)


def test_a_model_without_words_of_its_own_asks_for_some(here, tmp_path):
    own = str(tiny_clap(tmp_path / "own.safetensors", words=""))
    with pytest.raises(UsageError, match="has learnt no words by name: say which, by --words"):
        unbabble.label("low.wav", model=own, quiet=True)


def test_silence_is_said(here, model, capsys):
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    assert cli.run(["label", "silent.wav", "low.wav", "--model", model]) == 1
    assert "silent" in capsys.readouterr().err


def test_a_classifier_knows_the_names_of_its_classes(here, tmp_path):
    from unbabble.base import weights
    from unbabble.base.registry import method

    options = method("conv2d").TINY | {"labels": "low_tone|hiss"}
    network = method("conv2d")(**options).eval()
    weights.save(tmp_path / "c.safetensors", network.state_dict(), weights.WeightsCard("conv2d", options))
    model = str(tmp_path / "c.safetensors")
    labels = unbabble.label("low.wav", model=model, quiet=True).files[0].details["labels"]
    wave = torch.from_numpy(soundfile.read("low.wav", dtype="float32")[0])[None]
    wanted = network(wave).softmax(1)[0].tolist()
    assert {each["text"]: each["share"] for each in labels} == pytest.approx(
        dict(zip(("low_tone", "hiss"), wanted, strict=True)), abs=1e-3
    )
    assert unbabble.find("low tone", "low.wav", model=model, quiet=True).matches
    with pytest.raises(
        InputError, match="'rain' is no sound that this model tells apart: it names low_tone, hiss"
    ):
        unbabble.find("rain", "low.wav", model=model, quiet=True)
