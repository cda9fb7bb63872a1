"""What verbs share: results of one recording are never those of another, nor of other files than now."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from unbabble import cli
from unbabble.base import weights
from unbabble.base.registry import create, method
from unbabble.base.report import Report
from unbabble.verbs.enhance import enhance
from unbabble.verbs.extract import extract
from unbabble.verbs.separate import separate
from unbabble.verbs.stream import stream

RATE = 8000
ICA = {"model": "ica", "no_score": True, "quiet": True}
LIVE = {"model": "online_auxiva", "set": ["window_length=256"], "warmup": 0.1, "quiet": True}


def make(path: Path, seed: int = 0, channels: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.05 * np.random.default_rng(seed).laplace(size=(RATE, channels))
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcome(report: Report) -> str:
    (file,) = report.files
    assert file.outcome != "failed", file.error
    return file.outcome


def kept(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def piped(monkeypatch, path: Path) -> str:
    """Standard input is the recording in ``path``."""
    data = io.BytesIO(path.read_bytes())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=data, isatty=lambda: False))
    return "-"


@pytest.mark.parametrize("listed", ["calls.txt", "call", "linked.json"])
def test_no_report_takes_the_place_of_what_is_read(here, listed, capsys):
    make(here / "call.wav").rename(here / "call")
    (here / "linked.json").symlink_to("call")
    (here / "calls.txt").write_text("call\n")
    before = kept(here)
    assert cli.run(["separate", "call", "calls.txt", "--model", "ica", "--no-score", "--report", listed]) == 2
    assert f"unbabble: Cannot write '{listed}': it is read here" in capsys.readouterr().err
    assert kept(here) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("verb", "options"), [(separate, ICA), (stream, LIVE)])
def test_recordings_of_one_name_keep_their_folders(here, verb, options, overwrite):
    first, second = make(here / "a" / "x.wav", 0), make(here / "b" / "x.wav", 1)
    options = options | {"out": here / "o"}
    verb(first, **options)
    before = kept(here / "o" / "x")
    assert outcome(verb(second, overwrite=overwrite, **options)) == "done"
    assert kept(here / "o" / "x") == before
    (own,) = [folder.name for folder in (here / "o").iterdir() if folder.name != "x"]
    assert own.startswith("x-")
    for path, folder in ((second, own), (first, "x")):
        report = verb(path, **options)
        assert outcome(report) == "skipped"
        assert Path(report.files[0].outputs[0]).parent.name == folder
    assert len(list((here / "o").iterdir())) == 2


def test_folders_do_not_depend_on_what_else_is_asked_for(here):
    paths = [make(here / folder / "x.wav", seed) for seed, folder in enumerate("abc")]
    separate(*paths, out=here / "together", **ICA)
    for path in paths:
        separate(path, out=here / "alone", **ICA)
    names = [sorted(each.name for each in (here / out).iterdir()) for out in ("together", "alone")]
    assert names[0] == names[1]
    assert {outcome(separate(path, out=here / "together", **ICA)) for path in paths} == {"skipped"}


def test_standard_input_is_known_by_what_it_holds(here, monkeypatch):
    paths = [make(here / f"{seed}.wav", seed) for seed in range(2)]
    folders = []
    for path in (*paths, *paths):
        report = separate(piped(monkeypatch, path), out=here / "o", **ICA)
        folders.append((outcome(report), Path(report.files[0].outputs[0]).parent.name))
    assert [each[0] for each in folders] == ["done", "done", "skipped", "skipped"]
    assert folders[0][1] == folders[2][1] == "stdin"
    assert folders[1][1] == folders[3][1] != "stdin"


def test_what_arrived_before_stays(here, monkeypatch):
    path, folders = make(here / "x.wav"), []
    for overwrite in (False, False, True):
        report = stream(piped(monkeypatch, path), out=here / "o", overwrite=overwrite, **LIVE)
        folders.append(Path(report.files[0].outputs[0]).parent.name)
    assert folders == ["stdin", "stdin-2", "stdin"]


def test_where_nothing_arrives_nothing_is_left(here, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False))
    raw = {"subtype": "pcm_16", "rate": RATE, "channels": 2}
    assert stream("-", out=here / "o", **raw, **LIVE).files[0].error == "Nothing was recorded."
    assert list((here / "o").iterdir()) == []


def test_another_verb_and_what_is_nobodys_are_not_touched(here):
    path = make(here / "x.wav")
    (here / "o" / "x").mkdir(parents=True)
    (here / "o" / "x" / "source1.wav").write_text("mine")
    separate(path, out=here / "o", **ICA)
    assert kept(here / "o" / "x") == {"source1.wav": b"mine"}
    separate(path, out=here / "p", **ICA)
    before = kept(here / "p" / "x")
    stream(path, out=here / "p", **LIVE)
    assert kept(here / "p" / "x") == before
    assert outcome(separate(path, out=here / "p", **ICA)) == "skipped"


def test_a_recording_that_moved_keeps_its_results(here):
    path = make(here / "x.wav")
    separate(path, out=here / "o", **ICA)
    assert (
        outcome(separate(path.rename(here / "in.wav").rename(here / "deep.wav"), out=here / "o", **ICA))
        == "done"
    )
    (here / "sub").mkdir()
    moved = (here / "deep.wav").rename(here / "sub" / "x.wav")
    assert outcome(separate(moved, out=here / "o", **ICA)) == "skipped"


def test_earlier_results_stay_where_new_ones_fail(here):
    path = make(here / "x.wav")
    separate(path, out=here / "o", **ICA)
    before = kept(here / "o")
    path.write_text("no sound any more\n")
    assert separate(path, out=here / "o", **ICA).exit_code == 1
    assert kept(here / "o") == before


def test_a_name_of_dots_leads_nowhere_else(here):
    report = separate(make(here / "x.wav").rename(here / "...wav"), out=here / "deep" / "o", **ICA)
    assert Path(report.files[0].outputs[0]).parent == here / "deep" / "o" / "recording"
    assert [each.name for each in (here / "deep").iterdir()] == ["o"]


@pytest.mark.parametrize("inputs", ["*.wav", "."])
def test_results_beside_their_recordings_are_no_recordings(here, inputs):
    make(here / "x.wav")
    for wanted in ("done", "skipped"):
        assert outcome(separate(inputs, out=Path("."), **ICA)) == wanted
    assert sorted(each.name for each in here.iterdir()) == ["x", "x.wav"]
    assert cli.run(["separate", "x", "--model", "ica"]) == 2


def test_links_to_one_file_are_named(here, capsys):
    make(here / "in" / "a.wav")
    (here / "in" / "b.wav").symlink_to(here / "in" / "a.wav")
    assert cli.run(["separate", "in", "--model", "ica"]) == 0
    assert "in/a.wav: 'in/b.wav' is the same file" in capsys.readouterr().err


def replaced(path: Path, write) -> None:
    """Write ``path`` anew, with the size and time of before."""
    size, status = path.stat().st_size, path.stat()
    write()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == size


def test_other_weights_under_the_same_name_are_other_results(here, save):
    network = save(here / "n.safetensors", seed=0)
    path, options = make(here / "x.wav", channels=1), {"model": "n.safetensors", "out": here / "o"}
    options |= {"no_score": True, "quiet": True}
    assert [outcome(separate(path, **options)) for _ in range(2)] == ["done", "skipped"]
    before = kept(here / "o" / "x")
    replaced(network, lambda: save(network, seed=1))
    assert outcome(separate(path, **options)) == "done"
    assert kept(here / "o" / "x")["source1.wav"] != before["source1.wav"]
    assert outcome(separate(path, **options)) == "skipped"


def test_other_dictionaries_under_the_same_name_are_other_results(here):
    for seed, name in enumerate("ab"):
        make(here / f"{name}.wav", seed, channels=1)
    path = make(here / "x.wav", 2, channels=1)
    options = ICA | {"model": "nmf", "iterations": 2, "set": ["dictionaries=a.wav,b.wav"], "out": here / "o"}
    assert [outcome(separate(path, **options)) for _ in range(2)] == ["done", "skipped"]
    replaced(here / "b.wav", lambda: make(here / "b.wav", 3, channels=1))
    assert outcome(separate(path, **options)) == "done"


def save_tiny(path: Path, name: str, seed: int, **options) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create(name, **options)
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    return path


def test_another_enhancer_under_the_same_name_is_another_result(here):
    model = save_tiny(here / "me.safetensors", "gru", 0, hidden=2, layers=1)
    path = make(here / "x.wav", channels=1)
    options = {"model": "me.safetensors", "strength": 20.0, "out": here / "o", "quiet": True}
    assert [outcome(enhance(path, **options)) for _ in range(2)] == ["done", "skipped"]
    before = kept(here / "o")["x/enhanced.wav"]
    replaced(model, lambda: save_tiny(model, "gru", 1, hidden=2, layers=1))
    assert outcome(enhance(path, **options)) == "done"
    assert kept(here / "o")["x/enhanced.wav"] != before


def test_another_extractor_under_the_same_name_is_another_result(here, monkeypatch):
    from unbabble.pipelines import extract as extracting

    monkeypatch.setattr(extracting, "probability_of_several", lambda recording: 0.1)
    monkeypatch.setattr(extracting, "likeness_of_parts", lambda embedder, heard, rate: 0.9)
    tiny = method("personal_bsrnn").TINY
    model = save_tiny(here / "e.safetensors", "personal_bsrnn", 0, **tiny)
    path, me = make(here / "x.wav", channels=1), make(here / "me.wav", 5, channels=1)
    options = {"enroll": [me], "model": "e.safetensors", "out": here / "o", "quiet": True}
    assert [outcome(extract(path, **options)) for _ in range(2)] == ["done", "skipped"]
    before = kept(here / "o")["x/voice.wav"]
    replaced(model, lambda: save_tiny(model, "personal_bsrnn", 1, **tiny))
    assert outcome(extract(path, **options)) == "done"
    assert kept(here / "o")["x/voice.wav"] != before


def test_what_a_killed_run_left_is_removed_by_the_next(here):
    make(here / "x.wav")
    code = (
        "import os, signal, sys, unbabble.pipelines.separate as pipeline, unbabble.cli as cli\n"
        "pipeline.Separation.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.run(sys.argv[1:])"
    )
    arguments = ["separate", "x.wav", "--model", "ica", "--no-score"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert len(list((here / "voices").iterdir())) == 1  # what was in the making
    assert outcome(separate("x.wav", **ICA)) == "done"
    assert [each.name for each in (here / "voices").iterdir()] == ["x"]


def test_the_record_says_whose_results_these_are(here):
    path = make(here / "in" / "x.wav")
    separate(path, out=here / "o", **ICA)
    record = json.loads((here / "o" / "x" / "unbabble.json").read_text())
    assert record["command"] == "separate"
    assert record["source"]["path"] == str(path)
    assert record["source"]["relative"] == "../../in/x.wav"
