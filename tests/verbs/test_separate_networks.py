"""``unbabble separate`` on recordings of one microphone, as a user runs it."""

import json

import numba
import numpy as np
import pytest
import soundfile
import torch

from unbabble import cli
from unbabble.base import audio
from unbabble.pipelines import choose, separate

RATE = 16000


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, package):
    """Run ``unbabble separate`` where two networks are packaged: exit code, entries of the report, stderr."""
    package(two={}, three={"sources": 3})
    monkeypatch.setattr(choose, "DEFAULT_SINGLE", {2: "conv_tasnet.two", 3: "conv_tasnet.three"})
    monkeypatch.setattr(separate, "NETWORK_SECONDS", 2.0)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        options = ["--device", "cpu", "--report", "r.json"]
        code = cli.run(["separate", *map(str, arguments), *options])
        report = json.loads((tmp_path / "r.json").read_text()) if code < 2 else {"files": []}
        return code, report["files"], capsys.readouterr().err

    return run


def make(path, seconds=1.0, channels=1, seed=0):
    samples = np.random.default_rng(seed).laplace(size=(int(RATE * seconds), channels)) * 0.05
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def test_one_microphone_by_default(call, counted, tmp_path, monkeypatch):
    make(tmp_path / "podcast.wav")
    counted(2)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "no kernels yet"))
    code, (entry,), text = call("podcast.wav")
    assert code == 0
    assert entry["model"] == "conv_tasnet.two"
    lost = "Model 'conv_tasnet.two' works at 8 kHz: what the recording has above 4 kHz is lost."
    assert [text.split(",")[0] for text in entry["warnings"]] == ["2 talkers were counted", lost]
    assert f"podcast.wav: {lost}" in text
    assert "First run" not in text, "networks have nothing to compile"
    for name in ("source1.wav", "source2.wav"):
        voice = audio.read(tmp_path / "voices" / "podcast" / name)
        assert (voice.sample_rate, voice.samples.shape) == (RATE, (1, RATE))


def test_one_talker_comes_out_unharmed(call, counted, tmp_path):
    make(tmp_path / "podcast.wav")
    counted(1)
    code, (entry,), _ = call("podcast.wav")
    assert (code, entry["model"], len(entry["warnings"])) == (0, separate.UNCHANGED, 1)
    assert entry["warnings"][0].startswith("1 talker was counted, "), "how to say otherwise"
    voice = audio.read(tmp_path / "voices" / "podcast" / "source1.wav").samples
    assert torch.equal(voice, audio.read(tmp_path / "podcast.wav").samples)
    assert not (tmp_path / "voices" / "podcast" / "source2.wav").exists()


def test_long_recordings_are_cut_for_networks(call, tmp_path):
    make(tmp_path / "long.wav", seconds=7)
    code, (entry,), _ = call("long.wav", "--model", "conv_tasnet.two")
    assert code == 0
    assert entry["details"]["segments"] == 14, "of .6 s, of which neighbours share .1 s"
    voices = torch.cat([audio.read(tmp_path / path).samples for path in entry["outputs"]])
    assert voices.shape == (2, 7 * RATE)
    assert voices.any(dim=1).all()
    code, (entry,), _ = call("long.wav", "--model", "conv_tasnet.two", "--segment", 0, "--overwrite")
    assert (code, "segments" in entry["details"]) == (0, False)


def test_a_network_is_read_once_for_many_recordings(call, tmp_path, monkeypatch):
    from unbabble.networks import load as networks

    count = []
    load = networks.load
    monkeypatch.setattr(networks, "load", lambda name, *wanted: count.append(name) or load(name, *wanted))
    networks._kept.cache_clear()
    for seed in range(3):
        make(tmp_path / f"{seed}.wav", seed=seed)
    code, entries, _ = call(*(f"{seed}.wav" for seed in range(3)), "--model", "conv_tasnet.two")
    assert (code, len(entries), count) == (0, 3, ["conv_tasnet.two"])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("--model conv_tasnet.two --sources 3", 2, "Model 'conv_tasnet.two' gives at most 2 sources, not 3."),
        ("--model conv_tasnet.two --iterations 9", 2, "Model 'conv_tasnet.two' has no option 'iterations'."),
        ("--model conv_tasnet.two --set blocks=4", 1, "do not fit conv_tasnet with blocks changed"),
        ("--model sepformer", 2, "There are no weights for 'sepformer' yet: train them with `unbabble train`"),
        ("--model nothing.safetensors", 1, "There is no file 'nothing.safetensors'."),
        ("--model auxiva --runtime onnx", 2, "ONNX Runtime computes networks, and 'auxiva' is none."),
        ("--model auxiva.ipa", 1, "needs at least 2 microphones; the recording has 1."),
        ("--sources 4", 1, "No network for 4 talkers heard by one microphone (only for 2 or 3) is installed"),
        ("--model conv_tasnet.two --set reference=2", 1, "There is no microphone 2"),
    ],
)  # fmt: skip
def test_wrong_requests(call, tmp_path, arguments, code, sentence):
    make(tmp_path / "x.wav")
    (tmp_path / "r.json").write_text('{"files": []}')
    found, _, text = call("x.wav", *arguments.split())
    assert sentence in text
    assert found == code
    assert text.count("\n") == 1
