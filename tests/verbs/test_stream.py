"""`unbabble stream`: files, pipes, raw samples, a microphone, Ctrl-C, and what is refused."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from unbabble.base.errors import MissingExtraError, OutputError, UsageError
from unbabble.cli import run
from unbabble.networks import load as networks
from unbabble.pipelines import choose
from unbabble.verbs.stream import stream

RATE = 4000
OPTIONS = {"set": ["window_length=256"], "warmup": 0.5, "quiet": True}


def samples(seconds: float = 3.0) -> np.ndarray:
    """(time, 2), 16 bit."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    voices = rng.laplace(size=(2, len(time))) * np.stack([np.sin(5 * time) ** 2, np.sin(7 * time + 1) ** 2])
    mixture = 0.03 * np.array([[1, 0.5], [0.6, 1]]) @ voices
    return np.round(mixture.T.clip(-0.99, 0.99) * 2**15).astype(np.int16)


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, samples(), RATE)
    return path


def voices(folder: Path) -> np.ndarray:
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("source*"))])


def test_a_file(recording, tmp_path):
    report = stream(recording, out=tmp_path / "out", report=tmp_path / "report.json", **OPTIONS)
    assert report.exit_code == 0
    (one,) = report.files
    assert (one.outcome, one.model, one.audio_seconds) == ("done", "online_auxiva", 3.0)
    assert [Path(path).name for path in one.outputs] == ["source1.wav", "source2.wav"]
    found = voices(tmp_path / "out" / "talk")
    assert found.shape == (2, 3 * RATE)
    assert np.allclose(found.sum(0), samples()[:, 0] / 2**15, atol=1e-5)
    assert one.details["latency_seconds"] == 192 / RATE
    assert json.loads((tmp_path / "report.json").read_text())["files"][0]["outcome"] == "done"
    again = stream(recording, out=tmp_path / "out", **OPTIONS)
    assert again.files[0].outcome == "skipped"
    assert stream(recording, out=tmp_path / "out", overwrite=True, **OPTIONS).files[0].outcome == "done"


@pytest.mark.parametrize("raw", [None, "pcm_16", "float"])
def test_a_pipe(recording, tmp_path, monkeypatch, raw):
    stream(recording, out=tmp_path, **OPTIONS)
    data = recording.read_bytes() if raw is None else samples().tobytes() + b"\0"
    if raw == "float":
        data = (samples() / np.float32(2**15)).astype("<f4").tobytes()

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Pipe(data), isatty=lambda: False))
    shape = {} if raw is None else {"subtype": raw, "rate": RATE, "channels": 2}
    report = stream("-", out=tmp_path, **shape, **OPTIONS)
    assert report.files[0].error is None
    assert np.array_equal(voices(tmp_path / "stdin"), voices(tmp_path / "talk"))


def test_seconds_and_flac(recording, tmp_path):
    report = stream(recording, out=tmp_path, duration=1.25, format="flac", sources=1, **OPTIONS)
    assert [Path(path).name for path in report.files[0].outputs] == ["source1.flac"]
    assert voices(tmp_path / "talk").shape == (1, 1.25 * RATE)


def test_a_part_of_a_recording(recording, tmp_path):
    soundfile.write(tmp_path / "part.wav", samples()[RATE // 2 : 2 * RATE], RATE)
    stream(tmp_path / "part.wav", out=tmp_path / "o", **OPTIONS)
    report = stream(recording, out=tmp_path / "o", start=0.5, duration=1.5, **OPTIONS)
    assert report.files[0].audio_seconds == 1.5
    assert np.array_equal(voices(tmp_path / "o" / "talk"), voices(tmp_path / "o" / "part"))
    for options in ({"subtype": "pcm_16", "rate": RATE, "channels": 2, "start": 1.0}, {"start": -1.0}):
        with pytest.raises(UsageError, match="start"):
            stream(recording, out=tmp_path, **options, **OPTIONS)


def test_whole_numbers_hold_what_they_can_and_what_is_clipped_is_said(recording, tmp_path):
    floats = stream(recording, out=tmp_path / "floats", **OPTIONS)
    report = stream(recording, out=tmp_path / "whole", format="wav16", **OPTIONS)
    assert report.files[0].warnings == floats.files[0].warnings
    path = Path(report.files[0].outputs[0])
    assert (path.name, soundfile.info(path).subtype) == ("source1.wav", "PCM_16")
    np.testing.assert_allclose(
        voices(tmp_path / "whole" / "talk"), voices(tmp_path / "floats" / "talk"), atol=2.0**-16
    )
    soundfile.write(recording, samples() / np.float32(2**13), RATE, subtype="FLOAT")  # beyond full scale
    loud = stream(recording, out=tmp_path / "loud", format="wav16", **OPTIONS)
    assert "samples were clipped" in loud.files[0].warnings[-1]


def test_what_came_before_the_damage_is_kept(recording, tmp_path, monkeypatch):
    data = samples().astype("<f4") / 2**15
    data[2 * RATE + 100] = np.nan
    path = tmp_path / "talk.raw"
    path.write_bytes(data.tobytes())
    report = stream(path, out=tmp_path, subtype="float", rate=RATE, channels=2, **OPTIONS)
    assert report.exit_code == 1
    assert "not finite" in str(report.files[0].error)
    assert voices(tmp_path / "talk").shape == (2, 2 * RATE)


def test_long_recordings_go_to_parts(recording, tmp_path, monkeypatch):
    stream(recording, out=tmp_path / "whole", **OPTIONS)
    monkeypatch.setattr("unbabble.pipelines.stream.PART_BYTES", 4 * RATE)
    report = stream(recording, out=tmp_path, **OPTIONS)
    names = [Path(path).name for path in report.files[0].outputs]
    assert names[::2] == ["source1.wav", "source1_part2.wav", "source1_part3.wav"]
    parts = [soundfile.read(path, dtype="float32")[0] for path in report.files[0].outputs[::2]]
    assert np.array_equal(np.concatenate(parts), voices(tmp_path / "whole" / "talk")[0])


def install_microphone(monkeypatch, data):
    """What ``sounddevice`` hears is ``data`` (time, channel), then Ctrl-C."""
    channels = data.shape[1]

    class InputStream:
        def __init__(self, **given):
            assert given == {"samplerate": RATE, "channels": channels, "dtype": "float32"}
            self.place = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, count):
            if self.place >= len(data):
                raise KeyboardInterrupt
            self.place += count
            return (data[self.place - count : self.place] / np.float32(2**15)).astype("f4"), False

    device = {"default_samplerate": float(RATE), "max_input_channels": channels}
    fake = SimpleNamespace(
        query_devices=lambda kind: device, InputStream=InputStream, PortAudioError=type("E", (Exception,), {})
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)


def test_a_microphone(tmp_path, monkeypatch):
    install_microphone(monkeypatch, samples())
    report = stream("mic", out=tmp_path, **OPTIONS)
    assert report.exit_code == 0
    assert report.files[0].details["interrupted"] is True
    (folder,) = tmp_path.glob("mic-*")
    assert voices(folder).shape == (2, 3 * RATE)


def test_no_microphone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match="live"):
        stream("mic", out=tmp_path, **OPTIONS)

    def none(kind):
        raise ValueError("Error querying device -1")

    fake = SimpleNamespace(query_devices=none, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    report = stream("mic", out=tmp_path, **OPTIONS)
    assert report.files[0].error == "No microphone can be opened: Error querying device -1."


def test_unusable_recordings(tmp_path):
    soundfile.write(tmp_path / "one.wav", samples()[:, 0], RATE)
    soundfile.write(tmp_path / "silent.wav", 0 * samples(), RATE)
    soundfile.write(tmp_path / "none.wav", samples()[:0], RATE)
    (tmp_path / "text.wav").write_text("Hello.")
    expected = {"one": "at least 2", "none": "Nothing", "text": "text file", "absent": "no file|No such file"}
    for name, sentence in expected.items():
        (one,) = stream(
            tmp_path / f"{name}.wav", out=tmp_path / "out", model="online_auxiva", **OPTIONS
        ).files
        assert one.outcome == "failed"
        assert any(part in str(one.error) for part in sentence.split("|"))
    (one,) = stream(tmp_path / "silent.wav", out=tmp_path / "out", **OPTIONS).files
    assert one.warnings == ["The recording is silent: there was nothing to separate."]
    assert not voices(tmp_path / "out" / "silent").any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"subtype": "pcm_16", "rate": RATE}, "Raw samples need"),
        ({"rate": RATE}, "raw samples"),
        ({"duration": 0.0}, "above 0"),
        ({"sources": 0}, "at least 1"),
        ({"set": ["nonsense=1"]}, "nonsense"),
    ],
)
def test_wrong_usage(recording, tmp_path, changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        stream(recording, out=tmp_path / "out", **OPTIONS | changes)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(recording, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        stream(recording, out=tmp_path / "out", **OPTIONS)


def test_the_command(recording, tmp_path, capsys):
    arguments = ["stream", str(recording), "--out", str(tmp_path / "out"), "--set", "window_length=256"]
    assert run(arguments) == 0
    assert "source1.wav" in capsys.readouterr().err
    assert run(["stream", str(tmp_path / "absent.wav"), "--out", str(tmp_path / "out")]) == 1


def test_a_causal_network(recording, tmp_path, save, capsys):
    weights = str(save(tmp_path / "tiny.safetensors", causal=True, levels="kept", sample_rate=RATE))
    report = stream(recording, out=tmp_path / "out", model=weights, set=["reference=1"])
    (one,) = report.files
    assert (one.outcome, one.error, one.model) == ("done", None, weights)
    assert one.details["latency_seconds"] == 15 / RATE
    assert one.details["computing_share"] > 0
    assert "0.0037 s behind the sound" in capsys.readouterr().err
    mixture = torch.from_numpy(soundfile.read(recording, dtype="float32")[0].T.copy())
    with torch.no_grad():
        network = networks.load(weights).network
        wanted = network.estimate(16 * (mixture[1:] - mixture[1].mean()))[0] / 16
    found = torch.from_numpy(voices(tmp_path / "out" / "talk"))
    assert found.shape == wanted.shape
    assert (found - wanted).square().sum() < 0.01 * wanted.square().sum()


def test_one_microphone_by_default(recording, tmp_path, package, monkeypatch):
    package(live={"causal": True, "levels": "kept", "sample_rate": RATE})
    monkeypatch.setattr(choose, "LIVE_SINGLE", "conv_tasnet.live")
    soundfile.write(tmp_path / "mono.wav", samples()[:, 0], RATE)
    for options, expected in (({}, "conv_tasnet.live"), ({"model": "online_auxiva"}, "online_auxiva")):
        (one,) = stream(tmp_path / "mono.wav", out=tmp_path / expected, quiet=True, **options).files
        assert one.model == expected
        assert one.outcome == ("done" if expected == "conv_tasnet.live" else "failed")
    (one,) = stream(recording, out=tmp_path / "two", quiet=True).files
    assert (one.model, one.outcome) == ("online_auxiva", "done")
    install_microphone(monkeypatch, samples()[:, :1])
    (one,) = stream("mic", out=tmp_path / "mic", quiet=True).files
    assert (one.model, one.outcome) == ("conv_tasnet.live", "done")


def test_networks_that_cannot_stream(recording, tmp_path, save):
    kept = {"levels": "kept", "sample_rate": RATE}
    looks_ahead = save(tmp_path / "ahead.safetensors", **kept)
    open_levels = save(tmp_path / "open.safetensors", causal=True)
    causal = save(tmp_path / "causal.safetensors", causal=True, **kept)
    for model, options, sentence in (
        (looks_ahead, {}, "only causal"),
        (open_levels, {}, "levels=kept"),
        (causal, {"sources": 1}, "gives 2 sources"),
        (causal, {"warmup": 1.0}, "warmup"),
        ("auxiva", {}, "needs the whole recording"),
    ):
        with pytest.raises(UsageError, match=sentence):
            stream(recording, out=tmp_path / "out", model=str(model), quiet=True, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_whole_files(tmp_path, number, code):
    command = [sys.executable, "-m", "unbabble.cli", "stream", "-", "--out", str(tmp_path), "--warmup", "0.5"]
    command += ["--subtype", "pcm_16", "--rate", str(RATE), "--channels", "2", "--set", "window_length=256"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(samples().tobytes())
    process.stdin.flush()
    deadline = time.monotonic() + 60
    written = 0  # a file that was only opened has a header
    while written < 1000 and time.monotonic() < deadline:
        written = sum(path.stat().st_size for path in tmp_path.glob("stdin/.source2*"))
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors.decode()
    found = voices(tmp_path / "stdin")
    assert len(found) == 2
    assert found.shape[1] > 0
    assert [path.name for path in (tmp_path / "stdin").iterdir() if path.name.startswith(".")] == []
