"""An encoder that learns group after group: goes on bit by bit, keeps what it was, is used as any other embedder."""

import numpy as np
import pytest
import soundfile
import torch

import unbabble
from unbabble.base import registry
from unbabble.base.errors import InputError, UsageError
from unbabble.data.clips import Clips, ClipStream
from unbabble.networks import load as networks
from unbabble.nn.objective import Objective
from unbabble.training.begin import fresh, run_of, take_parts, tuning_recipe
from unbabble.training.recipe import read_recipe
from unbabble.training.tasks import create

RATE = 8000
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*pin_memory")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four classes of four clips, each a noise of another colour."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    (folder / "clips").mkdir()
    rows = ["file,label,fold"]
    for number, label in enumerate(("dog", "rain", "siren", "train")):
        for take in range(4):
            spectrum = np.fft.rfft(rng.standard_normal(RATE))
            spectrum *= np.abs(np.linspace(0, 4, len(spectrum)) - number - 0.5) < 0.5
            soundfile.write(folder / "clips" / f"{label}{take}.wav", 0.1 * np.fft.irfft(spectrum), RATE)
            rows.append(f"{label}{take}.wav,{label},{1 + take % 2}")
    (folder / "clips.csv").write_text("\n".join(rows))
    return folder / "clips.csv"


def recipe(table, changes=(), **task):
    clips = {"clips": str(table), "seconds": 0.4, "sample_rate": RATE, "folds": ["1"]}
    content = {
        "method": "sound_encoder",
        "options": {"width": 2, "bands": 32, "dimension": 8, "sample_rate": RATE},
        "task": {"kind": "continual", **task},
        "train": {
            "kind": "stream",
            "clips": clips,
            "groups": [["dog", "siren"], ["rain", "train"]],
            "group_steps": 3,
        },
        "validation": {"kind": "clips", **clips, "pairs": True},
        "validation_items": 2,
        "steps": 6,
        "batch": 3,
        "validate_every": 3,
        "save_every": 1,
        "workers": 0,
    }
    return read_recipe(content | dict(changes))


def run(table, folder, changes=(), **task):
    checked = recipe(table, changes, **task)
    return run_of(checked, fresh(checked), folder, "cpu")


def everything(job):
    """All tensors that a run has."""
    return {
        f"{name}.{key}": tensor
        for name, network in job.task.networks.items()
        for key, tensor in network.state_dict().items()
    }


class Killed(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize(
    ("objective", "distillation"),
    [
        ("csup", "kld"),
        ("simclr", "similarity"),
        ("barlow_twins", "mse"),
        ("moco", "similarity"),
        ("moco", "none"),
    ],
)
@pytest.mark.parametrize("at", [2, 4])
def test_a_run_that_was_killed_goes_on_bit_by_bit(table, tmp_path, monkeypatch, objective, distillation, at):
    """In the first group, and in the second, where what the encoder was is kept."""
    options = {"objective": objective, "distillation": distillation}
    whole = run(table, tmp_path / "whole", **options)
    whole.train(lambda _: None)
    killed = run(table, tmp_path / "killed", **options)
    after = type(killed.task).after

    def dies(task, step, batch):
        if step == at:
            raise Killed
        after(task, step, batch)

    monkeypatch.setattr(type(killed.task), "after", dies)
    with pytest.raises(Killed):
        killed.train(lambda _: None)
    monkeypatch.undo()
    again = run(table, tmp_path / "killed", **options)
    again.resume()
    assert again.progress.step == at - 1
    again.train(lambda _: None)
    expected, resumed = everything(whole), everything(again)
    assert expected.keys() == resumed.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, resumed[name]), name


def test_losses_change_nothing_but_what_batch_norm_counts(table, tmp_path):
    job = run(table, tmp_path, objective="moco", distillation="mse")
    job.train(lambda _: None)
    batch = job.task.collate([job.items[number] for number in range(3)])
    counted = ("running_mean", "running_var", "num_batches_tracked")
    before = {name: tensor.clone() for name, tensor in everything(job).items()}
    one, other = (job.task.losses("network", batch, 5) for _ in range(2))
    assert set(one) == {"loss", "kept"}
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name, tensor in everything(job).items():
        assert name.endswith(counted) or torch.equal(tensor, before[name]), name


def test_what_was_learnt_is_kept_from_the_second_group_on(table, tmp_path):
    job = run(table, tmp_path, objective="simclr", distillation="mse")
    batch = job.task.collate([job.items[number] for number in range(3)])
    assert set(job.task.losses("network", batch, 2)) == {"loss"}
    assert set(job.task.losses("network", batch, 3)) == {"loss", "kept"}
    job.train(lambda _: None)
    before = job.task.networks["before"].state_dict()
    now = job.task.network.state_dict()
    assert any(not torch.equal(now[name], tensor) for name, tensor in before.items())
    assert not any(each.requires_grad for each in job.task.networks["before"].parameters())


def test_a_group_never_comes_back(table, tmp_path):
    job = run(table, tmp_path, objective="csup")
    known = recipe(table).train.known
    labels = [{known[int(job.items[place].label)] for place in job.plan[step]} for step in range(6)]
    assert set.union(*labels[:3]) == {"dog", "siren"}
    assert set.union(*labels[3:]) == {"rain", "train"}


def test_the_queue_holds_the_newest_keys_of_a_teacher_that_follows(table, tmp_path):
    job = run(table, tmp_path, objective="moco")
    start = {name: each.clone() for name, each in job.task.networks["teacher"].named_parameters()}
    job.train(lambda _: None)
    moco = job.task.network.objective
    assert int(moco.filled) == 6 * 3
    torch.testing.assert_close(moco.queue[:18].norm(dim=1), torch.ones(18))
    assert not moco.queue[18:].any()
    for name, each in job.task.networks["teacher"].named_parameters():
        theirs = dict(job.task.network.named_parameters())[name]
        assert (each - start[name]).norm() <= (theirs - start[name]).norm() + 1e-6, name


def test_it_learns_without_labels_from_a_folder_and_goes_on_with_a_new_one(table, tmp_path):
    """The field's way: recordings as they are, then those that arrive later, with what was learnt kept."""
    folder = table.parent / "clips"
    changes = {
        "train": {"kind": "stream", "clips": {"clips": str(folder), "seconds": 0.4, "sample_rate": RATE}}
    }
    run(table, tmp_path / "first", changes).train(lambda _: None)
    first = str(tmp_path / "first" / "best.safetensors")
    start = networks.load(first, "embedder")
    later = read_recipe(
        tuning_recipe(start.network, folder)
        | {"steps": 2, "batch": 3, "validate_every": 2, "validation_items": 2}
    )
    assert later.task["has_learnt"]
    job = run_of(later, start.network, tmp_path / "later", "cpu")
    said = []
    job.start_from_here(said.append)
    job.train(said.append)
    assert "the best so far" in said[-1]
    assert "kept" in "".join(job.progress.recent) or job.task.networks["before"]
    loaded = unbabble.load(str(tmp_path / "later" / "best.safetensors"), "embedder", device="cpu")
    vector = loaded(str(folder / "dog0.wav"))
    assert vector.shape == (8,)
    torch.testing.assert_close(vector.norm(), torch.tensor(1.0))


def test_a_classifier_takes_the_encoder_over(table, tmp_path):
    run(table, tmp_path / "encoder").train(lambda _: None)
    encoder = networks.load(str(tmp_path / "encoder" / "best.safetensors")).network
    clips = {"kind": "clips", "clips": str(table), "seconds": 0.4, "sample_rate": RATE}
    content = {
        "method": "cnn14",
        "options": {"width": 2, "bands": 32, "dimension": 8},
        "train": {**clips, "folds": ["1"]},
        "validation": {**clips, "folds": ["2"]},
        "validation_items": 8,
        "steps": 2,
        "batch": 4,
        "validate_every": 2,
        "workers": 0,
    }
    checked = read_recipe(content)
    classifier = fresh(checked)
    assert classifier.labels == ("dog", "rain", "siren", "train")
    take_parts(classifier, "trunk", encoder, "encoder")
    assert torch.equal(classifier.trunk.blocks[0].conv1.weight, encoder.trunk.blocks[0].conv1.weight)
    said = []
    run_of(checked, classifier, tmp_path / "classifier", "cpu").train(said.append)
    assert "labelled right" in said[-1]
    loaded = unbabble.load(str(tmp_path / "classifier" / "best.safetensors"), "classifier", device="cpu")
    assert loaded(str(table.parent / "clips" / "dog0.wav")).shape == (4,)


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ({"objective": "simclr", "distillation": "kld"}, {}, "no logits"),
        ({"weight": -1.0}, {}, "0 or more"),
        ({}, {"train": {"kind": "clips", "clips": "."}}, "a stream of recordings"),
        ({"objective": "csup"}, {"train": {"kind": "stream", "clips": {"clips": "."}}}, "learns by labels"),
    ],
)
def test_what_cannot_be_learnt(table, tmp_path, monkeypatch, task, changes, words):
    monkeypatch.chdir(table.parent / "clips")
    with pytest.raises(UsageError, match=words):
        run(table, tmp_path, changes, **task)


def test_another_network_has_no_continual_task(table):
    network = registry.create("ecapa_tdnn", **registry.method("ecapa_tdnn").TINY)
    with pytest.raises(UsageError, match="is no sound_encoder"):
        create(network, {"kind": "continual"})


@pytest.mark.parametrize("name", registry.of_kind("objective"))
def test_objectives_learn_on_vectors_of_two_views(name):
    objective = registry.method(name)(6, 3)
    assert isinstance(objective, Objective)
    torch.manual_seed(0)
    vectors = torch.randn(2, 5, 6, requires_grad=True)
    label = torch.tensor([0, 1, 2, 0, 1])
    keys = objective.key(vectors[1]).detach() if objective.FOLLOWED else None
    objective.loss(vectors, label, keys).backward()
    assert vectors.grad.isfinite().all()
    assert all(each.grad is not None for each in objective.parameters())


def test_a_stream_takes_its_labels_from_all_groups(table):
    stream = ClipStream(Clips(table, seconds=0.4, sample_rate=RATE), (("train",), ("dog",)), 2)
    assert stream.known == ("dog", "rain", "siren", "train")
    with pytest.raises(InputError, match="has no label 'cat'"):
        ClipStream(Clips(table), (("cat",),), 2).open(0)
