"""The task ``pairs``: tables to items, what is learnt from them, a teacher's soft targets; what is refused."""

import csv

import numpy as np
import pytest
import torch

from tests.sound_models import PIECES, tiny_clap, tone, vocabulary, write
from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import method
from unbabble.data import sets
from unbabble.training.tasks import create


def table(folder, rows=(("low", 1), ("high", 1), ("low", 2), ("high", 3))):
    """Recordings beside their table, of half a second each."""
    with open(folder / "sounds.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "fold"])
        for number, (label, fold) in enumerate(rows):
            write(folder / f"{number}.wav", tone(300 if label == "low" else 3000, 0.5, number))
            writer.writerow([f"{number}.wav", label, fold])
    return folder / "sounds.csv"


def captioned(place, **options):
    return sets.read({"kind": "captioned", "tables": [str(place)], "seconds": 1.0, **options}, "Section")


def network():
    options = method("clap").TINY | {
        "text_options": {"letters": len(vocabulary()), "pieces": len(PIECES), "dimension": 8}
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = method("clap")(**options)
    made.text.vocabulary.copy_(vocabulary())
    return made


def test_every_epoch_has_each_recording_once_at_unit_power(tmp_path):
    items = captioned(table(tmp_path)).open(seed=1)
    first = [items[number] for number in range(4)]
    assert sorted(each.label for each in first) == ["high", "high", "low", "low"]
    assert all(each.label in each.text for each in first)
    assert all(
        len(each.waveform) == 16000 and np.mean(each.waveform**2) == pytest.approx(1, abs=0.01)
        for each in first
    )
    again = captioned(tmp_path / "sounds.csv").open(seed=1)
    assert [again[number].text for number in range(9)] == [items[number].text for number in range(9)]


def test_folds_labels_and_texts_of_ones_own(tmp_path):
    place = table(tmp_path)
    ordered = captioned(place, folds=[1, 3], in_order=True).open(0)
    assert [(ordered[n].label, ordered[n].text) for n in range(3)] == [
        ("low", "low"),
        ("high", "high"),
        ("high", "high"),
    ]
    assert captioned(place).decides() == {"words": "high,low"}
    assert captioned(place, without=["low"]).decides() == {"words": "high"}
    with pytest.raises(InputError, match="Nothing is left"):
        captioned(place, folds=[7]).open(0)
    place.write_text("file,label,text\n0.wav,low,a deep hum\n")
    assert captioned(place).open(0)[0].text == "a deep hum"


def test_the_whole_set_is_measured(tmp_path):
    from unbabble.networks.load import load

    items = captioned(table(tmp_path), in_order=True).open(0)
    learnt = load(str(tiny_clap(tmp_path / "m.safetensors")), "joint embedder").network
    measured = create(learnt, {}).measure(items, 4)
    assert measured["mean_average_precision"] == measured["accuracy"] == 1
    assert measured["loss"] == 0


def test_a_teacher_softens_the_targets(tmp_path):
    teacher = tiny_clap(tmp_path / "m.safetensors")
    items = captioned(table(tmp_path)).open(0)
    hard = create(network(), {})
    soft = create(network(), {"teacher": str(teacher), "softness": 0.3})
    same = create(network(), {"teacher": str(teacher), "softness": 0.0})
    batch = hard.collate([items[number] for number in range(4)])

    def loss(task):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            task.network.eval()
            return float(task.losses("network", batch, 0)["loss"].detach())

    assert loss(same) == pytest.approx(loss(hard))
    assert loss(soft) != pytest.approx(loss(hard), rel=1e-3)
    assert not any(each.requires_grad for each in soft.networks["teacher"].parameters())


def test_the_text_encoder_does_not_learn(tmp_path):
    task = create(network(), {})
    items = captioned(table(tmp_path)).open(0)
    task.losses("network", task.collate([items[0], items[1]]), 0)["loss"].backward()
    assert all(each.grad is None for each in task.network.text.parameters())
    assert task.network.log_scale.grad is not None


def test_what_cannot_be_learnt_is_refused(tmp_path):
    task = create(network(), {})
    place = table(tmp_path, rows=(("雨", 1),))
    with pytest.raises(InputError, match="Nothing of '雨' can be read"):
        task.check(captioned(place, in_order=True).open(0)[0], "train")
    with pytest.raises(UsageError, match="softness from 0 to below 1"):
        create(network(), {"softness": 1.0})
    with pytest.raises(UsageError, match="is for joint embedders"):
        create(method("xvector")(**method("xvector").TINY), {"kind": "pairs"})
