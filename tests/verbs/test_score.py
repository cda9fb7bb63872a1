"""Scoring files against true voices, as the command does it."""

import json

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble import cli
from unbabble.base.audio import resample
from unbabble.signal import metrics as signal_metrics
from unbabble.signal.metrics import si_sdr
from unbabble.verbs.score import score
from unbabble.verbs.score_files import find_tasks

RATE = 16000
SECONDS = 1.5


def save(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(samples).T, rate, subtype="FLOAT")
    return path


def voices(count=2, seed=0):
    """Noise with syllables, so that every metric has something to hold on to."""
    random = np.random.default_rng(seed)
    time = np.arange(int(SECONDS * RATE)) / RATE
    rhythm = [0.55 + 0.45 * np.sin(2 * np.pi * (3 + k) * time) for k in range(count)]
    return 0.1 * random.standard_normal((count, len(time))) * rhythm


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """A mixture of two, its references, and its estimates in the other order."""
    monkeypatch.chdir(tmp_path)
    references = voices()
    mixture = references.sum(0)
    estimates = (references + 0.1 * references[::-1])[::-1]
    save(tmp_path / "mixture.wav", mixture)
    for k in range(2):
        save(tmp_path / "true" / f"reference{k + 1}.wav", references[k])
        save(tmp_path / "found" / f"source{k + 1}.wav", estimates[k])
    return tmp_path


MANY = ["--references", "true", "--estimates", "found", "--mixture", "mixture.wav"]
FAST = ["--metrics", "si_sdr"]


def test_every_metric_with_the_best_permutation(recording, capsys):
    assert cli.run(["score", *MANY, "--json", "scores.json"]) == 0
    captured = capsys.readouterr()
    table, report = captured.out, json.loads((recording / "scores.json").read_text())
    for label in ("SI-SDR", "SI-SDRi", "SDR", "SIR", "SAR", "PESQ", "STOI", "eSTOI", "mean", "mixture"):
        assert label in table
    details = report["files"][0]["details"]
    assert [(row["reference"], row["estimate"]) for row in details["voices"]] == [
        ("reference1.wav", "source2.wav"),
        ("reference2.wav", "source1.wav"),
    ]
    baseline = details["mixture"]
    for row, mixed in zip(details["voices"], baseline["voices"], strict=True):
        assert row["si_sdr"] == pytest.approx(20, abs=1.5)
        assert row["si_sdri"] == pytest.approx(row["si_sdr"] - mixed["si_sdr"])
        assert mixed["si_sdri"] == 0
        assert row["sir"] > 18
        assert 1 < row["pesq"] < 4.65
        assert 0 < row["estoi"] <= row["stoi"] + 0.1 <= 1.1
    mean = np.mean([row["si_sdr"] for row in details["voices"]])
    assert details["mean"]["si_sdr"] == report["mean"]["si_sdr"] == pytest.approx(mean)
    assert report["mixture"]["si_sdr"] == pytest.approx(0, abs=1)
    assert details["pesq_mode"] == "wb"
    assert report["exit_code"] == 0
    assert f"{mean:.2f}" in table
    assert not captured.err.count("\n") > 1


def test_scores_are_those_of_the_function(recording):
    report = score(
        references=[recording / "true"], estimates=[recording / "found"], metrics=["si_sdr"], quiet=True
    )
    files = [soundfile.read(recording / name)[0] for name in ("found/source2.wav", "true/reference1.wav")]
    expected = si_sdr(*(torch.from_numpy(each) for each in files))
    assert report.files[0].details["voices"][0]["si_sdr"] == pytest.approx(expected.item(), abs=1e-6)
    assert report.files[0].details["mixture"] is None
    assert unbabble.score is score


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_exactly_the_metrics_asked_for_are_shown(recording, capsys, jobs):
    for index in range(2):
        references = voices(seed=index)
        save(recording / "mixtures" / str(index) / "mixture.wav", references.sum(0))
        for k in range(2):
            save(recording / "mixtures" / str(index) / f"reference{k + 1}.wav", references[k])
            save(recording / "voices" / str(index) / f"source{k + 1}.wav", references[k] + 0.01)
    folders = ["--references", "mixtures", "--estimates", "voices"]
    assert cli.run(["score", *folders, "--metrics", "si_sdr", "snr", "--jobs", jobs, "--json", "s.json"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["recording", "voices", "SI-SDR", "SNR"]
    report = json.loads((recording / "s.json").read_text())
    assert report["config"]["metrics"] == list(report["mean"]) == list(report["mixture"]) == ["si_sdr", "snr"]


def test_files_by_name_and_by_pattern(recording, capsys):
    names = ["--references", "true/reference1.wav", "true/reference2.wav", "--estimates", "found/*.wav"]
    assert cli.run(["score", *names, *FAST]) == 0
    assert "source2.wav" in capsys.readouterr().out
    assert cli.run(["score", *names, *FAST, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_layouts_of_simulate_and_separate(recording, capsys):
    for index in range(2):
        references = voices(seed=index)
        folder = recording / "mixtures" / f"{index:04d}"
        save(folder / "mixture.wav", np.stack([references.sum(0)] * 2))
        for k in range(2):
            save(folder / f"reference{k + 1}.wav", references[k])
            save(folder / f"image{k + 1}.wav", np.stack([references[k]] * 2))
            save(
                recording / "voices" / f"{index:04d}-mixture" / f"source{k + 1}.wav", references[1 - k] + 0.01
            )
            save(recording / "voices" / f"{index:04d}-mixture" / f"source{k + 1}_image.wav", references)
    arguments = [
        "score",
        "--references",
        "mixtures",
        "--estimates",
        "voices",
        "--metrics",
        "si_sdr",
        "si_sdri",
    ]
    assert cli.run([*arguments, "--json", "all.json"]) == 0
    report = json.loads((recording / "all.json").read_text())
    assert [file["input"] for file in report["files"]] == ["0000", "0001"]
    assert report["mean"]["si_sdri"] > 15
    assert report["mixture"]["si_sdri"] == 0
    assert "0001" in capsys.readouterr().out

    (recording / "voices" / "0001-mixture" / "source1.wav").write_bytes(b"")
    assert cli.run([*arguments, "--json", "some.json"]) == 1
    captured = capsys.readouterr()
    assert "0000" in captured.out
    assert "empty (0 bytes)" in captured.err
    report = json.loads((recording / "some.json").read_text())
    assert [file["outcome"] for file in report["files"]] == ["done", "failed"]

    one = ["score", "--references", "mixtures/0000", "--estimates", "voices/0000-mixture"]
    assert cli.run([*one, "--metrics", "si_sdri"]) == 0  # the mixture beside the references is used
    assert cli.run([*arguments, "--mixture", "mixture.wav"]) == 2


def test_files_are_sorted_as_people_count(tmp_path):
    for k in (1, 2, 10):
        save(tmp_path / f"source{k}.wav", np.ones(9))
        save(tmp_path / f"reference{k}.wav", np.ones(9))
    (task,) = find_tasks(None, [tmp_path], [tmp_path])
    assert [path.name for path in task.estimates] == ["source1.wav", "source2.wav", "source10.wav"]
    assert [path.name for path in task.references] == ["reference1.wav", "reference2.wav", "reference10.wav"]


def test_more_and_fewer_estimates_than_references(recording, capsys):
    save(recording / "found" / "source3.wav", voices(seed=5)[0])
    report = score(references=[recording / "true"], estimates=[recording / "found"], metrics=["si_sdr"])
    assert report.files[0].details["unused_estimates"] == ["source3.wav"]
    assert "source3.wav: not needed" in capsys.readouterr().err
    report = score(references=[recording / "true"], estimates=[recording / "found" / "source2.wav"])
    rows = report.files[0].details["voices"]
    assert [row["estimate"] for row in rows] == ["source2.wav", None]
    assert np.isnan(rows[1]["si_sdr"])
    assert report.files[0].details["mean"]["si_sdr"] == rows[0]["si_sdr"]
    captured = capsys.readouterr()
    assert "reference2.wav has no estimate" in captured.err
    assert "none" in captured.out


def test_another_rate_is_resampled_with_a_warning(recording, capsys):
    samples, _ = soundfile.read("found/source1.wav")
    save(recording / "found" / "source1.wav", resample(torch.from_numpy(samples), RATE, 48000), 48000)
    assert cli.run(["score", *MANY, *FAST, "--json", "s.json"]) == 0
    assert "48000 Hz: resampled to 16000 Hz" in capsys.readouterr().err
    rows = json.loads((recording / "s.json").read_text())["files"][0]["details"]["voices"]
    assert rows[1]["estimate"] == "source1.wav"
    assert rows[1]["si_sdr"] > 10  # white noise loses its highest band


def test_lengths_may_differ_a_little(recording, capsys):
    samples, _ = soundfile.read("found/source1.wav")
    save(recording / "found" / "source1.wav", samples[:-700])
    assert cli.run(["score", *MANY, *FAST]) == 0
    assert "differ by 700 samples: cut to the shortest" in capsys.readouterr().err
    save(recording / "found" / "source1.wav", samples[:-800])
    assert cli.run(["score", *MANY, *FAST, "--json", "s.json"]) == 1
    captured = capsys.readouterr()
    assert "not of one recording" in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_the_chosen_channel_is_scored(recording, capsys):
    for k in (1, 2):
        path = recording / "true" / f"reference{k}.wav"
        samples, _ = soundfile.read(path)
        save(path, np.stack([voices(seed=9)[0], samples]))
    options = {"references": [recording / "true"], "estimates": [recording / "found"], "metrics": ["si_sdr"]}
    assert score(**options, channel=2).mean()["si_sdr"] > 15
    assert score(**options).mean()["si_sdr"] < 0
    assert cli.run(["score", *MANY, *FAST, "--channel", "3"]) == 1
    assert "has 2 channels, there is no channel 3" in capsys.readouterr().err
    assert cli.run(["score", *MANY, *FAST, "--channel", "0"]) == 2


def test_silence_is_told_and_left_out(recording, capsys):
    save(recording / "true" / "reference1.wav", np.zeros(int(SECONDS * RATE)))
    assert cli.run(["score", *MANY, "--json", "s.json"]) == 0
    assert "reference1.wav is silent" in capsys.readouterr().err
    details = json.loads((recording / "s.json").read_text())["files"][0]["details"]
    assert details["voices"][0]["si_sdr"] is None
    assert details["mean"]["si_sdr"] > 15
    save(recording / "true" / "reference2.wav", np.zeros(int(SECONDS * RATE)))
    assert cli.run(["score", *MANY]) == 1
    assert "nothing to score against" in capsys.readouterr().err


def test_a_silent_estimate_has_the_lowest_score(recording, capsys):
    save(recording / "found" / "source2.wav", np.zeros(int(SECONDS * RATE)))
    report = score(references=[recording / "true"], estimates=[recording / "found"])
    row = report.files[0].details["voices"][0]
    assert (row["estimate"], row["si_sdr"], row["sdr"], row["stoi"]) == ("source2.wav", -np.inf, -np.inf, 0)
    captured = capsys.readouterr()
    assert "source2.wav is silent" in captured.err
    assert "-inf" in captured.out


def test_a_delay_is_suspected(recording, capsys):
    references = voices()
    references[:, -600:] = 0
    for k in (0, 1):
        save(recording / "true" / f"reference{k + 1}.wav", references[k])
        save(recording / "found" / f"source{k + 1}.wav", np.roll(references[k], 100))
    assert cli.run(["score", *MANY, "--metrics", "si_sdr", "sdr"]) == 0
    assert "may be delayed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--mixture", "mixture.wav"], 2, "Name the recording with --mixture"),
        (["--references", "true"], 2, "Name the separated voices"),
        ([*MANY, "--metrics", "pesk"], 2, "pesk"),
        (
            ["--references", "true", "--estimates", "found", "--metrics", "si_sdri"],
            2,
            "name it with --mixture",
        ),
        (["--references", "true", "--estimates", "nowhere.wav"], 1, "There is no file 'nowhere.wav'"),
        (["--references", "true", "--estimates", "*.mp3"], 2, "No file matches"),
        (["--references", "nothing", "--estimates", "found"], 2, "holds no recordings"),
        (["--references", "true", "--estimates", "text.wav"], 1, "text.wav"),
        (["--references", "true", "--estimates", "nan.wav"], 1, "not numbers"),
        ([*MANY, *FAST, "--json", "mixture.wav/scores.json"], 2, "Cannot write"),
    ],
)
def test_faults_are_one_sentence(recording, capsys, arguments, code, sentence):
    (recording / "nothing").mkdir()
    (recording / "text.wav").write_text("not audio")
    save(recording / "nan.wav", np.full(int(SECONDS * RATE), np.nan))
    before = sorted(recording.rglob("*"))
    assert cli.run(["score", *arguments]) == code
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert "Traceback" not in captured.err
    assert sorted(recording.rglob("*")) == before


def test_without_the_extra_the_rest_is_scored(recording, capsys, monkeypatch):
    monkeypatch.setattr(signal_metrics, "find_spec", lambda name: None)
    assert cli.run(["score", *MANY, "--json", "s.json"]) == 0
    captured = capsys.readouterr()
    assert "Not available: SDR, SIR, SAR, PESQ, STOI, eSTOI (pip install 'unbabble[metrics]')" in captured.err
    report = json.loads((recording / "s.json").read_text())
    assert report["config"]["metrics"] == ["si_sdr", "si_sdri"]
    assert report["config"]["unavailable"] == ["sdr", "sir", "sar", "pesq", "stoi", "estoi"]
    assert cli.run(["score", *MANY, "--metrics", "pesq"]) == 2
    assert "PESQ needs the extra 'metrics'" in capsys.readouterr().err


def test_narrow_band_and_tiny_recordings(recording):
    for path in [*recording.glob("*/*.wav"), recording / "mixture.wav"]:
        samples, _ = soundfile.read(path)
        save(path, samples[::2], 8000)
    report = score(references=[recording / "true"], estimates=[recording / "found"])
    assert report.files[0].details["pesq_mode"] == "nb"
    assert report.mean()["pesq"] > 1
    for path in [*recording.glob("*/*.wav")]:
        samples, _ = soundfile.read(path)
        save(path, samples[100:101], 8000)
    report = score(references=[recording / "true"], estimates=[recording / "found"])
    assert report.exit_code == 0
    assert "stoi" not in report.mean()
