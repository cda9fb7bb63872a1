"""One loop learns what is no separation: unequal lengths, two players, a queue with a teacher and stages.

Each task is learnt whole, and killed and gone on with by other objects in another random state: bit by bit the same.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unbabble.base.errors import UsageError
from unbabble.data.sets import Data, Several
from unbabble.nn.task import Task
from unbabble.training.recipe import Updates
from unbabble.training.run import Run

STEPS, KILLED_AT, SAVED_AT = 60, 37, 30


def noise(seed, *shape) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layers(*sizes):
    made = [each for a, b in pairwise(sizes) for each in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*made[:-1])


class Spoken(NamedTuple):
    frames: np.ndarray
    tokens: np.ndarray


class SpokenItems:
    """Words of two to four tokens, four frames each, in a little noise: a set with an end, of unequal lengths."""

    def __init__(self):
        self.lengths = [len(self[number].frames) for number in range(48)]

    def __getitem__(self, number):
        rng = np.random.default_rng(number)
        tokens = rng.integers(1, 5, rng.integers(2, 5))
        frames = np.repeat(np.eye(5, dtype=np.float32)[tokens], 4, 0)
        return Spoken(frames + 0.05 * noise(number, *frames.shape), tokens)


class Ctc(Task):
    needs = ("frames", "tokens")
    measures = ("loss", "error_rate")

    def collate(self, items):
        frames = [torch.from_numpy(each.frames) for each in items]
        tokens = [torch.from_numpy(each.tokens) for each in items]
        lengths = [torch.tensor([len(each) for each in row]) for row in (frames, tokens)]
        return {"x": nn.utils.rnn.pad_sequence(frames, True), "y": torch.cat(tokens), "lengths": lengths}

    def losses(self, player, batch, step):
        logits = self.network(batch["x"]).log_softmax(-1).transpose(0, 1)
        return {"ctc": F.ctc_loss(logits, batch["y"], *batch["lengths"])}

    def measure(self, items, count):
        """The error rate is of all tokens together."""
        wrong = total = 0
        for number in range(count):
            best = self.network(torch.from_numpy(items[number].frames)[None])[0].argmax(-1)
            found = [int(each) for each in torch.unique_consecutive(best) if each]
            wrong += sum(one != other for one, other in zip(found, items[number].tokens, strict=False))
            wrong += abs(len(found) - len(items[number].tokens))
            total += len(items[number].tokens)
        return super().measure(items, count) | {"error_rate": wrong / total}

    def regret(self, measured):
        return measured["error_rate"]


class Sound(NamedTuple):
    sound: np.ndarray


class Sounds:
    """Endless; those of a class lie about a number of their own."""

    def __init__(self, kind, length=16):
        self.kind, self.length = kind, length

    def __getitem__(self, number):
        return Sound(noise((self.kind, number), self.length) + self.kind)


class Vocoder(Task):
    players = ("judge", "network")
    needs = ("sound",)

    def losses(self, player, batch, step):
        (real,) = batch
        made = self.network(real[:, ::4])
        judge = self.networks["judge"]
        if player == "judge":
            return {"real": F.softplus(-judge(real)).mean(), "made": F.softplus(judge(made.detach())).mean()}
        return {"fooled": F.softplus(-judge(made)).mean(), "distance": 10 * (made - real).abs().mean()}


class Moco(Task):
    """A queue of keys from a teacher that follows; after a stage, what the last one knew is kept."""

    needs = ("sound",)

    def __init__(self, network, stage_steps):
        frozen = [copy.deepcopy(network).requires_grad_(False) for _ in range(2)]
        super().__init__({"network": network, "teacher": frozen[0], "previous": frozen[1]})
        self.stage_steps, self.queue = stage_steps, F.normalize(torch.from_numpy(noise(1, 64, 8)), dim=1)

    def collate(self, items):
        """Two views of each, as random as their item."""
        (sounds,) = super().collate(items)
        rng = np.random.default_rng(np.frombuffer(sounds.numpy().tobytes(), np.uint32))
        views = [
            sounds + 0.1 * torch.from_numpy(rng.standard_normal(sounds.shape).astype(np.float32))
            for _ in "12"
        ]
        return sounds, *views

    def _keys(self, views):
        with torch.no_grad():
            return F.normalize(self.networks["teacher"](views), dim=1)

    def losses(self, player, batch, step):
        sounds, one, other = batch
        queries, keys = F.normalize(self.network(one), dim=1), self._keys(other)
        logits = torch.cat([(queries * keys).sum(1, True), queries @ self.queue.T], 1) / 0.3
        losses = {"contrast": F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.long))}
        if step >= self.stage_steps:
            known = F.normalize(self.networks["previous"](sounds), dim=1)
            losses["kept"] = F.mse_loss(F.normalize(self.network(sounds), dim=1), known)
        return losses

    @torch.no_grad()
    def after(self, step, batch):
        self.queue = torch.cat([self.queue, self._keys(batch[2])])[-64:]
        for theirs, mine in zip(
            self.networks["teacher"].parameters(), self.network.parameters(), strict=True
        ):
            theirs.lerp_(mine, 0.01)
        if step == self.stage_steps:
            self.networks["previous"].load_state_dict(self.network.state_dict())

    def state(self):
        return {"queue": self.queue}

    def restore(self, state):
        self.queue = state["queue"].clone()


class Classes(Data):
    """A set of sounds, as a recipe would describe it."""

    sample_rate = 8000

    def __init__(self, kind):
        self.kind = kind

    def open(self, seed):
        return Sounds(self.kind)


def run_of(name, folder):
    torch.manual_seed(0)
    updates = Updates(
        steps=STEPS,
        batch=8,
        learning_rate=0.02,
        save_every=SAVED_AT,
        validate_every=20,
        average=0.9,
        workers=0,
    )
    if name == "ctc":
        items = SpokenItems()
        return Run(
            Ctc({"network": layers(5, 16, 5)}), items, updates, folder, validation=items, validation_items=48
        )
    if name == "vocoder":
        task = Vocoder({"network": layers(4, 64, 16), "judge": layers(16, 32, 1)})
        return Run(task, Sounds(0), updates, folder, validation=Sounds(1), validation_items=4)
    stages = Several({"first": Classes(0), "second": Classes(1)}, {}, {"first": 20})
    return Run(Moco(layers(16, 32, 8), 20), stages.open(0), updates, folder)


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["ctc", "vocoder", "moco"])
def test_any_task_learns_and_goes_on_bit_by_bit(name, tmp_path, monkeypatch):
    whole = run_of(name, tmp_path / "whole")
    with torch.no_grad():
        before = whole.task.measure(whole.validation, 4) if whole.validation else {}
    whole.train(lambda text: None)

    killed, update = run_of(name, tmp_path / "killed"), Run._update

    def killing(self, batch):
        if self.progress.step == KILLED_AT:
            raise Killed
        return update(self, batch)

    monkeypatch.setattr(Run, "_update", killing)
    with pytest.raises(Killed):
        killed.train(lambda text: None)
    monkeypatch.undo()
    again = run_of(name, tmp_path / "killed")
    torch.manual_seed(99)
    again.resume()
    assert again.progress.step == SAVED_AT
    again.train(lambda text: None)

    for network in whole.task.networks:
        one, other = (run.task.networks[network].state_dict() for run in (whole, again))
        assert all(torch.equal(one[key], other[key]) for key in one), network
    assert all(torch.equal(tensor, again.average[key]) for key, tensor in whole.average.items())
    assert all(torch.equal(tensor, again.task.state()[key]) for key, tensor in whole.task.state().items())
    assert again.progress.validations == whole.progress.validations
    if before:
        assert whole.progress.validations[-1]["loss"] < before["loss"]


def test_an_error_rate_falls_and_decides(tmp_path):
    run = run_of("ctc", tmp_path)
    run.train(lambda text: None)
    rates = [each["error_rate"] for each in run.progress.validations]
    assert rates[-1] < rates[0]
    assert run.task.regret({"loss": 9.0, "error_rate": 0.25}) == 0.25


def test_both_players_learn_and_a_teacher_only_follows(tmp_path):
    run = run_of("vocoder", tmp_path)
    before = copy.deepcopy(run.task.networks["judge"].state_dict())
    run.train(lambda text: None)
    assert not torch.equal(run.task.networks["judge"].state_dict()["0.weight"], before["0.weight"])
    moco = run_of("moco", tmp_path / "moco")
    moco.train(lambda text: None)
    follower = moco.task.networks["teacher"]
    assert all(each.grad is None for each in follower.parameters())
    assert not torch.equal(moco.task.networks["previous"][0].weight, moco.task.network[0].weight)


def test_needs_are_checked_before_the_first_step(tmp_path):
    task = Vocoder({"network": layers(4, 16), "judge": layers(16, 1)})
    with pytest.raises(UsageError) as caught:
        Run(task, SpokenItems(), Updates(), tmp_path)
    assert str(caught.value) == (
        "The task 'Vocoder' learns from sound: the recipe's section 'train' has no sound, but frames and tokens."
    )
    assert not list(tmp_path.iterdir())


def test_losses_change_nothing(tmp_path):
    for name in ("ctc", "vocoder", "moco"):
        run = run_of(name, tmp_path / name)
        batch = next(run._batches())
        before = copy.deepcopy({key: each.state_dict() for key, each in run.task.networks.items()})
        for player in run.task.players:
            first, second = (run.task.losses(player, batch, 30) for _ in range(2))
            assert all(torch.equal(first[key], second[key]) for key in first)
        for key, network in run.task.networks.items():
            assert all(torch.equal(tensor, before[key][at]) for at, tensor in network.state_dict().items())
