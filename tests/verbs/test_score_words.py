"""``unbabble score --transcripts``: what goes together, rates, rows, intervals, several talkers, what is refused."""

import json

import pytest

from unbabble import cli
from unbabble.base.errors import UsageError
from unbabble.text.transcripts import Said
from unbabble.verbs.score_words import find_word_tasks

REFERENCES = """file,speaker,sex,text
train/a1.ogg,ann,F,Good morning to you.
train/a2.ogg,ann,F,How are you?
train/b1.ogg,bob,M,I am fine
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``unbabble score --json s.json``: exit code, its content, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        (tmp_path / "s.json").unlink(missing_ok=True)
        code = cli.run(["score", *map(str, arguments), "--json", "s.json"])
        report = json.loads((tmp_path / "s.json").read_text()) if (tmp_path / "s.json").exists() else {}
        return code, report, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    """References of three recordings, and transcripts of a folder each, with two errors in nine words."""
    (tmp_path / "said.csv").write_text(REFERENCES)
    for name, text in (("a1", "good morning to shoe"), ("a2", "how are you"), ("b1", "i am")):
        (tmp_path / "heard" / name).mkdir(parents=True)
        (tmp_path / "heard" / name / f"{name}.txt").write_text(text)
    return tmp_path


def test_rates_of_all_and_of_each_speaker(call, folder):
    code, report, out, err = call("--transcripts", "heard", "--references", "said.csv")
    assert code == 0
    total = report["total"]["words"]
    assert total["rate"] == pytest.approx(2 / 10)
    assert (total["hits"], total["substitutions"], total["deletions"], total["insertions"]) == (8, 1, 1, 0)
    assert total["low"] <= total["rate"] <= total["high"]
    assert report["total"]["drawn"] == "speaker"
    rates = {row["value"]: row["words"]["rate"] for row in report["rows"]}
    assert rates == {"ann": pytest.approx(1 / 7), "bob": pytest.approx(1 / 3)}
    assert "speaker ann" in out
    assert "20.0 %" in out
    assert "WER" in out
    assert "cpWER" not in out
    assert "lower case" in err


@pytest.mark.parametrize("side", ["--references", "--transcripts"])
def test_what_is_given_twice_is_not_counted_twice(call, folder, side):
    given = {"--references": "said.csv", "--transcripts": "heard"}
    other = {"--references": "other.csv", "--transcripts": "heard"}[side]
    (folder / "other.csv").write_text("file,speaker,text\ntrain/a2.ogg,ann,How are you?\n")
    code, report, _, err = call(*(part for pair in given.items() for part in pair), side, other)
    assert (code, report) == (2, {})
    assert "would be counted twice: it stands in" in err
    assert err.count("\n") == 1
    (folder / "other.csv").write_text("file,speaker,text\ntrain/a2.ogg,bob,Fine\n")
    talkers = ("--transcripts", "heard", "--references", "said.csv", "--references", "other.csv")
    assert call(*talkers)[0] == 0, "each talker may have a table"


def test_rows_of_a_column(call, folder):
    _, report, out, _ = call("--transcripts", "heard", "--references", "said.csv", "--by", "sex", "speaker")
    assert [(row["by"], row["value"], row["recordings"]) for row in report["rows"]] == [
        ("sex", "F", 2),
        ("sex", "M", 1),
        ("speaker", "ann", 2),
        ("speaker", "bob", 1),
    ]
    assert "sex F" in out
    code, _, _, err = call("--transcripts", "heard", "--references", "said.csv", "--by", "age")
    assert code == 2
    assert "no column 'age'" in err


def test_alignments_are_shown(call, folder):
    _, report, out, _ = call("--transcripts", "heard", "--references", "said.csv", "--alignments")
    assert "good morning to you\ngood morning to shoe\n" in out.replace("  ", " ").replace(" \n", "\n")
    (talker,) = report["files"][2]["details"]["talkers"]
    assert talker["alignment"] == [["i", "i"], ["am", "am"], ["fine", None]]


def test_files_without_a_partner_are_named(call, folder):
    (folder / "heard" / "b1" / "b1.txt").unlink()
    (folder / "heard" / "c.txt").write_text("hello")
    code, report, _, err = call("--transcripts", "heard", "--references", "said.csv")
    assert code == 1
    assert "There is no transcript of 'b1'" in err
    assert "Without a reference, not scored: c." in err
    assert report["total"]["words"]["rate"] == pytest.approx(1 / 7), "of those that have one"
    (folder / "other.txt").write_text("hello")
    code, _, _, err = call("--transcripts", "other.txt", "--references", "said.csv")
    assert code == 2
    assert "'a1'" in err
    assert "'other'" in err


def test_phones_and_what_became_of_each(call, tmp_path):
    (tmp_path / "said.csv").write_text("file,text\na,S IH T\nb,S AE T\n")
    (tmp_path / "heard.csv").write_text("file,text\na,T IH T\nb,S AE\n")
    code, report, out, _ = call("--transcripts", "heard.csv", "--references", "said.csv", "--phones")
    assert code == 0
    assert report["total"]["phones"]["rate"] == pytest.approx(2 / 6)
    assert report["confusions"]["S"] == {
        "said": 2, "right": 1, "substituted": {"T": 1}, "deleted": 0, "inserted": 0,
    }  # fmt: skip
    assert report["confusions"]["T"]["deleted"] == 1
    assert "PER" in out
    assert "T 1" in out


def test_talkers_of_one_recording_are_given_their_texts(call, tmp_path):
    (tmp_path / "said.stm").write_text(
        "m 1 ann 0 1 good morning\nm 1 bob 0.5 2 how are you\nm 1 ann 3 4 fine\n"
    )
    segments = [
        {"start": 0.4, "end": 2, "text": " how were you", "speaker": "speaker1"},
        {"start": 0, "end": 1, "text": " good morning", "speaker": "speaker2"},
        {"start": 3, "end": 4, "text": " fine", "speaker": "speaker2"},
    ]
    (tmp_path / "m.json").write_text(json.dumps({"segments": segments}))
    code, report, out, _ = call("--transcripts", "m.json", "--references", "said.stm")
    assert code == 0
    assert "cpWER" in out
    assert report["total"]["words"]["rate"] == pytest.approx(1 / 6)
    talkers = report["files"][0]["details"]["talkers"]
    assert [(each["speaker"], each["transcript"], each["words"]["substitutions"]) for each in talkers] == [
        ("ann", "speaker2", 0),
        ("bob", "speaker1", 1),
    ]
    assert [row["words"]["rate"] for row in report["rows"]] == [0, pytest.approx(1 / 3)]
    (tmp_path / "m.json").write_text(
        json.dumps({"segments": [{"start": 0, "end": 1, "text": "how are you"}]})
    )
    _, report, _, _ = call("--transcripts", "m.json", "--references", "said.stm")
    assert report["total"]["words"]["deletions"] == 3, "ann, who has no text"


def test_a_surplus_voice_is_all_insertions(call, tmp_path):
    (tmp_path / "said.csv").write_text("file,text\na,hello there\n")
    (tmp_path / "heard.stm").write_text("a 1 x 0 1 hello there\na 1 y 0 1 boo\n")
    _, report, _, _ = call("--transcripts", "heard.stm", "--references", "said.csv")
    assert report["total"]["words"]["insertions"] == 1
    assert report["total"]["words"]["rate"] == 0.5


def test_recordings_in_which_nobody_speaks_count_what_is_invented(call, tmp_path):
    (tmp_path / "said.csv").write_text("file,text\nnoise,\na,hello there\n")
    (tmp_path / "heard.csv").write_text("file,text\nnoise,thank you\na,hello there\n")
    _, report, _, _ = call("--transcripts", "heard.csv", "--references", "said.csv")
    assert report["total"]["words"]["rate"] == 1.0
    assert report["files"][0]["details"]["talkers"][0]["words"]["rate"] is None


def test_folders_tell_recordings_of_one_name_apart():
    said = [Said("a/1", "x"), Said("b/1", "y")]
    tasks, unused = find_word_tasks(said, [Said("b/1", "y"), Said("a/1", "z"), Said("c/1", "")])
    assert [(task.name, task.hypotheses) for task in tasks] == [("a/1", {None: "z"}), ("b/1", {None: "y"})]
    assert unused == ["c/1"]
    with pytest.raises(UsageError, match="No transcript is called like a reference"):
        find_word_tasks(said, [Said("x", "")])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--transcripts", "heard"], "--references"),
        (["--transcripts", "heard", "--references", "said.csv", "--metrics", "stoi"], "--metrics"),
        (["--transcripts", "heard", "--references", "said.csv", "--channel", "1"], "--channel"),
        (["a.wav", "--transcripts", "heard", "--references", "said.csv"], "a.wav"),
        (["--references", "a.wav", "--estimates", "b.wav", "--phones"], "--phones is for --transcripts"),
    ],
)
def test_options_that_would_have_no_effect(call, folder, arguments, reason):
    code, _, _, err = call(*arguments)
    assert code == 2
    assert reason in err


@pytest.mark.parametrize("read", ["said.csv", "heard/a1/a1.txt"])
def test_scores_never_replace_what_they_are_of(folder, monkeypatch, capsys, read):
    monkeypatch.chdir(folder)
    before = (folder / read).read_text()
    command = ["score", "--transcripts", "heard", "--references", "said.csv", "--json", read]
    assert cli.run(command) == 2
    assert "would be lost" in capsys.readouterr().err
    assert (folder / read).read_text() == before


def test_a_side_without_any_transcript_is_named(call, folder):
    (folder / "empty.csv").write_text("file,text\n")
    code, _, _, err = call("--transcripts", "empty.csv", "--references", "said.csv")
    assert code == 2
    assert "'empty.csv' holds no transcripts." in err
