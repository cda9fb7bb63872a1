"""``unbabble embed``: vectors by recording, what is refused, what is left out."""

import json

import numpy as np
import pytest
import soundfile
import soxr

import unbabble
from unbabble import cli
from unbabble.base.errors import OutputError, UsageError
from unbabble.base.weights import packaged
from unbabble.pipelines.embed import DEFAULTS

RATE = 8000
pytestmark = pytest.mark.skipif("xvector.8k" not in packaged(), reason="no packaged embedder")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two noises of one colour, and one of another."""
    rng = np.random.default_rng(0)
    for name, low, high in (("dark1", 0, 1000), ("dark2", 0, 1000), ("bright", 2000, 4000)):
        spectrum = np.fft.rfft(rng.standard_normal(2 * RATE))
        frequencies = np.fft.rfftfreq(2 * RATE, 1 / RATE)
        wave = np.fft.irfft(spectrum * ((frequencies >= low) & (frequencies < high)))
        pulse = 1.2 + np.sin(2 * np.pi * 4 * np.arange(2 * RATE) / RATE)
        soundfile.write(tmp_path / f"{name}.wav", 0.05 * wave * pulse / wave.std(), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_vectors_by_recording(here, capsys):
    command = ["embed", "dark1.wav", "bright.wav", "dark2.wav", "--out", "v.npz", "--report", "r.json"]
    assert cli.run([*command, "--model", "xvector.8k"]) == 0
    with np.load("v.npz") as file:
        names, vectors = file["names"].tolist(), file["vectors"]
    assert names == ["dark1.wav", "bright.wav", "dark2.wav"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    for name, vector in zip(names, vectors, strict=True):
        np.testing.assert_allclose(unbabble.load("xvector.8k")(name).numpy(), vector, atol=1e-6)
    likeness = vectors @ vectors.T
    assert likeness[0, 2] > likeness[0, 1]
    printed = capsys.readouterr()
    assert f"{likeness[0, 1]:.2f}" in printed.out
    assert "v.npz: 3 x 64." in printed.err
    files = json.loads((here / "r.json").read_text())["files"]
    np.testing.assert_allclose([each["details"]["vector"] for each in files], vectors, atol=1e-6)


def test_a_part_is_a_recording_of_its_own(here):
    samples, _ = soundfile.read("dark1.wav")
    soundfile.write("part.wav", samples[RATE // 2 : RATE], RATE)
    part = unbabble.embed("dark1.wav", start=0.5, duration=0.5, out="a.npz", quiet=True)
    cut = unbabble.embed("part.wav", out="b.npz", quiet=True)
    one, other = (each.files[0].details["vector"] for each in (part, cut))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_faster_recording_is_what_it_sounds_like_faster(here):
    """As though it had been resampled before, and the file says so."""
    sound, rate = soundfile.read("bright.wav")
    soundfile.write("fast.wav", soxr.resample(sound, rate * 1.25, rate, quality="HQ"), rate, subtype="FLOAT")
    assert cli.run(["embed", "fast.wav", "--out", "before.npz", "--quiet"]) == 0
    assert cli.run(["embed", "bright.wav", "--speed", "1.25", "--out", "after.npz", "--quiet"]) == 0
    before, after = np.load("before.npz"), np.load("after.npz")
    assert (float(before["speed"]), float(after["speed"])) == (1.0, 1.25)
    assert after["vectors"] == pytest.approx(before["vectors"], abs=2e-2)


def test_what_cannot_be_embedded_is_left_out(here):
    report = unbabble.embed("dark1.wav", "silent.wav", quiet=True)
    assert report.exit_code == 1
    assert "silent" in str(report.files[1].error)
    with np.load("embeddings.npz") as file:
        assert file["names"].tolist() == ["dark1.wav"]
    assert unbabble.embed("silent.wav", out="none.npz", quiet=True).exit_code == 1
    assert not (here / "none.npz").exists()


def test_what_makes_no_sense_is_refused_before_any_work(here):
    unbabble.embed("dark1.wav", quiet=True)
    with pytest.raises(UsageError, match="--overwrite replaces it"):
        unbabble.embed("bright.wav", quiet=True)
    assert unbabble.embed("bright.wav", overwrite=True, quiet=True).exit_code == 0
    with pytest.raises(UsageError, match=r"ends in \.npz"):
        unbabble.embed("dark1.wav", out="v.json", quiet=True)
    with pytest.raises(UsageError, match="does not tell speakers apart"):
        unbabble.embed("dark1.wav", out="w.npz", model="gru.2x32", quiet=True)
    with pytest.raises(OutputError):
        unbabble.embed("dark1.wav", out=here / "dark1.wav" / "v.npz", quiet=True)
    with pytest.raises(OutputError, match="two results have this name"):
        unbabble.embed("dark1.wav", out="both.npz", report="both.npz", quiet=True)
    assert not (here / "both.npz").exists()


def test_auto_is_the_first_that_is_installed_of_the_list(here, capsys):
    report = unbabble.embed("dark1.wav", out="a.npz")
    named = next(name for name in DEFAULTS if name in packaged())
    assert (report.config["model"], report.files[0].model) == (named, named)
    np.testing.assert_allclose(
        unbabble.load(named)("dark1.wav").numpy(), report.files[0].details["vector"], atol=1e-6
    )
    assert "Nobody seems to speak in it" in capsys.readouterr().err
