"""``unbabble enhance``: channels, rates, lengths, strengths, what is refused."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from unbabble import cli
from unbabble.base import audio, weights
from unbabble.base.registry import create, method
from unbabble.pipelines import enhance as enhancing
from unbabble.pipelines import pieces
from unbabble.pipelines.score import VoiceScore

RATE = 16000


@pytest.fixture
def halves(tmp_path):
    """An enhancer that halves everything."""
    network = create("gru", hidden=2, layers=1)
    with torch.no_grad():
        network.to_mask.weight.zero_()
        network.to_mask.bias.zero_()
    path = tmp_path / "halves.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard("gru", network.resolved_options()))
    return path


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, halves):
    """Run ``unbabble enhance``: exit code, entries of the report, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(enhancing, "has_scorer", lambda: False)

    def run(*arguments, model=halves):
        code = cli.run(["enhance", *map(str, arguments), "--model", str(model), "--report", "r.json"])
        entries = (
            json.loads((tmp_path / "r.json").read_text())["files"] if (tmp_path / "r.json").is_file() else []
        )
        return code, entries, capsys.readouterr().err

    return run


def make(path, seconds=1.0, channels=1, rate=RATE, seed=0):
    samples = np.random.default_rng(seed).laplace(size=(int(rate * seconds), channels)) * 0.05
    samples -= samples.mean(0)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return audio.read(path).samples


@pytest.mark.parametrize("channels", [1, 3])
def test_every_channel_at_its_rate(call, tmp_path, channels):
    noisy = make(tmp_path / "call.wav", channels=channels, rate=RATE)
    code, (entry,), text = call("call.wav")
    assert code == 0
    found = audio.read(tmp_path / "enhanced" / "call" / "enhanced.wav")
    assert found.sample_rate == RATE
    torch.testing.assert_close(found.samples, 0.5 * noisy, rtol=0, atol=1e-5)
    assert "Listen: enhanced/call/enhanced.wav" in text
    assert entry["details"]["strength_db"] is None  # no limit
    assert call("call.wav")[1][0]["outcome"] == "skipped"


def test_other_rates_come_back_as_they_were(call, tmp_path):
    make(tmp_path / "music.wav", rate=44100)
    _, (entry,), _ = call("music.wav", "--format", "flac")
    found = audio.read(tmp_path / "enhanced" / "music" / "enhanced.flac")
    assert (found.sample_rate, found.samples.shape) == (44100, (1, 44100))
    assert any("above 8 kHz is lost" in text for text in entry["warnings"])


def test_a_part_of_a_recording(call, tmp_path):
    noisy = make(tmp_path / "call.wav", seconds=2)
    _, (entry,), _ = call("call.wav", "--start", "0.5", "--duration", "0.75")
    assert entry["audio_seconds"] == 0.75
    found = audio.read(tmp_path / "enhanced" / "call" / "enhanced.wav").samples
    part = noisy[:, RATE // 2 : 5 * RATE // 4]
    torch.testing.assert_close(found, 0.5 * (part - part.mean()), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("format", "bits"), [("wav16", 16), ("flac", 24)])
def test_whole_numbers_never_clip(call, tmp_path, format, bits):
    noisy = 100 * make(tmp_path / "call.wav")
    soundfile.write(tmp_path / "call.wav", noisy[0].numpy(), RATE, subtype="FLOAT")
    _, (entry,), _ = call("call.wav", "--format", format)
    assert "so that nothing clips" in entry["warnings"][-1]
    (path,) = (tmp_path / "enhanced" / "call").glob("enhanced.*")
    found = audio.read(path)
    assert found.subtype == f"PCM_{bits}"
    torch.testing.assert_close(found.samples, noisy / noisy.abs().max(), rtol=0, atol=1e-3)
    assert not list((tmp_path / "enhanced" / "call").glob(".*"))


def test_strength_limits_what_is_taken_off(call, tmp_path):
    noisy = make(tmp_path / "call.wav")
    for strength, kept in (("0", 1.0), ("6", 0.5 + 0.5 * 10**-0.3), ("inf", 0.5)):
        assert call("call.wav", "--strength", strength, "--overwrite")[0] == 0
        found = audio.read(tmp_path / "enhanced" / "call" / "enhanced.wav").samples
        torch.testing.assert_close(found, kept * noisy, rtol=0, atol=1e-5)


def test_long_recordings_are_faded_together(call, tmp_path, monkeypatch):
    noisy = make(tmp_path / "long.wav", seconds=7.3)
    monkeypatch.setattr(pieces, "PIECE_SECONDS", 2.0)
    call("long.wav")
    found = audio.read(tmp_path / "enhanced" / "long" / "enhanced.wav").samples
    assert found.shape == noisy.shape
    torch.testing.assert_close(found, 0.5 * noisy, rtol=0, atol=2e-3)  # each piece without its own mean


def test_by_itself_it_never_scores_below_the_recording(call, tmp_path, monkeypatch):
    """A scorer that likes what is half as loud, down to three quarters, and nothing beyond."""
    noisy = make(tmp_path / "call.wav")
    loudness = float(noisy.square().mean().sqrt())

    class Scorer:
        def of(self, recording, estimates=None):
            estimates = recording.samples if estimates is None else estimates
            share = float(estimates.square().mean().sqrt()) / loudness
            return [VoiceScore(*[-abs(share - wanted[0])] * 3)]

    monkeypatch.setattr(enhancing, "score_of_enhanced", lambda score, noisy: score)

    wanted = [0.8]
    monkeypatch.setattr(enhancing, "has_scorer", lambda: True)
    monkeypatch.setattr(enhancing, "BlindScorer", Scorer)
    _, (entry,), _ = call("call.wav")
    details = entry["details"]
    assert details["strength_db"] == 12.0, "0.5 and 0.55 are farther from 0.8 than 1 is, and 0.63 is not"
    assert details["scores"][0]["si_snr_db"] >= details["before"][0]["si_snr_db"]
    wanted[0] = 1.2
    _, (entry,), text = call("call.wav", "--overwrite")
    assert entry["details"]["strength_db"] == 0.0
    assert "Left as it is" in text
    found = audio.read(tmp_path / "enhanced" / "call" / "enhanced.wav").samples
    assert torch.equal(found, noisy)


def test_what_is_said_of_enhanced_speech_flatters_less():
    noisy = VoiceScore(5.0, 0.0, 10.0)
    found = [enhancing.score_of_enhanced(VoiceScore(db, db - 5, db + 5), noisy) for db in (-15, 5, 15, 30)]
    values = [each.si_snr_db for each in found]
    assert values == sorted(values)
    assert 5 < values[2] < 15
    assert all(-15 <= each.low_db <= each.si_snr_db <= each.high_db <= 30 for each in found)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.wav"], 1, "There is no file 'nothing.wav'"),
        (["silent.wav"], 1, "silent"),
        (["call.wav", "--strength", "-3"], 2, "at least 0 dB"),
        (["call.wav", "--strength", "loud"], 2, "--strength takes"),
        (["call.wav", "--format", "mp3"], 2, "format"),
    ],
)
def test_what_is_refused(call, tmp_path, arguments, code, message):
    make(tmp_path / "call.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    found, _, text = call(*arguments)
    assert found == code
    assert message in text
    assert not list((tmp_path / "enhanced").glob("**/*.wav")) if (tmp_path / "enhanced").is_dir() else True


def test_a_model_that_separates_is_refused(call, save, tmp_path):
    make(tmp_path / "call.wav")
    for name in (save(tmp_path / "separator.safetensors"), "auxiva.iss", "sepformer.2talkers_8k"):
        code, _, text = call("call.wav", model=name)
        assert code == 2
        assert "does not take noise off: it separates talkers; try `unbabble separate`." in text


def test_options_of_the_model(call, tmp_path):
    make(tmp_path / "call.wav")
    make(tmp_path / "anna.wav", seed=1)
    code, (entry,), _ = call(
        "call.wav", "--set", "speech=anna.wav", "--set", "iterations=3", model="speech_nmf.semi"
    )
    assert (code, entry["model"]) == (0, "speech_nmf.semi")
    code, _, text = call("call.wav", "--set", "speach=anna.wav", model="speech_nmf.semi")
    assert code == 2
    assert "Did you mean 'speech'?" in text
    code, _, text = call("call.wav", model="speech_nmf")
    assert code == 1
    assert "clean speech of some people" in text


def test_without_an_enhancer_it_says_so(call, package, tmp_path):
    package(two={})
    make(tmp_path / "call.wav")
    code, _, text = call("call.wav", model="auto")
    assert code == 1
    assert "configs/gru.yaml" in text


def test_strengths_are_tried_from_the_strongest():
    assert tuple(sorted(enhancing.STRENGTHS_DB, reverse=True)) == enhancing.STRENGTHS_DB
    assert enhancing.STRENGTHS_DB[0] == math.inf
    assert enhancing.STRENGTHS_DB[-1] == 0


@pytest.fixture
def quarters(tmp_path):
    """An enhancer that leaves about a quarter of everything."""
    network = create("gru", hidden=2, layers=1)
    with torch.no_grad():
        network.to_mask.weight.zero_()
        network.to_mask.bias.fill_(-math.log(3))
    path = tmp_path / "quarters.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard("gru", network.resolved_options()))
    return path


@pytest.mark.parametrize(("loudest", "kept"), [(True, 0.5), (False, 0.25)])
def test_of_several_models_the_best_is_taken(call, tmp_path, monkeypatch, halves, quarters, loudest, kept):
    noisy = make(tmp_path / "call.wav")
    sign = 1 if loudest else -1
    monkeypatch.setattr(
        enhancing, "load_chooser", lambda name: lambda noisy, voice, rate: sign * float(voice.norm())
    )
    code, (entry,), _ = call("call.wav", "--choose", "me", model=f"{halves},{quarters}")
    assert code == 0
    found = audio.read(tmp_path / "enhanced" / "call" / "enhanced.wav").samples
    torch.testing.assert_close(found, kept * noisy, rtol=0, atol=1e-5)
    assert entry["model"] == str(halves if loudest else quarters)
    assert set(entry["details"]["tried"]) == {str(halves), str(quarters)}


@pytest.mark.parametrize("name", ["quality_net", "adaptive_dae", "frame_snr", "blind_sisnr_bands"])
def test_what_may_choose(tmp_path, name):
    network = create(name, **method(name).TINY)
    path = tmp_path / "judge.safetensors"
    weights.save(path, network.state_dict(), weights.WeightsCard(name, network.resolved_options()))
    choose = enhancing.load_chooser(str(path))
    heard = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert math.isfinite(choose(heard, 0.5 * heard, RATE))
    if name != "blind_sisnr_bands":
        assert choose(heard, torch.zeros(RATE), RATE) == -math.inf


def test_what_judges_no_speech_is_refused(call, tmp_path, halves, quarters):
    make(tmp_path / "call.wav")
    code, _, text = call("call.wav", "--choose", str(halves), model=f"{halves},{quarters}")
    assert code == 2
    assert "does not say how good speech is" in text
    code, _, text = call("call.wav", model=f"{halves},")
    assert code == 2
    assert "has no name" in text
    assert not (tmp_path / "enhanced").exists()
