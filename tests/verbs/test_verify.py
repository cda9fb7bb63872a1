"""``unbabble verify``: pairs, one enrolled person, lists of trials, calibrations; what is refused or left out."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import unbabble
from unbabble import cli
from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import packaged
from unbabble.verbs.trials import Trial, read_trials, speakers_of
from unbabble.verbs.verify import calibrated as calibrated_by
from unbabble.verbs.voices import percent

DEMO = Path(unbabble.__file__).parent / "demo"
MODEL = "xvector.8k"
pytestmark = pytest.mark.skipif(MODEL not in packaged(), reason="no packaged embedder")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Of each of the demo's talkers two recordings; silence, noise, and half a second."""
    for number, name in enumerate(("anna", "ben", "carol"), 1):
        samples, rate = soundfile.read(DEMO / f"reference{number}.flac")
        for part, half in enumerate(np.array_split(samples, 2), 1):
            soundfile.write(tmp_path / f"{name}{part}.wav", half, rate)
    soundfile.write(tmp_path / "short.wav", samples[16000:24000], rate)
    soundfile.write(tmp_path / "silent.wav", np.zeros(rate), rate)
    soundfile.write(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(3 * rate), rate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calibrated(here):
    """A calibration."""
    path = here / "own.json"
    path.write_text(json.dumps({"calibration": {"scale": 12.0, "shift": -9.0}}))
    return path


def test_all_pairs_of_several_recordings(here, calibrated, capsys):
    command = ["verify", "anna1.wav", "anna2.wav", "ben1.wav", "--model", MODEL, "--report", "r.json"]
    assert cli.run([*command, "--calibration", "own.json"]) == 0
    pairs = json.loads((here / "r.json").read_text())["pairs"]
    assert [(each["one"], each["other"]) for each in pairs] == [
        ("anna1.wav", "anna2.wav"),
        ("anna1.wav", "ben1.wav"),
        ("anna2.wav", "ben1.wav"),
    ]
    assert pairs[0]["likeness"] > max(pairs[1]["likeness"], pairs[2]["likeness"])
    for each in pairs:
        odds = 12 * each["likeness"] - 9
        assert each["probability"] == pytest.approx(1 / (1 + np.exp(-odds)))
    printed = capsys.readouterr()
    assert f"{pairs[0]['likeness']:.2f}" in printed.out
    assert pairs[0]["answer"] in printed.out
    one = unbabble.load(MODEL)("anna1.wav").numpy()
    other = unbabble.load(MODEL)("anna2.wav").numpy()
    assert one @ other == pytest.approx(pairs[0]["likeness"], abs=1e-5)


def test_each_recording_with_an_enrolled_person(here):
    report = unbabble.verify(
        "anna2.wav", "ben1.wav", enroll=["anna1.wav", "short.wav"], model=MODEL, quiet=True
    )
    assert [each["other"] for each in report.pairs] == ["anna2.wav", "ben1.wav"]
    vectors = [unbabble.load(MODEL)(name).numpy() for name in ("anna1.wav", "short.wav", "ben1.wav")]
    mean = (vectors[0] + vectors[1]) / np.linalg.norm(vectors[0] + vectors[1])
    assert report.pairs[1]["likeness"] == pytest.approx(mean @ vectors[2], abs=1e-5)
    single = unbabble.verify("ben1.wav", enroll="anna1.wav", model=MODEL, quiet=True)
    assert (single.pairs[0]["one"], single.pairs[0]["other"]) == ("anna1.wav", "ben1.wav")


def test_the_prior_moves_the_answer(here, calibrated):
    options = {"model": MODEL, "calibration": "own.json", "quiet": True}
    even, rare = (
        unbabble.verify("anna1.wav", "anna2.wav", prior=prior, **options).pairs[0]["probability"]
        for prior in (0.5, 0.01)
    )
    assert rare / (1 - rare) == pytest.approx(even / (1 - even) / 99)


def test_what_an_embedder_that_nobody_calibrated_says(here, capsys):
    assert cli.run(["verify", "anna1.wav", "ben1.wav", "--model", MODEL]) == 0
    printed = capsys.readouterr()
    assert f"Nobody has calibrated '{MODEL}'" in printed.err
    assert "one person" not in printed.out


def test_what_cannot_be_compared_is_left_out(here, capsys):
    code = cli.run(
        [
            "verify",
            "anna1.wav",
            "silent.wav",
            "noise.wav",
            "none.wav",
            "short.wav",
            "--model",
            MODEL,
            "--report",
            "r.json",
        ]
    )
    assert code == 1
    content = json.loads((here / "r.json").read_text())
    assert [(each["one"], each["other"]) for each in content["pairs"]] == [("anna1.wav", "short.wav")]
    said = capsys.readouterr().err
    assert "silent.wav: The recording is silent." in said
    assert "noise.wav: Nobody seems to speak in it." in said
    assert "none.wav" in said
    assert "short.wav: Only 0.5 s of speech" in said
    assert unbabble.verify("anna1.wav", enroll="silent.wav", model=MODEL, quiet=True).pairs == []


def trials(here, labels=True, parts=2):
    names = [f"{name}{part}.wav" for name in ("anna", "ben", "carol") for part in range(1, parts + 1)]
    lines = [
        f"{int(one[:3] == other[:3])} {one} {other}" if labels else f"{one} {other}"
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    ]
    (here / "trials.txt").write_text("# all pairs\n" + "\n".join(lines) + "\n")


def test_labelled_trials_have_error_rates_and_calibrate(here, capsys):
    for number, name in enumerate(("anna", "ben", "carol"), 1):
        samples, rate = soundfile.read(DEMO / f"reference{number}.flac")
        for part, piece in enumerate(np.array_split(samples, 5), 1):
            soundfile.write(here / f"{name}{part}.wav", piece, rate)
    trials(here, parts=5)
    command = [
        "verify",
        "--trials",
        "trials.txt",
        "--model",
        MODEL,
        "--report",
        "r.json",
        "--calibrate",
        "c.json",
    ]
    assert cli.run(command) == 0
    content = json.loads((here / "r.json").read_text())
    figures = content["trials"]
    assert (figures["same"], figures["different"]) == (30, 75)
    assert 0 <= figures["equal_error_rate"]["low"] <= figures["equal_error_rate"]["value"] <= 1
    assert "ratio_cost" not in figures
    assert "Equal error rate" in capsys.readouterr().err
    report = unbabble.verify(trials="trials.txt", model=MODEL, calibration="c.json", quiet=True)
    likeness = np.array([each["likeness"] for each in report.pairs])
    probable = np.array([each["probability"] for each in report.pairs])
    same = np.array([each["same"] for each in report.pairs])
    assert (np.diff(probable[likeness.argsort()]) >= 0).all()
    assert probable[same].mean() > 0.5 > probable[~same].mean()
    assert 0 <= report.trials["ratio_cost"] < 1


def test_few_pairs_calibrate_nothing(here):
    (here / "few.txt").write_text("1 anna1.wav anna2.wav\n1 anna2.wav anna1.wav\n0 anna1.wav ben1.wav\n")
    with pytest.raises(UsageError, match=r"30 pairs of one person and 30 of two: here are 1 and 1\.$"):
        unbabble.verify(trials="few.txt", calibrate="c.json", model=MODEL, quiet=True)
    assert not (here / "c.json").exists()


def test_labels_the_wrong_way_round_calibrate_nothing():
    pairs = [{"likeness": likeness, "same": likeness < 0} for likeness in np.linspace(-1, 1, 60)]
    with pytest.raises(InputError, match=r"no more alike .* are labels 1 for one person\?$"):
        calibrated_by(pairs, MODEL)


def test_trials_without_labels_are_pairs(here):
    trials(here, labels=False)
    report = unbabble.verify(trials="trials.txt", model=MODEL, quiet=True)
    assert len(report.pairs) == 15
    assert report.trials == {}
    with pytest.raises(UsageError, match="--calibrate is for --trials with labels"):
        unbabble.verify(trials="trials.txt", calibrate="c.json", model=MODEL, quiet=True)


def test_what_makes_no_sense_is_refused(here):
    trials(here)
    for given, options, sentence in (
        (("anna1.wav",), {}, "two recordings or more"),
        (("anna1.wav", "anna1.wav"), {}, "two recordings or more"),
        (("anna1.wav", "ben1.wav"), {"prior": 1.0}, "prior"),
        (("anna1.wav",), {"trials": "trials.txt"}, "Either recordings or --trials"),
        (("anna1.wav", "ben1.wav"), {"calibrate": "c.json"}, "--calibrate is for --trials"),
        (("anna1.wav", "ben1.wav"), {"model": "gru.2x32"}, "does not tell speakers apart"),
    ):
        with pytest.raises(UsageError, match=sentence):
            unbabble.verify(*given, **{"model": MODEL, "quiet": True} | options)
    with pytest.raises(InputError, match="no file"):
        unbabble.verify(trials="none.txt", model=MODEL, quiet=True)
    assert not (here / "c.json").exists()


def test_lists_of_trials(tmp_path):
    path = tmp_path / "list.txt"
    for text in (
        "1 a.wav b.wav\n0 a.wav c/d.wav\n",
        "a.wav b.wav target\na.wav c/d.wav nontarget",
        "1\ta.wav\tb.wav\n0\ta.wav\tc/d.wav",
    ):
        path.write_text(text)
        assert read_trials(path) == [
            Trial(tmp_path / "a.wav", tmp_path / "b.wav", True),
            Trial(tmp_path / "a.wav", tmp_path / "c/d.wav", False),
        ]
    path.write_text("my voice.wav\tyour voice.wav\n")
    assert read_trials(path) == [Trial(tmp_path / "my voice.wav", tmp_path / "your voice.wav", None)]
    for text, sentence in (
        ("", "no trials"),
        ("a.wav", "Line 1"),
        ("1 a b\n2 a b\n", "Line 2"),
        ("1 a b\na b", "others have none"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=sentence):
            read_trials(path)


def test_speakers_are_known_by_their_pairs():
    a, b, c, d = (Path(name) for name in "abcd")
    found = speakers_of([Trial(a, b, True), Trial(c, d, False), Trial(c, b, True)])
    assert found[a] == found[b] == found[c] != found[d]
    with pytest.raises(UsageError, match="of two people by their own trial"):
        speakers_of([Trial(a, b, True), Trial(b, c, True), Trial(a, c, False)])


def test_shares_are_never_certain():
    assert percent(0.0) == "below 0.1 %"
    assert percent(1.0) == "above 99.9 %"
    assert percent(0.5) == "50 %"
