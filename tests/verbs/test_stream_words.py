"""``unbabble stream --transcribe``: what is printed, pipes, a terminal, voices, what is refused."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
import torch

from tests.pipelines.test_live_words import RATE, KnowsTones, loud, spoken
from tests.pipelines.test_recognize import unigrams
from unbabble.base.report import FileReport
from unbabble.cli import run
from unbabble.pipelines import live_words, recognize
from unbabble.pipelines.arrival import Arrival
from unbabble.pipelines.recognize import Recognizer
from unbabble.pipelines.stream import transcribe_arriving

TEXT = "two toe eat | toe toe | eat two eat two"
LINES = TEXT.split(" | ")


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run ``unbabble stream``: exit code, lines of stdout, stderr, the entry of the report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live_words, "is_speech", loud)
    model = unigrams(two=0.3, too=0.1, toe=0.3, eat=0.2)
    monkeypatch.setattr(recognize, "recognizer_name", lambda name: "tones")
    monkeypatch.setattr(
        recognize,
        "load_recognizer",
        lambda name, device, language, hotwords: Recognizer(
            KnowsTones(),  # pyright: ignore[reportArgumentType]
            None if language == "none" else model,
            hotwords,
        ),
    )
    monkeypatch.setattr("unbabble.verbs.stream_words.deciding_files", lambda names, options: {})
    soundfile.write("talk.wav", spoken(TEXT).numpy(), RATE, subtype="FLOAT")

    def called(*arguments):
        report = tmp_path / "r.json"
        report.unlink(missing_ok=True)
        code = run(["stream", *arguments, "--report", "r.json"])
        printed = capsys.readouterr()
        entry = json.loads(report.read_text())["files"][0] if report.is_file() else None
        return code, printed.out.splitlines(), printed.err, entry

    return called


def test_a_line_for_each_utterance(call, tmp_path):
    code, lines, err, entry = call("talk.wav", "--transcribe")
    assert (code, lines) == (0, LINES)
    assert entry["details"]["words"] == len(TEXT.replace("|", "").split())
    assert 0.8 < entry["details"]["settled_after_seconds"] < 2
    assert "after they were said" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "talk.wav"], "no voices"


def test_hotwords_and_a_prompt(call, tmp_path):
    (tmp_path / "names.txt").write_text("Too\n")
    assert call("talk.wav", "--transcribe", "--hotwords", "names.txt")[1] == [
        line.replace("two", "too") for line in LINES
    ]
    soundfile.write("talk.wav", spoken("two eat").numpy(), RATE, subtype="FLOAT")
    _, lines, _, _ = call("talk.wav", "--transcribe", "--prompt", "to")
    assert lines == ["two eat"], "short words of a prompt are likely without it"


def test_json_whenever_something_changes(call):
    _, lines, _, _ = call("talk.wav", "--transcribe", "--json")
    changes = [json.loads(line) for line in lines]
    assert [each["text"] for each in changes if each["ended"]] == LINES
    assert all(each["settled"] == len(each["words"]) for each in changes if each["ended"])
    growing = [each for each in changes if not each["ended"]]
    assert growing
    assert any(each["settled"] < len(each["words"]) for each in growing)
    first = next(each for each in changes if each["ended"])
    assert (first["start"], first["end"]) == (first["words"][0]["start"], first["words"][-1]["end"])
    assert first["words"][0].keys() == {"start", "end", "text", "score"}


def test_raw_samples_from_a_pipe(call, monkeypatch):
    samples = (spoken(TEXT) * 2**15).short().numpy().astype("<i2").tobytes()

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /):
            return super().read(min(size or 998, 998))

    shape = ("--subtype", "pcm_16", "--rate", str(RATE), "--channels", "1")
    for pipe in (io.BytesIO, Trickle):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe(samples), isatty=lambda: False))
        assert call("-", "--transcribe", *shape)[:2] == (0, LINES)


def test_bytes_that_are_no_whole_sample_are_named(call, tmp_path):
    samples = (spoken(TEXT) * 2**15).short().numpy().astype("<i2").tobytes()
    (tmp_path / "talk.raw").write_bytes(samples + b"x")
    shape = ("--subtype", "pcm_16", "--rate", str(RATE), "--channels", "1")
    code, lines, err, entry = call("talk.raw", "--transcribe", *shape)
    assert (code, lines) == (0, LINES)
    assert entry["warnings"] == [
        "The last 1 byte was left out: a sample of 1 channel has 2. Are --subtype and --channels right?"
    ]
    assert err.count("left out") == 1


@pytest.mark.parametrize("suffix", [".srt", ".json"])
def test_a_file_gets_the_words_too(call, tmp_path, suffix):
    out = f"said{suffix}"
    _, lines, _, entry = call("talk.wav", "--transcribe", "--out", out)
    assert lines == LINES
    assert entry["outputs"] == [out]
    content = (tmp_path / out).read_text()
    if suffix == ".json":
        assert [part["text"].strip() for part in json.loads(content)["segments"]] == LINES
    else:
        assert all(line in content for line in LINES)


def test_what_came_before_the_damage_is_written(call, tmp_path):
    samples = spoken(TEXT).numpy().astype("<f4")
    samples[-RATE] = float("nan")
    (tmp_path / "talk.raw").write_bytes(samples.tobytes())
    shape = ("--subtype", "float", "--rate", str(RATE), "--channels", "1")
    code, lines, err, _ = call("talk.raw", "--transcribe", *shape, "--out", "said.txt")
    assert code == 1
    assert lines[:2] == LINES[:2]
    assert "not finite" in err
    assert (tmp_path / "said.txt").read_text().splitlines() == lines


def test_on_a_terminal_the_last_words_are_rewritten(call, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", terminal)
    call("talk.wav", "--transcribe")
    written = terminal.getvalue()
    assert "\x1b[2m" in written, "what may change is dim"
    assert "\x1b[2K" in written, "lines are erased"
    places = [written.rindex(line) for line in LINES]
    assert places == sorted(places)


def test_ctrl_c_ends_the_recording_and_settles_what_was_said(monkeypatch):
    monkeypatch.setattr(live_words, "is_speech", loud)
    network: Any = KnowsTones()
    recognizer = Recognizer(network, unigrams(two=0.3, too=0.1, toe=0.3, eat=0.2))
    samples = spoken("two toe eat")

    def blocks():
        yield from samples[None].split(1600, 1)
        raise KeyboardInterrupt

    report, shown = FileReport("mic", "done"), []
    transcribe_arriving(Arrival(RATE, 1, blocks()), recognizer, None, report, seconds=None, show=shown.append)
    assert report.details["words"] == 3
    assert (shown[-1].text, shown[-1].ended) == ("two toe eat", True)
    assert report.details["interrupted"] is True
    assert report.audio_seconds == pytest.approx(len(samples) / RATE)


class Channels:
    """Separates a recording into its channels."""

    latency, warnings = 0, ["There are as many talkers as channels."]

    def stream(self, sample_rate, channels):
        self.sources = channels
        return self

    def push(self, samples):
        return samples

    def flush(self):
        return torch.zeros(self.sources, 0)


def test_each_voice_says_its_own(call, monkeypatch):
    monkeypatch.setattr("unbabble.pipelines.stream.load", lambda name, **options: Channels())
    texts = ("two toe eat | toe", "eat eat eat eat eat eat")
    longest = max(len(spoken(text)) for text in texts)
    voices = [torch.nn.functional.pad(each, (0, longest - len(each))) for each in map(spoken, texts)]
    soundfile.write("talk.wav", torch.stack(voices).numpy().T, RATE, subtype="FLOAT")
    code, lines, err, entry = call("talk.wav", "--transcribe", "--model", "channels", "--out", "said.vtt")
    assert code == 0
    assert lines == ["[speaker1]: two toe eat", "[speaker2]: " + texts[1], "[speaker1]: toe"]
    assert entry["details"]["words"] == 10
    assert "as many talkers as channels" in err
    assert "<v speaker2>eat" in Path("said.vtt").read_text()
    _, lines, _, _ = call("talk.wav", "--transcribe", "--model", "channels", "--json")
    assert {json.loads(line)["speaker"] for line in lines} == {"speaker1", "speaker2"}


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--json"], 2, "--json is for words"),
        (["--recognizer", "x"], 2, "--recognizer is for words"),
        (["--hotwords", "names.txt"], 2, "--hotwords is for words"),
        (["--prompt", "Cochlear implants"], 2, "--prompt is for words"),
        (["--transcribe", "--hotwords", "names.txt"], 1, "There is no file 'names.txt'"),
        (["--transcribe", "--prompt", "Москва"], 1, "or of the prompt, 'москва' cannot be pronounced"),
        (["--transcribe", "--format", "flac"], 2, "--format is for voices"),
        (["--transcribe", "--sources", "2"], 2, "none is named"),
        (["--transcribe", "--out", "folder"], 2, "ends in .txt"),
        (["--transcribe", "--model", "auxiva"], 2, "needs the whole recording"),
        (["--transcribe", "--language-model", "none"], 2, "writes phones"),
        (["--transcribe", "--out", "talk.wav/x.txt"], 2, "talk.wav"),
    ],
)
def test_what_makes_no_sense_is_refused(call, tmp_path, arguments, code, reason):
    found, lines, err, entry = call("talk.wav", *arguments)
    assert (lines, entry) == ([], None)
    assert reason in err
    assert found == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.wav"]


def test_nothing_said_nothing_printed(call):
    soundfile.write("silent.wav", 0 * spoken("two").numpy(), RATE)
    code, lines, _, entry = call("silent.wav", "--transcribe")
    assert (code, lines, entry["details"]["words"]) == (0, [], 0)
    assert call("missing.wav", "--transcribe")[0] == 1


@pytest.mark.parametrize(
    "results", [["--report", "raw.txt"], ["--out", "raw.txt"], ["--transcribe", "--out", "raw.txt"]]
)
def test_raw_samples_are_never_replaced(call, tmp_path, capsys, results):
    (tmp_path / "raw.txt").write_bytes(bytes(3200))
    raw = ["--subtype", "pcm_16", "--rate", "16000", "--channels", "1"]
    assert run(["stream", "raw.txt", *raw, *results]) == 2
    assert "raw.txt" in capsys.readouterr().err
    assert (tmp_path / "raw.txt").read_bytes() == bytes(3200)


def test_words_and_report_are_two_files(call, tmp_path):
    found, _, err, _ = call("talk.wav", "--transcribe", "--out", "r.json")
    assert found == 2
    assert "two results have this name" in err
    assert not (tmp_path / "r.json").exists()
