"""Adapting a tiny enhancer to one person's recordings."""

import hashlib
import json

import numpy as np
import pytest
import soundfile
import torch

from unbabble import cli
from unbabble.base import weights
from unbabble.base.errors import InputError
from unbabble.base.registry import create
from unbabble.networks.load import load
from unbabble.nn.material import AdaptationTask
from unbabble.training import personal as adapting

RATE, STEPS = 16000, 6
OPTIONS = {"hidden": 4, "layers": 1}


def saved(path, seed, bias=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = create("gru", **OPTIONS)
    if bias is not None:
        with torch.no_grad():
            network.to_mask.weight.zero_()
            network.to_mask.bias.copy_(bias)
    card = weights.WeightsCard("gru", network.resolved_options(), summary="Noise off.", training={"steps": 1})
    weights.save(path, network.state_dict(), card)
    return str(path)


@pytest.fixture
def networks(tmp_path):
    """A student that knows nothing, and a teacher that takes away what lies above 2 kHz."""
    low_pass = torch.where(torch.arange(513) < 128, 5.0, -5.0)
    return {
        "student": saved(tmp_path / "student.safetensors", 0),
        "teacher": saved(tmp_path / "teacher.safetensors", 1, low_pass),
    }


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path, packaged_scorer):
    """Small batches, large steps, a cache of its own, a scorer that knows nothing."""
    monkeypatch.setattr(adapting, "has_scorer", lambda: True)
    monkeypatch.setattr(adapting, "BATCH", 4)
    monkeypatch.setattr(adapting, "RATE", 0.02)
    monkeypatch.setattr(adapting, "WARMUP", 1)
    monkeypatch.setattr(adapting, "SAVE_EVERY", 2)
    monkeypatch.setattr(adapting, "KEPT_AVERAGE", 0.1)
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "cache"))


def make(path, seconds=24.0, seed=0, rate=RATE, gain=0.05):
    samples = np.random.default_rng(seed).laplace(size=int(rate * seconds)) * gain
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


@pytest.fixture
def recording(tmp_path):
    return make(tmp_path / "mine.wav")


def test_it_learns_what_the_teacher_does(recording, networks):
    network, found = adapting.adapt([recording], steps=60, **networks)
    assert found.kept
    assert found.gain.low_db > 0
    assert found.gain.low_db <= found.gain.mean_db <= found.gain.high_db
    teacher, before = (load(networks[name], "enhancer").network for name in ("teacher", "student"))
    heard = torch.randn(1, RATE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted, first, then = (each.estimate(heard) for each in (teacher, before, network))
    assert (then - wanted).norm() < 0.6 * (first - wanted).norm()


@pytest.mark.parametrize("gain", [adapting.Gain(-0.5, -1.0, -0.1), adapting.Gain(0.4, -0.2, 1.0)])
def test_what_is_not_surely_better_is_not_kept(recording, networks, monkeypatch, gain):
    monkeypatch.setattr(adapting, "proof", lambda *_: gain)
    network, found = adapting.adapt([recording], steps=STEPS, **networks)
    assert not found.kept
    assert "not surely better" in found.reason
    before = load(networks["student"], "enhancer").network.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_divergence_is_rolled_back(recording, networks, monkeypatch):
    losses = AdaptationTask.losses

    def diverging(self, player, batch, step):
        found = losses(self, player, batch, step)
        return {name: loss * (np.inf if step == 3 else 1) for name, loss in found.items()}

    monkeypatch.setattr(AdaptationTask, "losses", diverging)
    network, found = adapting.adapt([recording], steps=STEPS, **networks)
    assert not found.kept
    assert found.reason == "Adaptation diverged at step 4."
    assert all(each.isfinite().all() for each in network.parameters())


def test_clean_speech_is_learnt_from(recording, networks, tmp_path, monkeypatch):
    clean = make(tmp_path / "clean.wav", seconds=3, seed=9)
    network, found = adapting.adapt([recording], [clean], steps=STEPS, keep=True, **networks)
    assert found.method == "distillation and clean speech"
    without, _ = adapting.adapt([recording], steps=STEPS, keep=True, **networks)
    assert not torch.equal(network.to_mask.weight, without.to_mask.weight)


@pytest.mark.parametrize("method", adapting.ways())
def test_every_way_goes_on_as_if_it_had_not_been_killed(recording, networks, tmp_path, monkeypatch, method):
    clean = [make(tmp_path / "clean.wav", seconds=4, seed=9)] if method == "fine_tuning" else []
    whole, found = adapting.adapt([recording], clean, method=method, steps=STEPS, keep=True, **networks)
    assert found.method == (f"{method} and clean speech" if clean else method)
    assert not torch.equal(whole.to_mask.weight, load(networks["student"], "enhancer").network.to_mask.weight)
    monkeypatch.setenv("UNBABBLE_CACHE", str(tmp_path / "other"))

    def kill(text):
        if text.startswith("Step 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapting.adapt([recording], clean, method=method, steps=STEPS, keep=True, report=kill, **networks)
    said: list[str] = []
    again, _ = adapting.adapt(
        [recording], clean, method=method, steps=STEPS, keep=True, report=said.append, **networks
    )
    assert "Goes on from step 4." in said
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_other_weights_under_the_same_name_begin_anew(recording, networks):
    """What was learnt from, and by, the file that lay there before is not gone on with."""
    first, _ = adapting.adapt([recording], steps=STEPS, keep=True, **networks)
    for role in ("student", "teacher"):
        card, tensors = weights.read_card(networks[role]), weights.read_tensors(networks[role])
        weights.save(networks[role], {name: 0.9 * each for name, each in tensors.items()}, card)
        said: list[str] = []
        second, _ = adapting.adapt([recording], steps=STEPS, keep=True, report=said.append, **networks)
        assert not any(text.startswith("Goes on") for text in said)
        assert not torch.equal(first.to_mask.weight, second.to_mask.weight)
        first = second


def test_in_half_precision_it_learns_nearly_the_same(recording, networks):
    start = load(networks["student"], "enhancer").network.to_mask.weight
    exact, coarse = (
        adapting.adapt([recording], steps=STEPS, keep=True, precision=precision, **networks)[0].to_mask.weight
        for precision in ("float32", "bfloat16")
    )
    assert exact.dtype == coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    turned = torch.nn.functional.cosine_similarity((exact - start).flatten(), (coarse - start).flatten(), 0)
    assert turned > 0.9


def test_an_unknown_way_is_refused(recording, networks):
    with pytest.raises(adapting.UsageError, match="data_purification"):
        adapting.adapt([recording], method="magic", steps=STEPS, **networks)
    with pytest.raises(adapting.UsageError, match="--clean"):
        adapting.adapt([recording], method="fine_tuning", steps=STEPS, **networks)


def test_what_is_held_back_is_not_learnt_from(recording, networks, tmp_path, monkeypatch):
    """Change the last quarter of the recording: the judgement changes, the network does not."""
    _, found = adapting.adapt([recording], steps=STEPS, keep=True, **networks)
    samples, _ = soundfile.read(recording)
    level = np.sqrt(np.mean(samples**2))
    samples[-4 * RATE :] = np.diff(samples[-4 * RATE :][::-1], prepend=0)  # no rumble, which would be removed
    samples[-4 * RATE :] *= level / np.sqrt(np.mean(samples[-4 * RATE :] ** 2))
    soundfile.write(tmp_path / "other.wav", samples, RATE, subtype="FLOAT")
    monkeypatch.setattr(adapting, "unit", lambda waveform: waveform / level)
    first, _ = adapting.adapt([recording], steps=STEPS, keep=True, seed=1, **networks)
    second, other = adapting.adapt([tmp_path / "other.wav"], steps=STEPS, keep=True, seed=1, **networks)
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())
    assert other.gain != found.gain


def test_it_says_what_it_was_made_from_and_forgets(recording, networks, tmp_path):
    _, found = adapting.adapt([recording], steps=STEPS, **networks)
    digest = hashlib.sha256(recording.read_bytes()).hexdigest()
    assert found.sources == [{"sha256": digest, "seconds": 24.0}]
    assert list((tmp_path / "cache" / "adapt").rglob("*.npy"))
    assert adapting.forget() > 100_000
    assert not (tmp_path / "cache" / "adapt").exists()
    assert adapting.forget() == 0


def test_what_the_teacher_says_serves_every_student(recording, networks, tmp_path):
    cache, other = tmp_path / "cache" / "adapt", saved(tmp_path / "other.safetensors", 7)
    adapting.adapt([recording], steps=2, **networks | {"student": other})
    kept = set(cache.rglob("*.npy"))
    for path in kept:
        np.save(path, np.load(path)[::-1])
    changed, _ = adapting.adapt([recording], steps=2, keep=True, **networks)
    assert set(cache.rglob("*.npy")) == kept
    adapting.forget()
    anew, _ = adapting.adapt([recording], steps=2, keep=True, **networks)
    assert not torch.equal(changed.to_mask.weight, anew.to_mask.weight)


def test_many_short_recordings_are_as_good_as_a_long_one(networks, tmp_path):
    paths = [make(tmp_path / f"{number}.wav", seconds=1, seed=number) for number in range(25)]
    _, found = adapting.adapt(paths, steps=2, **networks)
    assert len(found.sources) == 25
    assert found.gain.low_db <= found.gain.high_db


def test_networks_for_something_else_are_refused(recording, networks, save, tmp_path):
    separator = str(save(tmp_path / "separator.safetensors"))
    for role in ("student", "teacher"):
        with pytest.raises(adapting.UsageError, match="does not take noise off: it separates talkers"):
            adapting.adapt([recording], steps=2, **networks | {role: separator})


def test_too_little_is_refused(recording, networks, tmp_path):
    short = make(tmp_path / "short.wav", seconds=5)
    with pytest.raises(InputError, match=r"5\.0 seconds to learn from"):
        adapting.adapt([short], steps=STEPS, **networks)
    soundfile.write(tmp_path / "silent.wav", np.zeros(30 * RATE), RATE)
    with pytest.raises(InputError, match=r"0\.0 seconds"):
        adapting.adapt([tmp_path / "silent.wav"], steps=STEPS, **networks)
    clean = make(tmp_path / "clean.wav", seconds=0.5)
    with pytest.raises(InputError, match=r"0\.5 seconds of clean speech"):
        adapting.adapt([recording], [clean], steps=STEPS, **networks)


def test_silent_and_clipped_recordings_are_told(networks, tmp_path):
    loud = make(tmp_path / "loud.wav")
    samples, _ = soundfile.read(loud)
    soundfile.write(loud, samples.clip(-0.05, 0.05), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    _, found = adapting.adapt([loud, tmp_path / "silent.wav"], steps=2, **networks)
    assert any("silent" in text for text in found.warnings)
    assert any("clipped" in text for text in found.warnings)


def test_intervals_hold_the_mean_of_many():
    rng = np.random.default_rng(0)
    hits = sum(
        gain.low_db <= 1.0 <= gain.high_db
        for seed in range(200)
        for gain in [adapting.Gain.of(rng.normal(1.0, 2.0, 30), seed)]
    )
    assert 180 <= hits <= 199


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, networks):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        options = ["--student", networks["student"], "--teacher", networks["teacher"], "--steps", "6"]
        code = cli.run(["adapt", *map(str, arguments), *options])
        return code, capsys.readouterr().err

    return run


def test_the_command(call, recording, tmp_path, monkeypatch):
    code, text = call("mine.wav", "--out", "me.unbabble", "--report", "r.json", "--onnx")
    assert code == 0
    folder = tmp_path / "me.unbabble"
    assert {"model.safetensors", "config.json", "README.md", "step.onnx"} <= {
        each.name for each in folder.iterdir()
    }
    report = json.loads((tmp_path / "r.json").read_text())
    assert f"{report['gain_db'][0]:.2f} dB" in text if report["kept"] else "as it was" in text
    card = weights.read_card(folder / "model.safetensors")
    assert card.training["adapted"]["sources"][0]["seconds"] == 24.0
    assert cli.run(["enhance", "mine.wav", "--model", "me.unbabble", "--strength", "inf"]) == 0
    assert (tmp_path / "enhanced" / "mine" / "enhanced.wav").is_file()
    assert cli.run(["forget"]) == 0
    code, text = call("mine.wav", "--out", "me.unbabble")
    assert code == 2
    assert "--overwrite" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.wav", "--out", "a"], 1, "There is no file 'nothing.wav'"),
        (["mine.wav", "--out", "a", "--budget", "5"], 2, "--budget"),
        (["mine.wav"], 2, "--out"),
    ],
)
def test_the_command_refuses(call, recording, arguments, code, message, tmp_path):
    found, text = call(*arguments)
    assert found == code
    assert message in text
    assert not (tmp_path / "a").exists()


def test_no_step_of_what_has_none(call, recording, save, tmp_path, monkeypatch, capsys):
    """Refused before anything is learnt."""
    monkeypatch.setattr(adapting, "adapt", None)
    whole = save(tmp_path / "whole.safetensors", sources=1)
    for student, sentence in (("bsrnn.1talker_16k", "step by step"), (whole, "only causal")):
        arguments = ["adapt", "mine.wav", "--out", "a", "--onnx", "--student", str(student)]
        assert cli.run(arguments) == 2
        assert sentence in capsys.readouterr().err


def test_the_student_within_a_budget(package, tmp_path, monkeypatch):
    folder = package()
    with pytest.raises(InputError, match="No student"):
        adapting.student_within()
    for hidden in (8, 64):
        network = create("gru", hidden=hidden)
        card = weights.WeightsCard("gru", network.resolved_options())
        weights.save(folder / f"gru.2x{hidden}.safetensors", network.state_dict(), card)
    weights.packaged.cache_clear()
    assert adapting.student_within(5) == "gru.2x8"
    assert adapting.student_within(50) == adapting.student_within() == "gru.2x64"
    with pytest.raises(adapting.UsageError, match=r"gru\.2x8, takes 1 million"):
        adapting.student_within(0.1)


def test_the_student_that_is_fast_enough(package, monkeypatch):
    folder = package()
    for hidden in (8, 64):
        network = create("gru", hidden=hidden)
        card = weights.WeightsCard("gru", network.resolved_options())
        weights.save(folder / f"gru.2x{hidden}.safetensors", network.state_dict(), card)
    weights.packaged.cache_clear()
    assert adapting.milliseconds(create("gru", hidden=8)) > 0
    monkeypatch.setattr(
        adapting, "milliseconds", lambda network: 2.0 if network.recurrence.layers.hidden_size == 64 else 1.0
    )
    assert adapting.student_within(frame_ms=2.5) == "gru.2x64"
    assert adapting.student_within(frame_ms=1.5) == "gru.2x8"
    assert adapting.student_within(budget=5, frame_ms=2.5) == "gru.2x8"
    with pytest.raises(adapting.UsageError, match=r"and 1\.00 ms a frame here"):
        adapting.student_within(frame_ms=0.5)
