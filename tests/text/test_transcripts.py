"""Layouts of transcripts: each read from a few lines as its program writes them."""

import json

import pytest

from unbabble.base.errors import InputError, UsageError
from unbabble.text.transcripts import Said, read


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "good\n\nmorning\n", [Said("a", "good"), Said("a", "morning")]),
        ("a.txt", "", [Said("a", "")]),
        ("61-70968-0000.txt", "hello", [Said("61-70968-0000", "hello", "61")]),
        ("a.wav.txt", "[speaker1]: hello", [Said("a", "hello", "speaker1")]),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nhello\n", [Said("a", "hello", None, 1.0)]),
        ("a.tsv", "start\tend\ttext\n1000\t2000\thello\n", [Said("a", "hello", None, 1.0)]),
        ("all.csv", 'file,text\nx/a.wav,"yes, sir"\n', [Said("x/a", "yes, sir")]),
        (
            "all.tsv",
            'client_id\tpath\tsentence\tage\nann\ta.mp3\t"no" he said\tforty\n',
            [Said("a", '"no" he said', "ann", 0.0, {"age": "forty"})],
        ),
        (
            "all.jsonl",
            '{"audio_filepath": "x/a.wav", "text": "hello", "duration": 1.5}\n',
            [Said("x/a", "hello", None, 0.0, {"duration": "1.5"})],
        ),
        ("long.csv", f"file,text\na,{'word ' * 30_000}\n", [Said("a", "word " * 30_000)]),
        ("61-70968.TRANS.TXT", "61-70968-0000 GOOD DAY\n", [Said("61-70968-0000", "GOOD DAY", "61")]),
        ("61-70968.trans.txt", "61-70968-0000 GOOD DAY\n", [Said("61-70968-0000", "GOOD DAY", "61")]),
        ("all.trn", "good day (ann_1)\n (ann_2)\n", [Said("ann_1", "good day"), Said("ann_2", "")]),
        (
            "all.stm",
            ";; a comment\na 1 ann 0.5 1.5 <o,f0> good day\na 1 x 2 3 ignore_time_segment_in_scoring\n",
            [Said("a", "good day", "ann", 0.5)],
        ),
        ("all.ctm", "a 1 0.5 0.2 good 0.9\na 1 0.7 0.2 day 0.8 lex ann\n",
         [Said("a", "good", None, 0.5), Said("a", "day", "ann", 0.7)]),
    ],
)  # fmt: skip
def test_each_layout(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read(tmp_path / name) == expected


def test_a_folder_has_one_file_for_each_recording(tmp_path):
    files = {
        "a/a.json": json.dumps({"segments": [{"start": 0, "end": 1, "text": " from json"}]}),
        "a/a.txt": "not this",
        "b/b.txt": "from text",
        "c/unbabble.json": "{}",
        ".hidden/d.txt": "hidden",
        "notes.md": "nothing",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    said = [(each.recording, each.text) for each in read(tmp_path)]
    assert said == [("a/a", "from json"), ("b/b", "from text")]


@pytest.mark.parametrize(
    ("name", "content", "error", "reason"),
    [
        ("a.csv", "name,words\na,b\n", InputError, "no column file or text"),
        ("a.jsonl", "{", InputError, "no .jsonl table"),
        ("a.stm", "a 1 ann\n", InputError, "no .stm table"),
        ("a.jsonl", "3\n", InputError, "no .jsonl table"),
        ("a.jsonl", '{"file": "a", "text": "hello", "start": [1]}', InputError, "no .jsonl table"),
        ("a.trn", "hello\n", InputError, "without"),
        ("a.json", "{}", InputError, "no JSON of a transcript"),
        ("a.docx", "x", UsageError, "no file of transcripts"),
    ],
)
def test_what_is_not_what_it_is_called_is_named(tmp_path, name, content, error, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=reason) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read(tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no transcripts"):
        read(tmp_path / "empty")
