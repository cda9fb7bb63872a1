import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from unbabble import cli
from unbabble.base import registry, weights
from unbabble.base.config import load_yaml, merge
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.networks import load as networks
from unbabble.nn.kinds import separator
from unbabble.nn.kinds.network import Network
from unbabble.pipelines.enhance import load_enhancer
from unbabble.training.begin import run_of, take_parts, tuning_recipe
from unbabble.training.recipe import Recipe, read_recipe
from unbabble.training.run import Run
from unbabble.training.schedule import learning_rate
from unbabble.verbs.train import train

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
RATE = 8000
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*pin_memory")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Two speakers, one that hums and one that hisses."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for speaker in ("hum", "hiss"):
        for number in range(5):
            time_ = np.arange(RATE) / RATE
            hum = np.sin(2 * np.pi * rng.uniform(150, 300) * time_)
            hiss = np.diff(rng.standard_normal(RATE + 1))
            wave = (hum if speaker == "hum" else hiss) * np.sin(np.pi * time_ * rng.integers(1, 4))
            (folder / speaker).mkdir(exist_ok=True)
            soundfile.write(folder / speaker / f"{number}.wav", 0.1 * wave, RATE)
    return folder


def content(speech, **changes):
    mixing = {"speech": str(speech), "talkers": [2], "seconds": 0.25, "cache": str(speech / "cache")}
    mixing["kind"] = "mixtures"
    basic = {
        "method": "bsrnn",
        "options": registry.method("bsrnn").TINY,
        "train": {**mixing, "held_out": False},
        "validation": {**mixing, "held_out": True},
        "validation_items": 2,
        "steps": 6,
        "batch": 2,
        "validate_every": 2,
        "save_every": 2,
        "average": 0.9,
        "workers": 0,
    }
    return basic | changes


def fresh(recipe: Recipe) -> Network:
    torch.manual_seed(recipe.seed)
    return registry.create(recipe.method, **recipe.options)


def run(speech, folder, **changes) -> Run:
    recipe = read_recipe(content(speech, **changes))
    return run_of(recipe, fresh(recipe), folder, "cpu")


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "hours"} for line in lines]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_weights_curve_and_recipe(speech, tmp_path):
    job = run(speech, tmp_path)
    job.train(print)
    card = weights.read_card(tmp_path / "best.safetensors")
    assert card.method == "bsrnn"
    rebuilt = registry.create(card.method, **card.options)
    rebuilt.load_state_dict(weights.read_tensors(tmp_path / "best.safetensors"))
    assert same(weights.read_tensors(tmp_path / "last.safetensors"), job.average)
    assert [line["step"] for line in metrics(tmp_path)] == [2, 4, 6]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    again = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert read_recipe(again) == job.updates


def test_training_learns(speech, tmp_path):
    job = run(
        speech,
        tmp_path,
        steps=60,
        batch=4,
        learning_rate=0.01,
        validate_every=60,
        options={"features": 8, "hidden": 8, "mask_hidden": 8, "blocks": 1},
    )
    with torch.no_grad():
        before = job.task.measure(job.validation, 4)
    progress = job.train(print)
    assert progress.validations[-1]["loss"] < before["loss"] - 3
    assert progress.validations[-1]["si_snri_db"] > before["si_snri_db"] + 3


def test_what_counts_is_trained_alike(speech, tmp_path):
    said = []
    some = {"speech": str(speech), "talkers": [1, 2], "seconds": 0.5, "cache": str(speech / "cache")}
    some["kind"] = "mixtures"
    tiny = registry.method("countnet").TINY | {"sources": 2}
    job = run(speech, tmp_path, method="countnet", options=tiny, train=some, validation=some, steps=2)
    progress = job.train(said.append)
    assert 0 <= progress.validations[-1]["right"] <= 1
    assert "% counted right" in said[-1]
    with pytest.raises(UsageError, match="does not separate talkers: it counts talkers"):
        networks.ready(str(tmp_path / "best.safetensors"), torch.device("cpu"), "separator")
    assert cli.run(["export", str(tmp_path / "best.safetensors"), "--out", str(tmp_path / "x.onnx")]) != 0
    assert cli.run(["push", str(tmp_path / "best.safetensors"), str(tmp_path / "folder")]) == 0
    assert "pipeline_tag: audio-classification" in (tmp_path / "folder" / "README.md").read_text()
    assert cli.run(["models", "info", str(tmp_path / "best.safetensors")]) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "schedule": "plateau", "precision": "bfloat16"},
        {"optimizer": "muon", "options": registry.method("bsrnn").TINY | {"features": 16, "hidden": 16}},
    ],
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(speech, tmp_path, monkeypatch, changes):
    whole = run(speech, tmp_path / "whole", **changes)
    whole.train(print)
    broken = run(speech, tmp_path / "broken", **changes)
    update = Run._update

    def interrupted(self, batch):
        if self.progress.step == 5:  # one step beyond the checkpoint, and beyond a validation
            raise KeyboardInterrupt
        return update(self, batch)

    monkeypatch.setattr(Run, "_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        broken.train(print)
    monkeypatch.undo()
    torch.manual_seed(99)  # another process has another random state
    resumed = run(speech, tmp_path / "broken", **changes)
    resumed.resume()
    assert resumed.progress.step == 4
    resumed.train(print)
    assert same(resumed.task.network.state_dict(), whole.task.network.state_dict())
    assert same(resumed.average, whole.average)
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole")
    best = [weights.read_tensors(tmp_path / name / "best.safetensors") for name in ("broken", "whole")]
    assert same(*best)


def test_killed_at_any_moment(speech, tmp_path):
    """A real process, killed while it works; what it was doing then is not known, and need not be."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content(speech, steps=30, save_every=3, validate_every=5)))
    command = [sys.executable, "-m", "unbabble.cli", "train", str(config), "--device", "cpu", "--out"]
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.PIPE)
    checkpoint = tmp_path / "killed" / "last.ckpt"
    for _ in range(600):
        if checkpoint.exists() or killed.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(checkpoint, weights_only=True)["progress"]["step"] < 30
    train(config, out=tmp_path / "killed", resume=True, device="cpu", quiet=True)
    train(config, out=tmp_path / "whole", device="cpu", quiet=True)
    found = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("killed", "whole")]
    assert same(found[0]["networks"]["network"], found[1]["networks"]["network"])
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def test_a_full_disk_loses_nothing(speech, tmp_path, monkeypatch):
    job = run(speech, tmp_path, steps=4)
    job.train(print)
    before = job.checkpoint.read_bytes()

    def full(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        job.save()
    assert job.checkpoint.read_bytes() == before
    assert not list(tmp_path.glob(".*partial"))


def test_a_run_that_diverges_says_so(speech, tmp_path, monkeypatch):
    monkeypatch.setattr(
        separator.NeuralSeparator, "loss", lambda self, m, s, **_: self.estimate(m).sum((1, 2)) * math.nan
    )
    job = run(speech, tmp_path, most_lost_updates=3)
    before = {name: tensor.clone() for name, tensor in job.task.network.state_dict().items()}
    with pytest.raises(InputError, match="diverged"):
        job.train(print)
    assert same(job.task.network.state_dict(), before), (
        "no step was taken along a gradient that is not finite"
    )


def test_a_checkpoint_of_another_network_is_refused(speech, tmp_path):
    run(speech, tmp_path, steps=2).train(print)
    other = run(speech, tmp_path, options=registry.method("bsrnn").TINY | {"hidden": 7})
    with pytest.raises(InputError, match=r"of another network: .*size mismatch"):
        other.resume()
    torch.save({"network": {}, "progress": {}}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="another release"):
        run(speech, tmp_path).resume()
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(InputError, match="is damaged"):
        run(speech, tmp_path).resume()


def rates(recipe, steps, losses=()):
    found = []
    for step in range(steps):
        found.append(learning_rate(recipe, step, [loss for at, loss in losses if at <= step]))
    return found


def test_learning_rates(speech):
    recipe = read_recipe(content(speech, learning_rate=1.0, steps=100, warmup_steps=10))
    assert rates(recipe, 12) == pytest.approx([*np.arange(1, 11) / 10, 1, 1])
    cosine = replace(recipe, schedule="cosine", final_share=0.1)
    assert learning_rate(cosine, 10) == pytest.approx(1)
    assert learning_rate(cosine, 55) == pytest.approx(0.55)
    assert learning_rate(cosine, 100) == pytest.approx(0.1)
    twice = replace(cosine, cycles=2)
    assert learning_rate(twice, 30) == pytest.approx(0.55)
    assert rates(twice, 100)[50:] == rates(twice, 50)
    assert learning_rate(twice, 49) < 0.12
    decay = replace(recipe, schedule="decay", decay=0.5, decay_steps=20)
    assert [learning_rate(decay, step) for step in (19, 20, 59, 60)] == [1, 0.5, 0.25, 0.125]
    plateau = replace(recipe, schedule="plateau", patience=2, warmup_steps=0)
    halved = rates(plateau, 6, [(0, 5.0), (1, 4.0), (2, 4.5), (3, 4.0), (4, 3.0), (5, 3.5)])
    assert halved == [1, 1, 1, 0.5, 0.5, 0.5]


def parts() -> list[tuple[Path, ...]]:
    """Every recipe: those that are whole, and every network with every corpus that it can learn from."""
    contents = {path: load_yaml(path) for path in CONFIGS}
    whole = [(path,) for path, content in contents.items() if "train" in content]
    networks = [path for path, content in contents.items() if "train" not in content]
    corpora = sorted((CONFIGS[0].parent / "corpora").glob("*.yaml"))
    pairs = [(network, corpus) for network in networks for corpus in corpora]
    return [
        *whole,
        *(pair for pair in pairs if _fit(contents[pair[0]], load_yaml(pair[1])["train"])),
    ]


KINDS = {
    "scorer": "separated",
    "classifier": "clips",
    "embedder": "speakers",
    "extractor": "enrolled",
    "joint embedder": "captioned",
    "recognizer": "transcribed",
    "language model": "text",
}
"""What each contract learns from, if not from mixtures."""
MIXTURES = {"mixtures", "manifest", "librimix"}
ENHANCING = ("gru", "sparse_ensemble", "frame_snr", "adaptive_dae")
"""Learn from one talker in noise."""


def _fit(network: dict, corpus: dict) -> bool:
    """Whether a network can learn from a corpus; enhancers learn from one talker in noise, specialists from labels."""
    options = network.get("options", {})
    kind = KINDS.get(registry.find(network["method"])[0].contract)
    if network["method"] == "quality_net":
        kind = "rated"
    if network["method"] == "sound_encoder":
        kind = "stream"
    if network["method"] == "sparse_ensemble" and not options.get("joint"):
        kind = "labelled"
    given = next(iter(corpus.get("sets", {"only": corpus}).values()))["kind"]
    if kind is not None or given not in MIXTURES:
        return kind == given
    one = network["method"] in ENHANCING or options.get("sources") == 1
    return not one or corpus.get("talkers") == [1]


@pytest.mark.parametrize("paths", parts(), ids=lambda paths: "-".join(path.stem for path in paths))
def test_every_config_is_a_recipe_for_a_network(paths):
    recipe = read_recipe(reduce(merge, map(load_yaml, paths)))
    card, _ = registry.find(recipe.method)
    assert card.network
    small = {
        name: value
        for name, value in registry.method(recipe.method).TINY.items()
        if name not in recipe.options
    }
    network = registry.create(recipe.method, **small | recipe.options)
    assert network.sample_rate == recipe.train.sample_rate == recipe.validation.sample_rate
    assert all(any(fnmatchcase(name, part) for name, _ in network.named_modules()) for part in recipe.parts)
    if card.contract in ("separator", "enhancer"):
        assert network.sources >= max(getattr(recipe.train, "talkers", (network.sources,)))


def test_parts_of_a_recipe_add_up(speech, tmp_path):
    whole = content(speech, steps=2)
    corpus = {name: whole.pop(name) for name in ("train", "validation")}
    for name, part in (("network", whole), ("corpus", corpus), ("more", {"batch": 1})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(part))
    names = [tmp_path / f"{name}.yaml" for name in ("network", "corpus", "more")]
    train(*names, out=tmp_path / "run", device="cpu", quiet=True)
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["batch"] == 1
    command = weights.read_card(tmp_path / "run" / "best.safetensors").command
    assert command == f"unbabble train {names[0]} {names[1]} {names[2]}"


def test_parts_of_a_network_come_from_others(speech, tmp_path):
    gru = {"window_length": 64, "heard_length": 32, "hop_length": 16, "sample_rate": 8000, "hidden": 8}
    torch.manual_seed(5)
    one = registry.create("gru", **gru)
    path = tmp_path / "one.safetensors"
    weights.save(path, one.state_dict(), weights.WeightsCard("gru", one.resolved_options()))
    config = tmp_path / "config.yaml"
    small = registry.method("sparse_ensemble").TINY | {"sample_rate": 8000, "specialists": 3}
    ensemble = {
        "method": "sparse_ensemble",
        "options": small,
        "steps": 1,
        "learning_rate": 1e-30,
        "average": 0.0,
    }
    ensemble["train"], ensemble["validation"] = (
        {
            "kind": "mixtures",
            "speech": str(speech),
            "talkers": [1],
            "seconds": 0.25,
            "cache": str(speech / "cache"),
        }
        for _ in range(2)
    )

    def trained(parts: dict[str, str], name: str, start: str | None = None):
        config.write_text(yaml.safe_dump(content(speech, **ensemble, parts=parts)))
        run = train(config, from_=start, out=tmp_path / name, device="cpu", quiet=True)
        return weights.read_tensors(run.folder / "last.safetensors")

    found = trained({"specialists.*": str(path)}, "a")
    for number in range(3):
        mine = found[f"specialists.{number}.recurrence.layers.weight_hh_l1"]
        assert torch.equal(mine, one.recurrence.layers.weight_hh_l1)
    one_alone = trained({"specialists.1": str(path)}, "b")["specialists.0.to_mask.weight"]
    assert not torch.equal(one_alone, one.to_mask.weight)
    goes_on = trained({"specialists.*": str(path)}, "e", start=str(tmp_path / "b" / "last.safetensors"))
    assert torch.equal(goes_on["specialists.0.to_mask.weight"], one_alone)
    with pytest.raises(UsageError, match="no part 'experts'"):
        trained({"experts": str(path)}, "c")
    with pytest.raises(UsageError, match="fits 'gate'"):
        trained({"gate": str(path)}, "d")


def test_of_parts_that_are_alike_the_one_of_the_same_name_is_taken():
    source = registry.create("bsrnn", **registry.method("bsrnn").TINY, sources=2)
    options = {name: source.resolved_options()[name] for name in registry.method("bsrnn").TINY}
    network = registry.create("personal_bsrnn", **registry.method("personal_bsrnn").TINY | options)
    for part in ("over_time", "over_bands"):
        take_parts(network, part, source, "bsrnn")
        for mine, theirs in zip(
            getattr(network, part).parameters(), getattr(source, part).parameters(), strict=True
        ):
            assert torch.equal(mine, theirs)


def test_recordings_that_nobody_knows_are_learnt_from(speech, tmp_path):
    noise = tmp_path / "noise" / "a.wav"
    noise.parent.mkdir()
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    basic = content(speech, task={"mixit": True})
    several = basic | {"options": basic["options"] | {"sources": 4}}  # two voices stand for two mixtures
    tiny = registry.method("conv_tasnet").TINY | {"sample_rate": RATE, "sources": 3}
    enhancing = basic | {"method": "conv_tasnet", "options": tiny}
    for section in ("train", "validation"):
        noisy = {"talkers": [1], "noise": str(noise.parent), "noise_share": 1.0}
        enhancing[section] = basic[section] | noisy
    for name, recipe in (("several", several), ("enhancing", enhancing)):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump(recipe))
        found = train(config, out=tmp_path / name, device="cpu", quiet=True)
        assert all(np.isfinite(each["loss"]) for each in found.validations)
        assert np.isfinite(found.validations[-1]["si_snri_db"])
    assert networks.load(str(tmp_path / "several" / "best.safetensors"), "separator").network.sources == 4
    # What learnt to take noise off returns the voice alone, and goes on learning with all its outputs.
    assert load_enhancer(str(tmp_path / "enhancing" / "last.safetensors"), "cpu")
    config.write_text(yaml.safe_dump(enhancing | {"steps": 2 * enhancing["steps"]}))
    shutil.copytree(tmp_path / "enhancing", tmp_path / "more")
    (tmp_path / "more" / "recipe.yaml").unlink()
    more = train(config, out=tmp_path / "more", device="cpu", quiet=True, resume=True)
    assert [each["step"] for each in more.validations] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("conv_tasnet", {"sources": 1}, "more outputs"),
        ("bsrnn", {"sources": 3}, "cannot stand alone"),
        ("deep_clustering", {"sources": 3}, "a loss of its own"),
    ],
)
def test_networks_that_cannot_learn_by_mixture_invariance(speech, tmp_path, method, options, sentence):
    noise = tmp_path / "noise" / "a.wav"
    noise.parent.mkdir()
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    tiny = registry.method(method).TINY | {"sample_rate": 8000} | options
    recipe = content(speech, method=method, options=tiny, task={"mixit": True})
    for section in ("train", "validation"):
        recipe[section] = recipe[section] | {"talkers": [1], "noise": str(noise.parent), "noise_share": 1.0}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(recipe))
    with pytest.raises(UsageError, match=sentence):
        train(config, out=tmp_path / "run", device="cpu", quiet=True)


def test_ensembles_learn_from_labels(speech, tmp_path):
    noise = tmp_path / "noise" / "a.wav"
    noise.parent.mkdir()
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    mixing = {"speech": str(speech), "talkers": [1], "seconds": 0.25, "cache": str(speech / "cache")}
    mixing |= {"noise": str(noise.parent), "noise_share": 1.0, "snr_db": [-10, 15]}
    section = {"kind": "labelled", "labels": "snr", "levels_db": [0.0, 10.0], "mixing": mixing}
    options = registry.method("sparse_ensemble").TINY | {"sample_rate": 8000, "joint": False}
    config = tmp_path / "config.yaml"
    recipe = content(speech, method="sparse_ensemble", options=options, train=section, validation=section)
    config.write_text(yaml.safe_dump(recipe))
    found = train(config, out=tmp_path / "run", device="cpu", quiet=True)
    assert len(found.validations) == 3
    mixing = {"kind": "mixtures"} | mixing
    config.write_text(yaml.safe_dump(recipe | {"train": mixing, "validation": mixing}))
    with pytest.raises(UsageError, match="label"):
        train(config, out=tmp_path / "other", device="cpu", quiet=True)


def test_ready_mixtures(speech, tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for number in range(3):
        voices = 0.1 * rng.standard_normal((2, RATE))
        for name, wave in (("mix", voices.sum(0)), ("s1", voices[0]), ("s2", voices[1])):
            soundfile.write(tmp_path / f"{name}-{number}.wav", wave, RATE, subtype="FLOAT")
        lines.append(
            json.dumps({"mixture": f"mix-{number}.wav", "sources": [f"s1-{number}.wav", f"s2-{number}.wav"]})
        )
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    ready = {"kind": "manifest", "manifest": str(tmp_path / "m.jsonl"), "seconds": 0.25}
    job = run(speech, tmp_path / "run", train=ready, validation=ready, steps=2)
    mixture, sources = job.items[7]
    assert np.sqrt(np.mean(mixture**2)) == pytest.approx(1, abs=1e-4)
    assert np.allclose(sources.sum(0), mixture, atol=1e-4)
    assert job.train(print).step == 2
    with pytest.raises(UsageError, match="mixtures of 2 known voices, but the network returns 1"):
        run(
            speech,
            tmp_path / "one",
            train=ready,
            validation=ready,
            options=registry.method("bsrnn").TINY | {"sources": 1},
        )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"step": 5}, "no option 'step'. Did you mean 'steps'?"),
        ({"batch": "many"}, "option 'batch'"),
        ({"batch": 0}, "batch is at least 1"),
        ({"schedule": "cosin"}, "option 'schedule'"),
        ({"train": 3}, "no section 'train'"),
        ({"train": {"kind": "mixtures", "speech": "x", "talker": [2]}}, "'talker'. Did you mean 'talkers'?"),
        (
            {"train": {"kind": "mixture", "speech": "x"}},
            "Section 'train' needs a kind, one of captioned, clips",
        ),
        ({"train": {"kind": "several", "sets": {"a": {"kind": "mixtures"}}}}, "set 'a': option 'speech'"),
        ({"method": None}, "option 'method'"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(speech, changes, sentence):
    with pytest.raises(UsageError) as caught:
        read_recipe(content(speech, **changes))
    assert sentence in str(caught.value)


def test_wrong_commands(speech, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content(speech, steps=2)))
    train(config, out=tmp_path / "run", device="cpu", quiet=True)
    with pytest.raises(UsageError, match="holds a run already: --resume"):
        train(config, out=tmp_path / "run", device="cpu", quiet=True)
    with pytest.raises(UsageError, match="Name a recipe, or a model and a folder"):
        train(quiet=True)
    for method in ("word_vectors", "sentence_bert"):
        other = tmp_path / f"{method}.yaml"
        other.write_text(yaml.safe_dump(content(speech, steps=2, method=method, options={})))
        with pytest.raises(UsageError, match="learns within these alone"):
            train(other, out=tmp_path / "other", device="cpu", quiet=True)
    with pytest.raises(UsageError, match="is not a network: there is nothing to train"):
        train(config, set=["method=auxiva", "options={}"], out=tmp_path / "other", quiet=True)
    with pytest.raises(UsageError, match="no option 'blocs'"):
        train(config, set=["options.blocs=2"], out=tmp_path / "other", quiet=True)
    with pytest.raises(InputError, match="There is no file or folder"):
        train(config, set=["train.speech=/nowhere.csv"], out=tmp_path / "other", quiet=True)
    assert not (tmp_path / "other").exists()


def test_tuning_on_ones_own_folder(speech, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content(speech, steps=2)))
    first = train(config, out=tmp_path / "first", device="cpu", quiet=True)
    model = str(first.weights)
    quick = [
        "steps=2",
        "train.seconds=0.25",
        "validation.seconds=0.25",
        "validation_items=2",
        "validate_every=2",
        "workers=0",
    ]
    tuned = train(
        from_=model,
        data=speech,
        set=[*quick, "learning_rate=0.01"],
        out=tmp_path / "tuned",
        device="cpu",
        quiet=True,
    )
    assert tuned.weights is not None
    assert tuned.validations[1]["loss"] < tuned.validations[0]["loss"]
    kept = train(
        from_=model,
        data=speech,
        set=[*quick, "learning_rate=1e-30"],
        out=tmp_path / "kept",
        device="cpu",
        quiet=True,
    )
    assert kept.weights is None, "nothing was gained, so nothing replaces what there is"


def test_tuning_judges_by_what_it_does_not_train_on(speech):
    start = registry.create("bsrnn", **registry.method("bsrnn").TINY)
    recipe = read_recipe(tuning_recipe(start, speech))
    assert (recipe.train.held_out, recipe.validation.held_out) == (False, True)
    assert asdict(recipe)["options"] == start.resolved_options()


def test_what_shall_keep_levels_does_not_begin_with_those_of_weights_that_left_them_open(
    speech, tmp_path, save
):
    start, config = save(tmp_path / "loud.safetensors"), tmp_path / "config.yaml"
    tensors, card = weights.read_tensors(start), weights.read_card(start)
    loud = 1000 * tensors["decoder.weight"]
    weights.save(start, tensors | {"decoder.weight": loud}, card)
    config.write_text(yaml.safe_dump(content(speech, steps=1, method="conv_tasnet", options=card.options)))
    for levels, settled in (("fitted", False), ("kept", True)):
        set_ = [f"options.levels={levels}", "learning_rate=1e-30", "average=0"]
        run = train(config, from_=str(start), set=set_, out=tmp_path / levels, device="cpu", quiet=True)
        after = weights.read_tensors(run.folder / "last.safetensors")["decoder.weight"]
        assert (after.norm() < 0.1 * loud.norm()) == settled


def test_a_network_with_another_number_of_voices_starts_from_what_fits(speech, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content(speech, steps=1)))
    first = train(config, out=tmp_path / "two", device="cpu", quiet=True)
    set_ = ["options.sources=3", "learning_rate=1e-30", "average=0"]
    third = train(config, from_=str(first.weights), set=set_, out=tmp_path / "three", device="cpu")
    said = capsys.readouterr().err
    assert "start anew: masks.layers.0.3.weight" in said
    before, after = weights.read_tensors(first.weights), weights.read_tensors(third.weights)
    assert torch.equal(before["over_time.0.norm.weight"], after["over_time.0.norm.weight"])
    assert after["masks.layers.0.3.weight"].shape[0] == 1.5 * before["masks.layers.0.3.weight"].shape[0]
    other = content(speech, method="conv_tasnet", options=registry.method("conv_tasnet").TINY)
    config.write_text(yaml.safe_dump(other))
    with pytest.raises(UsageError, match="is a bsrnn, but the recipe is for conv_tasnet"):
        train(config, from_=str(first.weights), out=tmp_path / "no", quiet=True)


def test_recipes_of_earlier_releases_are_read_with_a_note(speech, caplog):
    now = content(speech, task={"mixit": True, "soft_db": 15.0})
    earlier = {name: value for name, value in now.items() if name != "task"} | {
        "mixit": True,
        "soft_db": 15.0,
    }
    for section in ("train", "validation"):
        earlier[section] = {name: value for name, value in now[section].items() if name != "kind"}
    assert read_recipe(earlier) == read_recipe(now)
    assert len(caplog.messages) == 4
    assert "`kind: mixtures`" in caplog.text
    assert "`soft_db` belongs into `task: {soft_db: ...}`" in caplog.text
    typed = read_recipe(now | {"soft_db": 20.0})
    assert typed.task == {"mixit": True, "soft_db": 20.0}, "what is typed besides wins"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": {"soft": 3}}, "task for a bsrnn has no option 'soft'. Did you mean 'soft_db'?"),
        ({"task": {"kind": "plan"}}, "no option 'kind=plan'. Did you mean 'kind=plain'?"),
        ({"task": {"soft_db": "much"}}, "option 'soft_db'"),
        ({"task": {"mixit": "perhaps"}}, "option 'mixit'"),
        (
            {"method": "countnet", "options": {}, "task": {"soft_db": 15}},
            "for a countnet has no option 'soft_db'",
        ),
    ],
)
def test_a_wrong_task_is_one_sentence(speech, tmp_path, changes, sentence):
    with pytest.raises(UsageError) as caught:
        run(speech, tmp_path, **changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("how", ["shares", "steps"])
def test_several_sets_are_learnt_from_and_gone_on_with(speech, tmp_path, how):
    one = content(speech)["train"]
    if how == "shares":
        sets_ = {"long": one | {"share": 0.7, "seconds": 0.5}, "short": one | {"share": 0.3}}
    else:
        sets_ = {"long": one | {"steps": 3, "seconds": 0.5}, "short": one}
    several = {"train": {"kind": "several", "sets": sets_}}
    whole = run(speech, tmp_path / "whole", **several)
    seconds = [
        len(whole.items.described.sets),
        *(len(whole.items[p[0]].mixture) for p in map(whole.plan.__getitem__, range(6))),
    ]
    assert set(seconds[1:]) == {RATE // 2, RATE // 4}
    if how == "steps":
        assert seconds[1:] == [RATE // 2] * 3 + [RATE // 4] * 3
    whole.train(print)
    assert read_recipe(yaml.safe_load((tmp_path / "whole" / "recipe.yaml").read_text())) == whole.updates
    first = run(speech, tmp_path / "again", **several, steps=4)
    first.train(print)
    again = run(speech, tmp_path / "again", **several)
    again.resume()
    again.train(print)
    assert same(again.task.network.state_dict(), whole.task.network.state_dict())
