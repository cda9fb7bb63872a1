"""One training loop for every network: a recipe in, weights and a learning curve out.

A run can be killed at any moment and goes on from its last checkpoint as if nothing had happened: items depend on
their number alone (``data.dynamic``), and the checkpoint holds the network, its average, the optimiser, the random
state and what was measured so far. Devices, several processes and mixed precision are accelerate's.

A run's folder holds ``recipe.yaml`` (resolved), ``metrics.jsonl``, ``curve.png``, ``last.ckpt`` and
``best.safetensors``.
"""

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from unbabble.base import weights
from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import missing_extra
from unbabble.base.files import atomic
from unbabble.base.report import plain
from unbabble.base.weights import WeightsCard
from unbabble.data.dynamic import Item
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.training.optimisers import Muon, is_matrix
from unbabble.training.progress import Progress, criterion
from unbabble.training.recipe import Items, Recipe, open_data

logger = logging.getLogger(__name__)
VALIDATION_SEED_OFFSET = 10_000
LEVEL_MIXTURES = 10
"""Of the validation set: the level of weights is settled over so many."""
MOST_LOST_UPDATES = 50
"""So many updates in a row with gradients that are not finite end a run: it has diverged."""


class _Loss(nn.Module):
    """The call that accelerate wraps: gradients of several processes are joined where ``forward`` is called."""

    def __init__(self, network: Network, mixed: bool) -> None:
        super().__init__()
        self.network, self.mixed = network, mixed

    def forward(self, *batch: Tensor) -> Tensor:
        """Mean loss of the batch; losses themselves are never computed in half precision."""
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=self.mixed):
            return self.network.loss(*batch).mean()


class Run:
    """One training run in its folder.

    Args:
        network: fresh, or to be tuned.
        recipe: what to do.
        folder: where everything is kept.
        device: accelerate's choice by default, or ``cpu``.
        command: what was typed, for the card of the weights.
        listen: says in dB how well a network does on real recordings; then that decides which weights are best.

    Raises:
        MissingExtraError: accelerate is not installed.
        InputError: the data cannot be used.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        folder: Path,
        device: str = "auto",
        command: str = "",
        listen: Callable[[Network], float] | None = None,
    ) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.utils import set_seed
        except ImportError as error:
            raise missing_extra("train") from error
        self.recipe, self.folder, self.network, self.command = recipe, folder, network, command
        self.listen = listen
        network.soft_db, network.mixit = recipe.soft_db, recipe.mixit
        self.accelerator = Accelerator(cpu=device == "cpu")
        if recipe.batch % self.accelerator.num_processes:
            raise UsageError(
                f"A batch of {recipe.batch} cannot be shared by {self.accelerator.num_processes} processes."
            )
        set_seed(recipe.seed)
        self.train_set = open_data(recipe.train, recipe.seed, recipe.fixed_order_steps * recipe.batch)
        self.validation_set = open_data(recipe.validation, recipe.seed + VALIDATION_SEED_OFFSET)
        for section, items in (("train", self.train_set), ("validation", self.validation_set)):
            first = items[0]
            if first._fields != network.ITEM:
                raise UsageError(
                    f"A {network.card.contract} learns from {' and '.join(network.ITEM)}: the recipe's section "
                    f"'{section}' has {' and '.join(first._fields)}."
                )
            voices = len(first.sources) if isinstance(first, Item) else network.sources
            if voices > network.sources or not voices:
                raise UsageError(
                    f"The recipe's section '{section}' has mixtures of {voices} known voices, but the network "
                    f"returns {network.sources}: set options.sources."
                )
        self.voice_first = recipe.mixit and voices == 1
        """Noise was put to noisy speech: what is saved is the network's first output."""
        if recipe.mixit:
            _check_mixit(network, voices)
        self.loss, *self.optimizers = self.accelerator.prepare(
            _Loss(network, recipe.precision == "bfloat16"), *_optimizers(network, recipe)
        )
        if recipe.compile:
            self.loss.compile()
        self.average = self._copy()
        self.progress = Progress()

    @property
    def checkpoint(self) -> Path:
        """What ``resume`` reads."""
        return self.folder / "last.ckpt"

    def resume(self) -> None:
        """Go on from the last checkpoint of the folder, if there is one.

        Raises:
            InputError: it is damaged, or of another network.
            UsageError: the best weights were chosen otherwise.
        """
        if not self.checkpoint.is_file():
            return
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(f"The checkpoint '{self.checkpoint}' is damaged: {_line(error)}.") from error
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise InputError(f"'{self.checkpoint}' is of another network: {_line(error)}.") from error
        self.average = {name: tensor.to(self.average[name]) for name, tensor in state["average"].items()}
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        self.progress = Progress(**state["progress"])
        if any(("blind_db" in each) != (self.listen is not None) for each in self.progress.validations):
            raise UsageError(
                "The run was begun with other recordings to listen to: --validate-blind must be the same."
            )
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random_cuda"])
        self._cut_metrics()

    def settle_level(self) -> None:
        """Before the first step: weights that learnt with levels open have one of their own, not that of mixtures."""
        assert isinstance(self.network, NeuralSeparator)
        count = min(LEVEL_MIXTURES, self.recipe.validation_items)
        self.network.settle_level(torch.from_numpy(self.validation_set[number][0]) for number in range(count))
        self.average = self._copy()

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def start_from_here(self, report: Callable[[str], None]) -> None:
        """Keep what the weights score before the first step: what is not better than that is not kept."""
        measured = self._measure()
        self.progress.validations.append({"step": 0.0, "train_loss": measured["loss"], **measured})
        report(f"Before: {self._told(measured)}.")

    def _told(self, measured: dict[str, float]) -> str:
        name, text = self.network.FIGURE
        heard = f", real recordings {measured['blind_db']:.2f} dB" if "blind_db" in measured else ""
        return f"validation loss {measured['loss']:.2f}, {text.format(measured[name])}{heard}"

    def _measure(self) -> dict[str, float]:
        measured = validate_network(self.network, self.validation_set, self.recipe.validation_items)
        return measured | ({"blind_db": self.listen(self.network)} if self.listen else {})

    def save(self) -> None:
        """Write the checkpoint, atomically.

        Raises:
            OutputError: it cannot be written (the one before stays).
        """
        if not self.accelerator.is_main_process:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": asdict(self.progress),
            "random": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["random_cuda"] = torch.cuda.get_rng_state()
        with atomic(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def train(self, report: Callable[[str], None] = logger.info) -> Progress:
        """Train to the last step of the recipe.

        Raises:
            InputError: the run has diverged.
            OutputError: the disk is full; the last checkpoint is whole.
        """
        recipe, progress = self.recipe, self.progress
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic(self.folder / "recipe.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(plain(asdict(recipe)), sort_keys=False), encoding="utf-8")
        began, before = time.perf_counter(), progress.seconds
        for batch in self._batches():
            self._update(batch)
            progress.step += 1
            progress.seconds = before + time.perf_counter() - began
            step = progress.step
            if step % recipe.validate_every == 0 or step == recipe.steps:
                self._validate(report)
            if step % recipe.save_every == 0 or step == recipe.steps:
                self.save()
        if self.accelerator.is_main_process:
            self._keep("last.safetensors")
            self._calibrate()
        return progress

    def _keep(self, name: str) -> None:
        """Write the averaged weights."""
        network, kept = self.network, self.average
        if self.voice_first:
            network = copy.deepcopy(self.network)
            assert isinstance(network, NeuralSeparator)
            network.load_state_dict(self.average)
            network = network.first_source()
            kept = network.state_dict()
        weights.save(self.folder / name, kept, self.card(network))

    def _calibrate(self) -> None:
        """Of the weights that are kept, best and last, what is fitted once they stand."""
        if type(self.network).calibrate is Network.calibrate:
            return
        network = copy.deepcopy(self.network).eval()
        for path in (self.folder / "best.safetensors", self.folder / "last.safetensors"):
            network.load_state_dict(weights.read_tensors(path))
            network.calibrate(_validation_items(network, self.validation_set, self.recipe.validation_items))
            weights.save(path, network.state_dict(), weights.read_card(path))

    def _batches(self) -> Iterator[tuple[Tensor, ...]]:
        recipe, rank, processes = self.recipe, self.accelerator.process_index, self.accelerator.num_processes
        share = recipe.batch // processes
        first = self.progress.step * recipe.batch + rank * share
        numbers = [
            [first + step * recipe.batch + item for item in range(share)]
            for step in range(recipe.steps - self.progress.step)
        ]
        loader = torch.utils.data.DataLoader(
            self.train_set,  # type: ignore[arg-type]
            batch_sampler=numbers,
            num_workers=recipe.workers,
            collate_fn=_stack,
            pin_memory=self.accelerator.device.type == "cuda",
            prefetch_factor=4 if recipe.workers else None,
            generator=torch.Generator().manual_seed(0),
        )
        for batch in loader:
            yield tuple(each.to(self.accelerator.device, non_blocking=True) for each in batch)

    def _update(self, batch: tuple[Tensor, ...]) -> None:
        recipe, progress = self.recipe, self.progress
        self.loss.train()
        self.network.fixed_order = progress.step < recipe.fixed_order_steps
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = progress.learning_rate(recipe) * group["share"]
        loss = self.loss(*batch)
        self.network.zero_grad()
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.loss.parameters(), recipe.clip_norm)
        if norm is not None and not torch.isfinite(norm):
            progress.lost_updates += 1
            if progress.lost_updates >= MOST_LOST_UPDATES:
                raise InputError(f"The run has diverged: no finite gradient for {MOST_LOST_UPDATES} steps.")
            return
        progress.lost_updates = 0
        progress.recent_loss += float(loss.detach())
        progress.recent_steps += 1
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            # Early averages must not remember the first random weights for long.
            keep = min(recipe.average, (1 + progress.step) / (10 + progress.step))
            for name, tensor in self.network.state_dict().items():
                if tensor.is_floating_point():
                    self.average[name].lerp_(tensor, 1 - keep)
                else:
                    self.average[name].copy_(tensor)

    def _validate(self, report: Callable[[str], None]) -> None:
        recipe, progress, train_loss = self.recipe, self.progress, self.progress.train_loss
        progress.recent_loss, progress.recent_steps = 0.0, 0
        own = self._copy()
        random = torch.get_rng_state()
        self.network.load_state_dict(self.average)
        measured = self._measure()
        better = criterion(measured) < progress.best
        progress.validations.append({"step": float(progress.step), "train_loss": train_loss, **measured})
        if better and self.accelerator.is_main_process:
            self._keep("best.safetensors")
        self.network.load_state_dict(own)
        torch.set_rng_state(random)
        if self.accelerator.is_main_process:
            line = progress.validations[-1] | {
                "learning_rate": progress.learning_rate(recipe),
                "hours": progress.seconds / 3600,
            }
            with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(plain(line)) + "\n")
            progress.plot(self.folder / "curve.png")
            report(
                f"Step {progress.step} of {recipe.steps}: training loss {train_loss:.2f}, "
                f"{self._told(measured)}{', the best so far' if better else ''}."
            )

    def _cut_metrics(self) -> None:
        """Forget what was written after the checkpoint: those steps are done again."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if line.endswith("\n") and json.loads(line)["step"] <= self.progress.step
            ]
            with atomic(path) as temporary:
                temporary.write_text("".join(kept), encoding="utf-8")

    def card(self, network: Network) -> WeightsCard:
        """What the weights of ``network`` are, as far as the run knows."""
        recipe, progress = self.recipe, self.progress
        validated, figure = progress.validations[-1] if progress.validations else {}, self.network.FIGURE[0]
        return WeightsCard(
            method=recipe.method,
            options=network.resolved_options(),
            summary=recipe.summary,
            data=recipe.data,
            licence=recipe.licence,
            command=self.command,
            seed=recipe.seed,
            scores={"validation": {figure: round(validated.get(figure, math.nan), 2)}},
            limits=recipe.limits,
            training={
                "steps": progress.step,
                "batch": recipe.batch,
                "hours": round(progress.seconds / 3600, 2),
            },
        )


def _check_mixit(network: Network, recordings: int) -> None:
    if not isinstance(network, NeuralSeparator) or type(network).loss is not NeuralSeparator.loss:
        raise UsageError(
            f"A {network.card.name} has a loss of its own: it cannot learn by mixture invariance."
        )
    if recordings == 1 and network.sources > 1:
        network.first_source()
    if network.sources <= recordings:
        raise UsageError(
            "Mixture invariant training takes more outputs than there are recordings in a mixture: set options.sources."
        )


def _optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One, or for Muon a second one for all that is no matrix; ``share`` is of the recipe's learning rate."""
    weights, rate, decay = list(network.parameters()), recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adam":
        return [torch.optim.Adam([{"params": weights, "share": 1.0}], rate, weight_decay=decay)]
    matrices = [each for each in weights if recipe.optimizer == "muon" and is_matrix(each)]
    others = [each for each in weights if not any(each is matrix for matrix in matrices)]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(
            Muon([{"params": matrices, "share": recipe.matrix_share}], rate, weight_decay=decay)
        )
    if others:
        optimizers.append(torch.optim.AdamW([{"params": others, "share": 1.0}], rate, weight_decay=decay))
    return optimizers


def validate_network(network: Network, items: Items, count: int) -> dict[str, float]:
    """Mean loss of the first ``count`` items, and the mean of the network's own figure over those that tell."""
    losses, figures = [], []
    training, fixed_order = network.training, network.fixed_order
    network.eval()
    network.fixed_order = False
    with torch.no_grad():
        for item in _validation_items(network, items, count):
            losses.append(float(network.loss(*item)))
            figures.append(network.figure(*item))
    network.train(training)
    network.fixed_order = fixed_order
    told = [each for each in figures if not math.isnan(each)]
    return {
        "loss": float(np.mean(losses)),
        network.FIGURE[0]: float(np.mean(told)) if told else math.nan,
    }


def _validation_items(network: Network, items: Items, count: int) -> Iterator[tuple[Tensor, ...]]:
    device = next(network.parameters()).device
    for index in range(count):
        yield tuple(torch.from_numpy(np.array(each)).to(device)[None] for each in items[index])


def _stack(items: list[tuple[np.ndarray, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.stack(each)) for each in zip(*items, strict=True))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
