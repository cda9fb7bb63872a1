import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

import unbabble
from unbabble.base.errors import InputError, UsageError
from unbabble.base.report import Report
from unbabble.cli import run
from unbabble.data import manifest
from unbabble.data.manifest import ManifestSet
from unbabble.verbs.prepare import prepare

KINDS = ("mix_clean", "mix_both", "s1", "s2", "noise")


def write(path: Path, rate: int = 8000, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(len(str(path))).standard_normal(round(rate * seconds))
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Libri2Mix at two rates, without its larger training split."""
    folder = tmp_path / "Libri2Mix"
    for rate in (8000, 16000):
        for split, count in (("train-100", 4), ("dev", 2), ("test", 2)):
            for number in range(count):
                for kind in KINDS:
                    name = f"{number}-1-1_{number + 1}-2-2.wav"
                    write(folder / f"wav{rate // 1000}k/min/{split}/{kind}/{name}", rate)
    return folder


def made(layout: str, folder: Path, out: Path, **options) -> Report:
    report = prepare(layout, folder, out=out, quiet=True, **options)
    assert isinstance(report, Report)
    return report


def test_a_manifest_for_each_split_condition_and_rate(corpus: Path, tmp_path: Path):
    report = made("libri2mix", corpus, tmp_path / "m", report=tmp_path / "report.json")
    assert report.exit_code == 0
    names = [
        f"libri2mix-{rate}-min-{kind}-{split}.jsonl"
        for rate in ("16k", "8k")
        for kind in ("mix_both", "mix_clean")
        for split in ("dev", "test", "train-100")
    ]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == names
    mixtures = ManifestSet(tmp_path / "m/libri2mix-16k-min-mix_both-train-100.jsonl", 16000, resample=False)
    assert (len(mixtures), mixtures.talkers) == (4, 2)
    assert all(item.noise is not None and item.sources.shape == (2, 8000) for item in mixtures)
    assert mixtures.entries[1].seconds == 0.5
    (train,) = (
        f
        for f in json.loads((tmp_path / "report.json").read_text())["files"]
        if "8k-min-mix_clean-t" in f["input"] and "100" in f["input"]
    )
    assert train["details"] | {"left_out": 0} == {
        "split": "train-100", "items": 4, "hours": 0.001, "speakers": 5, "speakers_with_one_utterance": 2,
        "sample_rate": [8000], "left_out": 0,
    }  # fmt: skip


def test_a_manifest_of_another_corpus_is_never_replaced(tmp_path: Path):
    for folder in ("one", "two"):
        for speaker in "ab":
            for number in range(2):
                write(tmp_path / folder / "train" / speaker / f"{number}.wav")
    (manifest_path,) = [Path(file.input) for file in made("folder", tmp_path / "one", tmp_path / "m").files]
    before = manifest_path.read_text()
    with pytest.raises(UsageError, match="names none of these recordings"):
        prepare("folder", tmp_path / "two", out=tmp_path / "m", quiet=True)
    assert manifest_path.read_text() == before
    write(tmp_path / "one" / "train" / "c" / "0.wav")
    assert made("folder", tmp_path / "one", tmp_path / "m").exit_code == 0
    assert manifest_path.read_text() != before


def test_names_that_are_no_utf8(tmp_path: Path):
    for number in range(2):
        write(tmp_path / "c" / "train" / "a" / f"{number}.wav")
    odd = (tmp_path / "c/train/a/0.wav").rename(tmp_path / "c/train/a" / os.fsdecode(b"caf\xe9.wav"))
    report = made("folder", tmp_path / "c", tmp_path / "m")
    assert report.exit_code == 0, report.files[0].error
    listed = [file for entry in manifest.read(report.files[0].outputs[0]) for file in entry.files]
    assert any(path.samefile(odd) for path in listed)


def test_some_splits_at_one_rate(corpus: Path, tmp_path: Path):
    report = made("libri2mix", corpus, tmp_path / "m", split=["train", "tt"], sample_rate=8000)
    assert [Path(file.input).name for file in report.files] == [
        f"libri2mix-8k-min-{kind}-{split}.jsonl"
        for split in ("test", "train-100")
        for kind in ("mix_clean", "mix_both")
    ]
    with pytest.raises(InputError, match="has no split 'other', but dev, test, train-100"):
        made("libri2mix", corpus, tmp_path / "m", split=["other"])
    with pytest.raises(InputError, match="has nothing at 44100 Hz, but at 8000 and 16000 Hz"):
        made("libri2mix", corpus, tmp_path / "m", sample_rate=44100)


def test_what_is_missing_or_broken_is_named_and_left_out(corpus: Path, tmp_path: Path):
    base = corpus / "wav8k/min/train-100"
    (base / "s2/0-1-1_1-2-2.wav").unlink()
    (base / "mix_clean/1-1-1_2-2-2.wav").write_bytes(b"no sound")
    write(base / "s1/2-1-1_3-2-2.wav", 16000)
    report = made("libri2mix", corpus, tmp_path / "m", split=["train-100"], sample_rate=8000)
    clean, both = report.files
    assert report.exit_code == 1
    assert clean.error is not None
    assert "3 of 4 items; the first: " in clean.error
    assert "s2/0-1-1_1-2-2.wav" in clean.error
    assert len(clean.details["left_out"]) == 3
    assert (both.details["items"], len(both.details["left_out"])) == (2, 2)
    assert [entry.id for entry in manifest.read(clean.outputs[0])] == ["3-1-1_4-2-2"]


def test_empty_split(corpus: Path, tmp_path: Path):
    for file in (corpus / "wav8k/min/dev").rglob("*.wav"):
        file.unlink()
    report = made("libri2mix", corpus, tmp_path / "m", sample_rate=8000)
    errors = [file.error for file in report.files if file.outcome == "failed"]
    assert report.exit_code == 1
    assert len(errors) == 2
    assert "mix_clean-dev.jsonl' is empty" in str(errors[0])
    assert not list((tmp_path / "m").glob("*dev*"))


def test_speakers_with_one_utterance_are_kept_and_counted(tmp_path: Path):
    for name in ("1/1/1-1-0001", "1/1/1-1-0002", "2/1/2-1-0001"):
        write(tmp_path / f"LibriSpeech/dev-clean/{name}.flac", 16000)
    (found,) = made("librispeech", tmp_path, tmp_path / "m").files
    assert found.outcome == "done"
    assert found.warnings == ["Kept with one utterance: 1 of 2 speakers."]
    assert [entry.speakers for entry in manifest.read(found.outputs[0])] == [("1",), ("1",), ("2",)]


def test_own_recordings_are_separated_by_their_manifest(tmp_path: Path):
    rng = np.random.default_rng(0)
    (tmp_path / "own").mkdir()
    soundfile.write(tmp_path / "own/a.wav", rng.laplace(size=(4000, 2)) @ rng.normal(size=(2, 2)) / 20, 8000)
    assert run(["prepare", "folder", str(tmp_path / "own"), "--out", str(tmp_path / "m"), "--quiet"]) == 0
    report = unbabble.separate(
        tmp_path / "m/folder-own.jsonl", model="ica", out=tmp_path / "voices", quiet=True
    )
    assert report.exit_code == 0
    assert len(list((tmp_path / "voices/a").glob("source*.wav"))) == 2


def test_command_line(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert run(["prepare"]) == 0
    listing = capsys.readouterr().out
    assert "libri2mix: 2 talkers" in listing
    assert "wav8k/min/{tr,cv,tt}/{mix_clean," in listing
    out = str(tmp_path / "m")
    assert (
        run(["prepare", "libri2mix", str(corpus), "--out", out, "--split", "test", "--sample-rate", "8000"])
        == 0
    )
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "libri2mix-8k-min-mix_both-test.jsonl" in printed.err
    assert f"2 manifests in '{out}'" in printed.err
    assert run(["prepare", "libri2mix", str(corpus), "--out", out]) == 0
    assert "Not there: train-360." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["wahm", "x"], 2, "Did you mean 'wham'?"),
        (["wham"], 2, "unbabble prepare wham DIR"),
        (["wham", "nowhere"], 1, "There is no folder 'nowhere'"),
        (["wham", "."], 1, "does not look like wham"),
        (["folder", "own", "--out", "own/a.wav"], 2, "it is a file"),
    ],
)
def test_nonsense_is_one_sentence(
    arguments: list[str], code: int, sentence: str, tmp_path: Path, capsys, monkeypatch
):
    write(tmp_path / "own/a.wav")
    monkeypatch.chdir(tmp_path)
    assert run(["prepare", *arguments]) == code
    message = capsys.readouterr().err
    assert sentence in message
    assert message.count("\n") == 1


def test_no_folder_is_a_usage_error():
    with pytest.raises(UsageError, match="Name the folder"):
        prepare("wham")
