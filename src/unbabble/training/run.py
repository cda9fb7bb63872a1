"""The one loop for all that learns: a task and a row of items in, trained networks out.

A run can be killed at any moment and goes on from its last checkpoint as if nothing had happened: batches depend on
their number alone (``data.batches``), and the checkpoint holds the networks, their average, the optimisers, what the
task remembers, the random state and what was measured so far. Devices, several processes and mixed precision are
accelerate's. What is learnt is the task's affair (``nn.task``), what is left in the folder ``training.results``'s.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import atomic
from unbabble.base.words import counted
from unbabble.data import sets
from unbabble.data.batches import Place
from unbabble.data.sets import Items
from unbabble.nn.task import Task, moved
from unbabble.training.optimisers import optimisers
from unbabble.training.progress import Progress
from unbabble.training.recipe import Updates
from unbabble.training.results import BEST, LAST, Results

VALIDATION_SEED_OFFSET = 10_000
"""Validation draws from another row than training."""
FORMAT = 2
"""Of checkpoints; the first had one network and no task."""
Report = Callable[[str], None]


class Diverged(InputError):
    """No finite gradient for so many updates in a row; ``step`` is the last of them, from 1 on."""

    def __init__(self, step: int, updates: int) -> None:
        super().__init__(f"The run has diverged: no finite gradient for {counted(updates, 'step')}.")
        self.step = step


class OneProcess:
    """In place of accelerate's ``Accelerator``: this process alone, on the processor."""

    device = torch.device("cpu")
    process_index, num_processes, is_main_process = 0, 1, True

    def prepare(self, *modules: Any) -> tuple[Any, ...]:
        """As they are."""
        return modules

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss."""
        loss.backward()

    def clip_grad_norm_(self, parameters: Iterable[nn.Parameter], norm: float) -> Tensor:
        """Limit the norm of all gradients together."""
        return nn.utils.clip_grad_norm_(parameters, norm)


class _Losses(nn.Module):
    """The call that accelerate wraps: gradients of several processes are joined where ``forward`` is called."""

    def __init__(self, task: Task, player: str, mixed: bool) -> None:
        super().__init__()
        self.network = task.networks[player]
        self.task, self.player, self.mixed = task, player, mixed

    def forward(self, batch: Any, step: int) -> dict[str, Tensor]:
        with torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.mixed):
            return self.task.losses(self.player, batch, step)


@dataclass
class _Player:
    """A network that learns, and how its weights are updated."""

    name: str
    losses: Any
    optimisers: list[torch.optim.Optimizer]


class Run:
    """One training run in its folder.

    Args:
        task: what is learnt.
        items: what it learns from.
        updates: how weights are updated.
        folder: where the checkpoint is kept.
        validation: what the best weights are chosen on; None where nothing is validated on the way.
        validation_items: how many.
        results: writes what else is left in the folder; None for nothing.
        processes: accelerate's ``Accelerator``.

    Raises:
        UsageError: the items are not what the task needs, or a batch cannot be shared by the processes.
    """

    def __init__(
        self,
        task: Task,
        items: Items,
        updates: Updates,
        folder: Path,
        *,
        validation: Items | None = None,
        validation_items: int = 0,
        results: Results | None = None,
        processes: Any = None,
    ) -> None:
        self.task, self.items, self.updates, self.folder = task, items, updates, folder
        self.validation, self.validation_items, self.results = validation, validation_items, results
        self.processes = processes or OneProcess()
        if updates.batch % self.processes.num_processes:
            raise UsageError(
                f"A batch of {updates.batch} cannot be shared by {self.processes.num_processes} processes."
            )
        torch.manual_seed(updates.seed)
        self.plan = sets.batches(items, updates.batch, updates.seed)
        for section, learnt in (("train", items), ("validation", validation)):
            for part in sets.parts(learnt) if learnt is not None else ():
                task.check(part[0], section)
                if isinstance(part, sets.Written):
                    task.check_words(part.written(), section)
        for network in task.networks.values():
            network.to(self.processes.device)
        task.restore(moved(task.state(), self.processes.device))
        self.players = [self._player(name) for name in task.players]
        self.average = self._copy()
        self.progress = Progress()

    def _player(self, name: str) -> _Player:
        losses, *made = self.processes.prepare(
            _Losses(self.task, name, self.updates.precision == "bfloat16"),
            *optimisers(self.task.networks[name], self.updates),
        )
        if self.updates.compile:
            losses.compile()
        return _Player(name, losses, made)

    @property
    def checkpoint(self) -> Path:
        """What ``resume`` reads."""
        return self.folder / "last.ckpt"

    def resume(self) -> None:
        """Go on from the last checkpoint of the folder, if there is one.

        Raises:
            InputError: it is damaged, of another network, or of an earlier release.
            UsageError: the best weights were chosen otherwise.
        """
        if not self.checkpoint.is_file():
            return
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(f"The checkpoint '{self.checkpoint}' is damaged: {_line(error)}.") from error
        if state.get("format") != FORMAT:
            raise InputError(
                f"The checkpoint '{self.checkpoint}' was written by another release of Unbabble: go on with that one, "
                "or begin anew in another folder."
            )
        try:
            for name, network in self.task.networks.items():
                network.load_state_dict(state["networks"][name])
        except (RuntimeError, KeyError) as error:
            raise InputError(f"'{self.checkpoint}' is of another network: {_line(error)}.") from error
        self.average = {name: tensor.to(self.average[name]) for name, tensor in state["average"].items()}
        for player in self.players:
            for optimiser, its_state in zip(player.optimisers, state["optimisers"][player.name], strict=True):
                optimiser.load_state_dict(its_state)
        self.task.restore(moved(state["task"], self.processes.device))
        self.progress = Progress(**state["progress"])
        for each in self.progress.validations:
            if odd := {*each} ^ {"step", "train_loss", *self.task.measures}:
                raise UsageError(
                    f"The run was begun with other measures ({', '.join(sorted(odd))}): what decides which weights are "
                    "best, as --validate-blind, must be the same."
                )
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random_cuda"])
        if self.results:
            self.results.forget_after(self.progress.step)

    def save(self) -> None:
        """Write the checkpoint, atomically.

        Raises:
            OutputError: it cannot be written (the one before stays).
        """
        if not self.processes.is_main_process:
            return
        state = {
            "format": FORMAT,
            "networks": {name: network.state_dict() for name, network in self.task.networks.items()},
            "average": self.average,
            "optimisers": {
                player.name: [optimiser.state_dict() for optimiser in player.optimisers]
                for player in self.players
            },
            "task": self.task.state(),
            "progress": asdict(self.progress),
            "random": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["random_cuda"] = torch.cuda.get_rng_state()
        with atomic(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def start_from_here(self, report: Report) -> None:
        """Keep what the weights score before the first step: what is not better than that is not kept."""
        measured = self._measure()
        self.progress.validations.append({"step": 0.0, "train_loss": measured["loss"], **measured})
        report(f"Before: {self.task.reported(measured)}.")

    def train(self, report: Report) -> Progress:
        """Train to the last step.

        Raises:
            Diverged: gradients have not been finite for long.
            OutputError: the disk is full; the last checkpoint is whole.
        """
        updates, progress, main = self.updates, self.progress, self.processes.is_main_process
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.results:
            self.results.begin()
        began, before = time.perf_counter(), progress.seconds
        for batch in self._batches():
            updated = self._update(batch)
            progress.step += 1
            self.task.after(progress.step, batch)
            if updated:
                self._add_to_average()
            progress.seconds = before + time.perf_counter() - began
            last = progress.step == updates.steps
            if self.validation is not None and (progress.step % updates.validate_every == 0 or last):
                self._validate(report)
            if progress.step % updates.save_every == 0 or last:
                losses = self._training_loss()
                if self.validation is None:
                    progress.reported()
                self.save()
                if self.validation is None and main:
                    report(f"{losses}.")
        if self.results and main:
            self.results.keep(LAST, self.task, self.average, progress)
            if self.validation is not None:
                self.results.calibrate(self.task, self.validation)
        return progress

    def _batches(self) -> Iterator[Any]:
        device = self.processes.device
        loader = torch.utils.data.DataLoader(
            _Placed(self.items),
            batch_sampler=_Places(self),  # type: ignore[arg-type]
            num_workers=self.updates.workers,
            collate_fn=self.task.collate,
            pin_memory=device.type == "cuda",
            prefetch_factor=4 if self.updates.workers else None,
            generator=torch.Generator().manual_seed(0),
        )
        for batch in loader:
            yield moved(batch, device)

    def _update(self, batch: Any) -> bool:
        """One update of each player in turn; whether all gradients were finite."""
        updates, progress = self.updates, self.progress
        for player in self.players:
            player.losses.train()
            for optimiser in player.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = progress.learning_rate(updates) * group["share"]
            losses = player.losses(batch, progress.step)
            for network in self.task.networks.values():
                network.zero_grad()
            total: Any = sum(losses.values())
            self.processes.backward(total)
            norm = self.processes.clip_grad_norm_(player.losses.parameters(), updates.clip_norm)
            if norm is not None and not torch.isfinite(norm):
                progress.lost_updates += 1
                if progress.lost_updates >= updates.most_lost_updates:
                    raise Diverged(progress.step + 1, updates.most_lost_updates)
                return False
            for optimiser in player.optimisers:
                optimiser.step()
            for name, loss in losses.items():
                name = f"{player.name}.{name}"
                progress.recent[name] = progress.recent.get(name, 0.0) + float(loss.detach())
        progress.lost_updates = 0
        progress.recent_steps += 1
        return True

    @torch.no_grad()
    def _add_to_average(self) -> None:
        updates, step = self.updates, self.progress.step
        keep = min(updates.average, step / (9 + step)) if updates.average_rises else updates.average
        for name, tensor in self.task.network.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - keep)
            else:
                self.average[name].copy_(tensor)

    def _validate(self, report: Report) -> None:
        progress, losses = self.progress, self._training_loss()
        own, random, train_loss = self._copy(), torch.get_rng_state(), progress.train_loss
        self.task.network.load_state_dict(self.average)
        measured = self._measure()
        self.task.network.load_state_dict(own)
        best = min(map(self.task.regret, progress.validations), default=torch.inf)
        better = self.task.regret(measured) < best
        progress.validations.append({"step": float(progress.step), "train_loss": train_loss, **measured})
        if self.processes.is_main_process:
            if self.results and better:
                self.results.keep(BEST, self.task, self.average, progress)
            if self.results:
                self.results.note(progress)
            report(f"{losses}, {self.task.reported(measured)}{', the best so far' if better else ''}.")
        progress.reported()
        torch.set_rng_state(random)

    def _training_loss(self) -> str:
        progress = self.progress
        return f"Step {progress.step} of {self.updates.steps}: training loss {progress.train_loss:.2f}"

    def _measure(self) -> dict[str, float]:
        """What the task measures, in the networks' state for use."""
        assert self.validation is not None
        networks = self.task.networks.values()
        training = [network.training for network in networks]
        for network in networks:
            network.eval()
        with torch.no_grad():
            measured = self.task.measure(self.validation, self.validation_items)
            measured = {
                name: float(value) for name, value in measured.items()
            }  # all that checkpoints can hold
        for network, was in zip(networks, training, strict=True):
            network.train(was)
        return measured

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.task.network.state_dict().items()}


class _Places:
    """The places of the batches that are still to come: of each batch those for this process."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __iter__(self) -> Iterator[list[Place]]:
        processes = self.run.processes
        for step in range(self.run.progress.step, self.run.updates.steps):
            places = self.run.plan[step]
            share = len(places) // processes.num_processes
            mine = slice(processes.process_index * share, (processes.process_index + 1) * share)
            yield places[mine] or places[:1]  # fewer items than processes: one is learnt from twice


class _Placed(torch.utils.data.Dataset):
    """Items by their place."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __getitem__(self, place: Place) -> Any:
        return sets.item(self.items, place)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
