"""``unbabble score`` without the true voices."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from unbabble import cli
from unbabble.base.errors import UsageError
from unbabble.pipelines.score import UNSURE, WORDS
from unbabble.verbs.score import score
from unbabble.verbs.score_blind import find_blind_tasks
from unbabble.verbs.separate import separate

RATE = 8000


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(samples).T, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def recording(tmp_path, monkeypatch, packaged_scorer):
    """Two recordings and the voices of each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        voices = 0.1 * rng.standard_normal((2, RATE))
        write(tmp_path / "in" / f"{name}.wav", voices.sum(0))
        for k, voice in enumerate(voices, 1):
            write(tmp_path / "voices" / name / f"source{k}.wav", voice)
    return tmp_path


def test_a_recording_and_its_voices(recording, capsys):
    arguments = ["score", "in/a.wav", "voices/a/source1.wav", "voices/a/source2.wav", "--json", "scores.json"]
    assert cli.run(arguments) == 0
    table = capsys.readouterr().out
    voices = json.loads((recording / "scores.json").read_text())["files"][0]["details"]["voices"]
    assert [each["estimate"] for each in voices] == ["voices/a/source1.wav", "voices/a/source2.wav"]
    for each in voices:
        assert each["low_db"] <= each["si_snr_db"] <= each["high_db"]
        assert each["verdict"] in (*WORDS, UNSURE)
        assert f"{each['si_snr_db']:.1f} dB" in table
        assert each["verdict"] in table


def test_the_same_from_a_folder_a_pair_of_folders_and_a_manifest(recording):
    lines = [
        {"mixture": f"in/{n}.wav", "estimates": [f"voices/{n}/source{k}.wav" for k in (1, 2)]} for n in "ab"
    ]
    (recording / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    wanted = score("in/a.wav", "voices/a/source1.wav", "voices/a/source2.wav", quiet=True).files[0].details
    for arguments in (("in/a.wav", "voices/a"), ("in", "voices"), ("all.jsonl",)):
        found = score(*arguments, quiet=True)
        assert found.exit_code == 0
        assert [each["si_snr_db"] for each in found.files[0].details["voices"]] == [
            each["si_snr_db"] for each in wanted["voices"]
        ]
    keywords = score(mixture="in/a.wav", estimates=["voices/a"], quiet=True)
    assert keywords.files[0].details["voices"] == wanted["voices"]


def test_a_part_of_the_recording_is_scored_with_the_same_part_of_its_voices(recording, capsys):
    cut = slice(RATE // 4, 3 * RATE // 4)
    for name in ("in/a.wav", "voices/a/source1.wav", "voices/a/source2.wav"):
        samples = soundfile.read(recording / name)[0]
        write(recording / "cut" / name, samples[cut])
    wanted = score("cut/in/a.wav", "cut/voices/a", quiet=True).files[0].details["voices"]
    assert wanted != score("in/a.wav", "voices/a", quiet=True).files[0].details["voices"]
    for voices in ("voices/a", "cut/voices/a"):
        report = score("in/a.wav", voices, start=0.25, duration=0.5, quiet=True)
        assert report.exit_code == 0
        assert report.files[0].audio_seconds == 0.5
        for found, each in zip(report.files[0].details["voices"], wanted, strict=True):
            assert found["si_snr_db"] == each["si_snr_db"]
    means = [
        score(references=[f"{at}voices/a/source1.wav"], estimates=[f"{at}in/a.wav"], quiet=True, **part)
        for at, part in (("", {"start": 0.25, "duration": 0.5}), ("cut/", {}))
    ]
    assert means[0].mean() == means[1].mean()
    assert cli.run(["score", "in/a.wav", "voices/a", "--start", "9"]) == 1
    assert "has nothing at 9 s and after: it lasts 1.00 s." in capsys.readouterr().err


def test_one_that_fails_does_not_stop_the_others(recording, capsys):
    write(recording / "voices" / "a" / "source2.wav", np.zeros(100))
    assert cli.run(["score", "in", "voices"]) == 1
    printed = capsys.readouterr()
    assert "not of one recording" in printed.err
    assert "b.wav" in printed.out


def test_a_picture(recording, capsys):
    assert cli.run(["score", "in/a.wav", "voices/a", "--plot", "a.png"]) == 0
    assert cli.run(["score", "in", "voices", "--plot", "pictures"]) == 0
    for path in ("a.png", "pictures/a.png", "pictures/b.png"):
        assert (recording / path).read_bytes().startswith(b"\x89PNG")
    assert "Picture: a.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("in/a.wav", "voices/a", "--plot", "a.jpg"), ("in", "voices", "--plot", "a.png")]
)
def test_what_is_no_picture_is_refused(recording, capsys, arguments):
    assert cli.run(["score", *arguments]) == 2
    assert capsys.readouterr().err.startswith("unbabble: --plot takes ")
    assert not any(recording.glob("a.*"))


def test_what_separate_wrote(recording, save, capsys):
    network = save(recording / "network.safetensors")
    found = separate("in/a.wav", "in/b.wav", out=recording / "out", model=str(network), quiet=True)
    assert cli.run(["score", "out", "--json", "scores.json"]) == 0
    again = json.loads((recording / "scores.json").read_text())["files"]
    assert len(again) == 2
    for first, second in zip(found.files, again, strict=True):
        scores = [
            {name: value for name, value in each.items() if name != "estimate"}
            for each in second["details"]["voices"]
        ]
        assert scores == first.details["scores"]


def scored(*arguments, **options):
    report = score(*arguments, quiet=True, **options)
    assert report.exit_code == 0, report.files[0].error
    return [[each["si_snr_db"] for each in file.details["voices"]] for file in report.files]


def told(report):
    return [[each["si_snr_db"] for each in file.details["scores"]] for file in report.files]


def test_what_separate_wrote_is_scored_from_anywhere(recording, monkeypatch):
    """Also where the recordings were moved together with the results."""
    (recording / "project").mkdir()
    (recording / "in").rename(recording / "project" / "in")
    monkeypatch.chdir(recording / "project")
    wanted = told(separate("in", out=Path("out"), model="conv_tasnet.2talkers_8k", quiet=True))
    monkeypatch.chdir(recording / "voices")
    assert scored(recording / "project" / "out") == wanted
    assert scored(recording / "project" / "in", recording / "project" / "out") == wanted
    (recording / "project").rename(recording / "moved")
    assert scored(recording / "moved" / "out") == wanted
    (recording / "moved" / "in" / "a.wav").unlink()
    report = score(recording / "moved" / "out", quiet=True)
    assert [file.outcome for file in report.files] == ["failed", "done"]
    assert str(report.files[0].error).startswith("There is no file '")


def test_voices_are_scored_at_their_own_microphone(recording):
    write(recording / "many.wav", 0.1 * np.random.default_rng(3).laplace(size=(3, RATE)))
    separated = separate("many.wav", out=recording / "out", model="ica", set=["reference=1"], quiet=True)
    assert scored("out") == told(separated)
    assert scored("many.wav", "out/many", channel=1) != told(separated)


def test_a_dead_first_microphone_is_not_what_voices_are_scored_by(recording):
    samples = 0.1 * np.random.default_rng(3).laplace(size=(3, RATE))
    samples[0] = 0
    write(recording / "many.wav", samples)
    separated = separate("many.wav", out=recording / "out", model="ica", quiet=True)
    assert scored("out") == scored("many.wav", "out/many") == told(separated)


def test_voices_of_standard_input_need_their_recording(recording, monkeypatch):
    data = io.BytesIO((recording / "in" / "a.wav").read_bytes())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=data, isatty=lambda: False))
    separate("-", out=recording / "out", model="conv_tasnet.2talkers_8k", quiet=True)
    (file,) = score("out", quiet=True).files
    assert file.error == (
        "The voices in 'out/stdin' came out of standard input: name what it was with --mixture, "
        "and them with --estimates."
    )


def test_separate_tells_the_score_and_can_be_told_not_to(recording, save, capsys):
    network = str(save(recording / "network.safetensors"))
    assert cli.run(["separate", "in/a.wav", "--out", "out", "--model", network, "--report", "r.json"]) == 0
    details = json.loads((recording / "r.json").read_text())["files"][0]["details"]
    assert len(details["scores"]) == details["sources"] == 2
    assert f"{details['scores'][0]['si_snr_db']:.1f} dB" in capsys.readouterr().err
    arguments = [
        "separate",
        "in/b.wav",
        "--out",
        "out",
        "--model",
        network,
        "--no-score",
        "--report",
        "r.json",
    ]
    assert cli.run(arguments) == 0
    assert "scores" not in json.loads((recording / "r.json").read_text())["files"][0]["details"]
    assert "estimated" not in capsys.readouterr().err


def test_what_cannot_be_scored_is_separated_all_the_same(recording, save, capsys):
    write(recording / "short.wav", 0.1 * np.random.default_rng(0).standard_normal(100))
    network = str(save(recording / "network.safetensors"))
    assert cli.run(["separate", "short.wav", "--out", "out", "--model", network]) == 0
    assert "Not scored: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name a recording"),
        (["in/a.wav"], "Name the voices"),
        (["in"], "not one that `unbabble separate` wrote"),
        (["in", "in/a.wav"], "comes the folder of their voices"),
        (["in/a.wav", "voices/a", "--metrics", "stoi"], "--references"),
        (["in/a.wav", "voices/a", "--channel", "0"], "counted from 1"),
        (["in/a.wav", "--mixture", "in/a.wav"], "both without"),
    ],
)
def test_requests_that_make_no_sense(recording, capsys, arguments, words):
    assert cli.run(["score", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_broken_manifest(recording):
    for text in ("", "{}", "nonsense", '{"mixture": 1, "estimates": 2}'):
        (recording / "bad.jsonl").write_text(text)
        with pytest.raises(UsageError, match=r"Manifest|manifest"):
            find_blind_tasks([recording / "bad.jsonl"], None, ())
