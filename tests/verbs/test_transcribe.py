"""``unbabble transcribe``: files and names, what is skipped, options, what is refused; with a false recogniser."""

import json

import numpy as np
import pytest
import soundfile

from unbabble import cli
from unbabble.base.errors import UsageError
from unbabble.base.files import DEMO_FOLDER
from unbabble.base.spans import Span, Transcript
from unbabble.pipelines import recognize
from unbabble.text.captions import read

RATE = 16000


class Always:
    """Says the same of whatever it is asked about."""

    sample_rate, note = RATE, ""

    def __call__(self, waveform, lengths=None):
        words = [Span(1 + k, 1.5 + k, word, score=score) for k, (word, score) in enumerate(SAID)]
        return [Transcript(tuple(words))] * len(waveform)


SAID = [("good", 0.9), ("morning", 0.8), ("everybody", 0.4)]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``unbabble transcribe``: exit code, entries of the report, stderr; ``call.asked`` is what was loaded."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def load(name, device="auto", language="auto", hotwords=(), **options):
        if name == "nothing":
            raise UsageError("There is no model 'nothing'.")
        asked.append((name, language, hotwords, options))
        return Always()

    monkeypatch.setattr(
        recognize, "recognizer_name", lambda name: "best.safetensors" if name == "auto" else name
    )
    monkeypatch.setattr(recognize, "load_recognizer", load)
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    samples, rate = soundfile.read(DEMO_FOLDER / "reference1.flac")
    soundfile.write(tmp_path / "talk.wav", samples, rate)

    def run(*arguments):
        (tmp_path / "r.json").unlink(missing_ok=True)
        code = cli.run(["transcribe", *map(str, arguments), "--report", "r.json"])
        report = tmp_path / "r.json"
        entries = json.loads(report.read_text())["files"] if report.is_file() else []
        return code, entries, capsys.readouterr().err

    run.asked = asked
    return run


def test_all_files_of_a_recording(call, tmp_path):
    code, (entry,), err = call("talk.wav")
    assert code == 0
    folder = tmp_path / "texts" / "talk"
    assert sorted(path.name for path in folder.iterdir()) == [
        "talk.json", "talk.srt", "talk.tsv", "talk.txt", "talk.vtt", "unbabble.json",
    ]  # fmt: skip
    assert (folder / "talk.txt").read_text() == "good morning everybody\n"
    assert [span.text for span in read((folder / "talk.srt").read_text(), "srt")] == [
        "good morning everybody"
    ]
    content = json.loads((folder / "talk.json").read_text())
    assert content["text"] == " good morning everybody"
    assert "words" not in content["segments"][0]
    details = entry["details"]
    assert details["words"] == 3
    assert details["confidence"] == pytest.approx(0.7)
    assert details["unsure"] == pytest.approx(1 / 3)
    assert 0 < details["speech_seconds"] <= entry["audio_seconds"]
    assert "Read: texts/talk/talk.txt" in err
    assert call("talk.wav")[1][0]["outcome"] == "skipped"
    assert call("talk.wav", "--words")[1][0]["outcome"] == "done"


def test_one_format_with_words(call, tmp_path):
    call("talk.wav", "--format", "json", "--words", "--out", "out")
    (path,) = (path for path in (tmp_path / "out" / "talk").iterdir() if path.name != "unbabble.json")
    (segment,) = json.loads(path.read_text())["segments"]
    assert [(word["word"], word["probability"]) for word in segment["words"]] == [
        (f" {w}", p) for w, p in SAID
    ]


def test_how_many_talkers_there_are_can_be_said(call, tmp_path):
    samples = [soundfile.read(DEMO_FOLDER / f"reference{number}.flac")[0][: 4 * RATE] for number in (1, 2)]
    first, second = samples
    soundfile.write(tmp_path / "two.wav", np.stack([first + 0.4 * second, 0.4 * first + second], 1) / 2, RATE)
    code, (entry,), _ = call("two.wav", "--separate", "--sources", "2", "--format", "json")
    assert (code, entry["warnings"]) == (0, []), "nothing was counted"
    (path,) = (path for path in (tmp_path / "texts" / "two").iterdir() if path.name != "unbabble.json")
    assert {each["speaker"] for each in json.loads(path.read_text())["segments"]} == {"speaker1", "speaker2"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--sources", "2"], "--sources is for --separate."),
        (["--separate", "--sources", "0"], "The number of sources is at least 1."),
        (["--separate", "--sources", "many"], "--sources"),
        (["--enroll", "anna.wav"], "--enroll is for --speakers."),
        (["--embedder", "xvector.8k"], "--embedder is for --speakers."),
        (["--separate", "--segmenter", "pytorch_model.bin"], "--segmenter is for --speakers."),
    ],
)
def test_talkers_that_make_no_sense(call, tmp_path, given, sentence):
    code, _, err = call("talk.wav", *given)
    assert code == 2
    assert sentence in err
    assert not (tmp_path / "texts").exists()


def test_words_one_by_one(call, tmp_path):
    call("talk.wav", "--format", "vtt", "--words-per-caption", "1")
    spans = read((tmp_path / "texts" / "talk" / "talk.vtt").read_text(), "vtt")
    assert [span.text for span in spans] == ["good", "morning", "everybody"]


def test_a_part_has_its_own_times(call):
    _, (entry,), _ = call("talk.wav", "--start", "1", "--duration", "2")
    assert entry["audio_seconds"] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("seconds", [0.01, 3.0])
def test_silence_has_an_empty_transcript(call, tmp_path, seconds):
    soundfile.write(tmp_path / "silence.wav", np.zeros(round(RATE * seconds)), RATE)
    code, (entry,), _ = call("silence.wav")
    assert code == 0
    assert (entry["outcome"], entry["details"]["words"], entry["details"]["confidence"]) == ("done", 0, None)
    folder = tmp_path / "texts" / "silence"
    assert (folder / "silence.vtt").read_text() == "WEBVTT\n\n"
    assert json.loads((folder / "silence.json").read_text())["segments"] == []


def test_hotwords_and_a_prompt(call, tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffSiobhan  O'Brien\n\nKowloon\n", encoding="utf-8")
    arguments = (
        "--hotwords",
        "names.txt",
        "--prompt",
        "A talk about Cochlear implants ----- (2026)",
        "--language-model",
        "none",
    )
    call("talk.wav", *arguments)
    phrases = ("Siobhan O'Brien", "Kowloon", "about", "Cochlear", "implants")
    assert call.asked[-1] == ("best.safetensors", "none", phrases, {})


def test_what_is_to_be_known_of_a_recogniser_is_said_once(call, monkeypatch):
    monkeypatch.setattr(Always, "note", "No language model is used.")
    _, (entry,), err = call("talk.wav")
    assert entry["warnings"] == ["No language model is used."]
    assert err.count("No language model is used.") == 1


def test_options_of_the_model(call):
    call("talk.wav", "--set", "beam=3")
    assert call.asked[-1][3] == {"beam": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--model", "nothing"], 2, "no model"),
        (["--words-per-caption", "0"], 2, "at least one word"),
        (["--format", "srt", "--words"], 2, "--words is for json"),
        (["--format", "txt", "--words-per-caption", "2"], 2, "is for srt and vtt"),
        (["--hotwords", "missing.txt"], 1, "There is no file 'missing.txt'."),
        (["--hotwords", "talk.wav"], 1, "no text in UTF-8"),
        (["--hotwords", "."], 1, "'.' cannot be read: Is a directory."),
        (["--hotwords", "empty.txt"], 1, "no hotwords"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(call, tmp_path, arguments, code, reason):
    (tmp_path / "empty.txt").write_text("\n")
    found, entries, err = call("talk.wav", *arguments)
    assert (found, entries) == (code, [])
    assert reason in err
    assert not (tmp_path / "texts").exists()


def test_a_file_that_is_no_recording_fails_alone(call, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    code, entries, err = call("broken.wav", "talk.wav")
    assert code == 1
    assert [entry["outcome"] for entry in entries] == ["failed", "done"]
    assert "broken.wav" in err
    assert not (tmp_path / "texts" / "broken").exists()


def test_a_report_never_replaces_hotwords(call, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("Siobhan")
    assert cli.run(["transcribe", "talk.wav", "--hotwords", "names.txt", "--report", "names.txt"]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert (tmp_path / "names.txt").read_text() == "Siobhan"
