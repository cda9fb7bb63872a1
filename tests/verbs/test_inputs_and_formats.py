"""What verbs that take recordings have in common: parts of them, videos, headers that lie, 16-bit results."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.videos import write_video
from unbabble import cli
from unbabble.base.audio import read
from unbabble.verbs.separate import separate

RATE = 4000
ICA = {"model": "ica.fastica", "no_score": True, "quiet": True}


def mixture(seconds, level=1.0):
    """(time, 2): two voices that take turns at being loud, as two microphones at one place hear them."""
    time = np.arange(round(seconds * RATE)) / RATE
    loudness = np.stack([np.sin(2 * time) ** 2, np.sin(3 * time + 1) ** 2])
    voices = np.random.default_rng(0).laplace(size=(2, len(time))) * loudness
    return level * (0.03 * np.array([[1, 0.5], [0.6, 1]]) @ voices).T


def write(path, samples):
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def voices(folder):
    return [read(path).samples for path in sorted(folder.glob("source*"))]


@pytest.mark.parametrize("segment", [0, 10])
def test_a_part_is_separated_as_if_there_were_no_more(tmp_path, segment):
    samples = mixture(26)
    write(tmp_path / "cut.wav", samples[2 * RATE : 24 * RATE])
    path = write(tmp_path / "whole.wav", samples)
    out = {"out": tmp_path / "voices", "segment": segment}
    separate(tmp_path / "cut.wav", **out, **ICA)
    (part,) = separate(str(path), start=2, duration=22.0, **out, **ICA).files
    assert part.audio_seconds == 22
    assert part.details.get("segments", 0) == (3 if segment else 0)
    for found, expected in zip(
        voices(tmp_path / "voices/whole"), voices(tmp_path / "voices/cut"), strict=True
    ):
        assert found.equal(expected)
    assert separate(path, start=2, duration=22, **out, **ICA).files[0].outcome == "skipped"
    assert separate(path, start=3, duration=22, **out, **ICA).files[0].outcome == "done"


def test_scores_are_of_the_part_that_was_separated(tmp_path, packaged_scorer, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    soundfile.write("in/x.wav", mixture(3), 8000, subtype="FLOAT")
    arguments = ["separate", "in/x.wav", "--model", "ica.fastica", "--start", "0.5", "--duration", "0.75"]
    assert cli.run([*arguments, "--report", "r.json"]) == 0
    for folders in (["voices"], ["in", "voices"]):
        assert cli.run(["score", *folders, "--json", "s.json"]) == 0
        details = [json.loads(Path(name).read_text())["files"][0]["details"] for name in ("r.json", "s.json")]
        found, again = details[0]["scores"], details[1]["voices"]
        assert [each["si_snr_db"] for each in again] == pytest.approx([each["si_snr_db"] for each in found])
    assert cli.run(["score", "voices", "--start", "0.1"]) == 1
    assert "of a part of the recording" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--start", "-1"], 2, "0 or more"),
        (["--duration", "0"], 2, "above 0"),
        (["--stream", "0"], 2, "from 1"),
        (["--start", "9"], 1, "has nothing at 9 s and after: it lasts 2.00 s."),
        (["--stream", "2"], 1, "has 1 sound stream: there is no stream 2."),
    ],
)
def test_parts_that_are_not_there(tmp_path, capsys, options, code, sentence):
    path = write(tmp_path / "x.wav", mixture(2))
    arguments = ["separate", str(path), "--out", str(tmp_path / "voices"), "--model", "ica.fastica"]
    assert cli.run([*arguments, *options]) == code
    assert sentence in capsys.readouterr().err
    assert not list((tmp_path / "voices").glob("x/source*"))


def test_what_is_wrong_with_standard_input_names_no_other_file(tmp_path, monkeypatch, capsys):
    content = io.BytesIO(write(tmp_path / "x.wav", mixture(2)).read_bytes())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=content, isatty=lambda: False))
    arguments = ["separate", "-", "--out", str(tmp_path / "voices"), "--model", "ica.fastica"]
    assert cli.run([*arguments, "--start", "9"]) == 1
    assert "Standard input has nothing at 9 s and after: it lasts 2.00 s." in capsys.readouterr().err


def test_the_sound_stream_of_a_video_is_named_and_chosen(tmp_path):
    write_video(tmp_path / "x.mkv", [(0.0, 1.0), (0.5, 2.0)], languages=["eng", "fra"])
    options = ICA | {"model": "auto", "sources": 1}
    (first,) = separate(tmp_path, out=tmp_path / "voices", **options).files
    assert (
        "2 sound streams; taking the first (English); --stream 2 takes the other (French)." in first.warnings
    )
    assert first.audio_seconds == pytest.approx(1.0, abs=0.1)
    (second,) = separate(tmp_path / "x.mkv", out=tmp_path / "voices", stream=2, **options).files
    assert second.audio_seconds == pytest.approx(2.0, abs=0.1)
    assert not any("sound streams" in warning for warning in second.warnings)


def test_transport_streams_in_folders_are_videos_and_programs_are_not(tmp_path):
    write_video(tmp_path / "a.ts", [(0.0, 1.0)], codec="mp2", video_codec="mpeg2video")
    stamped = (tmp_path / "a.ts").read_bytes()
    packets = [stamped[at : at + 188] for at in range(0, len(stamped), 188)]
    (tmp_path / "b.MTS").write_bytes(b"".join(b"\0\0\0\0" + packet for packet in packets))
    (tmp_path / "c.ts").write_text("export const talkers = 2;\n" * 20)
    (tmp_path / "d.mts").write_text("")
    report = separate(tmp_path, out=tmp_path / "voices", **ICA | {"model": "auto", "sources": 1})
    assert [(Path(file.input).name, file.outcome) for file in report.files] == [
        ("a.ts", "done"),
        ("b.MTS", "done"),
    ]


def test_what_is_said_of_several_recordings_is_printed_once(tmp_path, capsys):
    for name, seconds in (("a", 2.0), ("b", 2.5), ("c", 3.0)):
        path = write(tmp_path / f"{name}.wav", mixture(seconds))
        path.write_bytes(path.read_bytes()[: -8 * RATE])
    arguments = ["separate", str(tmp_path), "--out", str(tmp_path / "voices"), "--model", "ica.fastica"]
    assert cli.run([*arguments, "--no-score", "--report", str(tmp_path / "r.json")]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "cut short" in line]
    assert len(lines) == 1
    assert "a.wav and 2 more: The file is cut short: 1.00 s of the 2.00 s" in lines[0]
    files = json.loads((tmp_path / "r.json").read_text())["files"]
    assert [file["audio_seconds"] for file in files] == [1.0, 1.5, 2.0]
    assert ["of the 2.50 s" in text for file in files for text in file["warnings"]] == [False, True, False]


@pytest.mark.parametrize("segment", [0, 10])
@pytest.mark.parametrize(("format", "subtype"), [("wav16", "PCM_16"), ("flac", "PCM_24")])
def test_whole_numbers_never_clip_and_voices_are_scaled_alike(tmp_path, format, subtype, segment):
    path = write(tmp_path / "x.wav", mixture(12, level=50))
    options = ICA | {"segment": segment}
    floats = voices(Path(separate(path, out=tmp_path / "floats", **options).files[0].outputs[0]).parent)
    assert max(float(voice.abs().max()) for voice in floats) > 2
    (file,) = separate(path, out=tmp_path / "whole", format=format, **options).files
    assert "so that nothing clips" in file.warnings[-1]
    whole = voices(tmp_path / "whole" / "x")
    gains = [float(found.norm() / voice.norm()) for found, voice in zip(whole, floats, strict=True)]
    assert gains[0] == pytest.approx(gains[1], rel=1e-3)
    for found, voice in zip(whole, floats, strict=True):
        assert (found - gains[0] * voice).abs().max() < 1e-4
    assert soundfile.info(file.outputs[0]).subtype == subtype
