"""``unbabble assess``: which prompt is that of which recording, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unbabble import cli
from unbabble.pipelines import assess
from unbabble.pipelines.assess import Assessment


class Repeats:
    """Says nothing of a recording but what its prompt was."""

    name = "repeats"

    def __call__(self, recording, prompt):
        return Assessment(tuple(prompt.split()), (), (), 0.0, (0.0, 0.0))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``unbabble assess``: exit code, the prompt of each recording that was assessed, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(assess, "load_assessor", lambda *_: Repeats())
    for name in ("ann/say.wav", "bob/say.wav", "other.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.full(1600, 0.1), 16000)

    def run(*arguments):
        code = cli.run(["assess", *arguments, "--report", "r.json"])
        report = Path("r.json")
        files = json.loads(report.read_text())["files"] if report.exists() else []
        prompts = {each["input"]: each["details"]["prompt"] for each in files if each["outcome"] == "done"}
        return code, prompts, capsys.readouterr().err

    return run


def test_folders_tell_prompts_of_one_name_apart(call):
    Path("p.csv").write_text(
        "file,text\nann/say.wav,of ann\nbob/say.wav,of bob\nelsewhere/other.ogg,of neither\n"
    )
    code, prompts, _ = call("ann", "bob", "other.wav", "--prompts", "p.csv")
    assert code == 0
    assert prompts == {"ann/say.wav": "of ann", "bob/say.wav": "of bob", "other.wav": "of neither"}


def test_prompts_that_nothing_tells_apart_are_refused(call):
    Path("p.csv").write_text("file,text\nx/other.wav,one\ny/other.wav,two\n")
    code, prompts, err = call("other.wav", "--prompts", "p.csv")
    assert (code, prompts) == (2, {})
    assert "'x/other'" in err
    assert "'y/other'" in err


def test_a_prompt_that_does_not_fit_is_doubted(call, monkeypatch):
    class Refuses(Repeats):
        def __call__(self, recording, prompt):
            return Assessment(tuple(prompt.split()), (), (), 7.86, (5.0, 9.0))

    code, _, err = call("other.wav", "--prompt", "of ann")
    assert (code, "another recording" in err) == (0, False)
    monkeypatch.setattr(assess, "load_assessor", lambda *_: Refuses())
    code, _, err = call("other.wav", "--prompt", "of ann")
    assert code == 0
    assert "786 % of the phones are wrong: the prompt may be that of another recording." in err


def test_a_prompt_of_several_rows_is_all_of_them(call):
    Path("p.csv").write_text("file,text\nother.wav,see the sun\nother.wav,and the sea\n")
    assert call("other.wav", "--prompts", "p.csv")[1] == {"other.wav": "see the sun and the sea"}


def test_a_text_that_cannot_be_read_stops_no_other(call):
    Path("ann/say.txt").write_bytes(b"caf\xe9")
    Path("bob/say.txt").write_text("see the sun")
    code, prompts, err = call("ann/say.wav", "bob/say.wav", "other.wav")
    assert (code, prompts) == (1, {"bob/say.wav": "see the sun"})
    assert "'ann/say.txt' is no text in UTF-8." in err.replace(f"{Path.cwd()}/", "")
    assert "no prompt for 'other.wav'" in err


@pytest.mark.parametrize("read", ["p.csv", "texts/other.txt", "other.txt"])
def test_a_report_never_replaces_a_prompt(call, capsys, read):
    Path(read).parent.mkdir(exist_ok=True)
    Path(read).write_text("file,text\nother.wav,hello\n")
    prompts = {"p.csv": ["--prompts", "p.csv"], "texts/other.txt": ["--prompts", "texts"], "other.txt": []}
    assert cli.run(["assess", "other.wav", *prompts[read], "--report", read]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert "hello" in Path(read).read_text()
