"""``unbabble identify``: somebody, nobody, no answer; what is refused or left out."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import unbabble
from unbabble import cli
from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import packaged

DEMO = Path(unbabble.__file__).parent / "demo"
MODEL = "xvector.8k"
pytestmark = pytest.mark.skipif(MODEL not in packaged(), reason="no packaged embedder")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two people who are known, one by a file and one by a folder; recordings of both, and of a third."""
    (tmp_path / "voices" / "ben").mkdir(parents=True)
    (tmp_path / "voices" / "notes.txt").write_text("no recording")
    for number, name in enumerate(("anna", "ben", "carol"), 1):
        samples, rate = soundfile.read(DEMO / f"reference{number}.flac")
        first, second = np.array_split(samples, 2)
        soundfile.write(tmp_path / f"{name}.wav", second, rate)
        if name == "anna":
            soundfile.write(tmp_path / "voices" / "anna.wav", first, rate)
        if name == "ben":
            for part, half in enumerate(np.array_split(first, 2)):
                soundfile.write(tmp_path / "voices" / "ben" / f"{part}.wav", half, rate)
    soundfile.write(tmp_path / "silent.wav", np.zeros(rate), rate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def calibration(here, shift):
    (here / "own.json").write_text(json.dumps({"calibration": {"scale": 40.0, "shift": shift}}))


def test_who_it_is(here, capsys):
    calibration(here, -10.0)
    command = [
        "identify",
        "anna.wav",
        "ben.wav",
        "--voices",
        "voices",
        "--model",
        MODEL,
        "--report",
        "r.json",
    ]
    assert cli.run([*command, "--calibration", "own.json"]) == 0
    content = json.loads((here / "r.json").read_text())
    for file, name in zip(content["files"], ("anna", "ben"), strict=True):
        found = file["details"]
        assert found["answer"] == found["name"] == next(iter(found["people"])) == name
        assert found["probability"] == found["people"][name]["probability"] > 0.5
        total = sum(each["probability"] for each in found["people"].values()) + found["nobody"]
        assert total == pytest.approx(1)
    assert content["voices"]["ben"] == ["voices/ben/0.wav", "voices/ben/1.wav"]
    assert "anna.wav" in capsys.readouterr().out


def test_nobody(here, capsys):
    calibration(here, -60.0)
    report = unbabble.identify("carol.wav", voices="voices", model=MODEL, calibration="own.json")
    found = report.files[0].details
    assert (found["answer"], found["name"]) == ("nobody", None)
    assert found["probability"] == found["nobody"] > 0.99
    assert "nobody" in capsys.readouterr().out


def test_an_embedder_that_nobody_calibrated_names_whoever_is_most_like(here, capsys):
    report = unbabble.identify("ben.wav", voices="voices", model=MODEL)
    assert report.files[0].details["name"] == "ben"
    assert report.files[0].details["probability"] is None
    assert "may be nobody" in capsys.readouterr().err


def test_what_cannot_be_used_is_left_out(here):
    calibration(here, -10.0)
    soundfile.write("voices/dave.wav", np.zeros(16000), 16000)
    report = unbabble.identify(
        "anna.wav", "silent.wav", voices="voices", model=MODEL, calibration="own.json", quiet=True
    )
    assert report.exit_code == 1
    assert {each.input: each.outcome for each in report.files} == {
        "anna.wav": "done",
        "silent.wav": "failed",
        "voices/dave.wav": "failed",
    }
    assert set(report.files[0].details["people"]) == {"anna", "ben"}


def test_what_makes_no_sense_is_refused(here):
    (here / "empty").mkdir()
    (here / "silence").mkdir()
    soundfile.write("silence/dave.wav", np.zeros(16000), 16000)
    (here / "taken").mkdir()
    (here / "taken" / "Nobody.wav").write_bytes((here / "anna.wav").read_bytes())
    for voices, kind, sentence in (
        ("none", UsageError, "There is no folder 'none'"),
        ("empty", UsageError, "no recordings in 'empty'"),
        ("taken", UsageError, "Somebody in 'taken' is called 'Nobody'"),
        ("silence", InputError, "can be used: The recording is silent"),
    ):
        with pytest.raises(kind, match=sentence):
            unbabble.identify("anna.wav", voices=voices, model=MODEL, quiet=True)
    with pytest.raises(UsageError, match="prior"):
        unbabble.identify("anna.wav", voices="voices", prior=0.0, model=MODEL, quiet=True)
