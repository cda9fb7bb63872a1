"""What a run leaves in its folder: its recipe, what was measured, a curve, and weights with their card."""

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from unbabble.base import weights
from unbabble.base.files import atomic
from unbabble.base.report import plain
from unbabble.base.weights import WeightsCard
from unbabble.data.sets import Items
from unbabble.nn.task import Task
from unbabble.training.progress import Progress
from unbabble.training.recipe import Recipe

BEST, LAST = "best.safetensors", "last.safetensors"


class Results:
    """The files of a run but for its checkpoint.

    Args:
        folder: of the run.
        recipe: what is done.
        command: what was typed, for the card of the weights.
    """

    def __init__(self, folder: Path, recipe: Recipe, command: str = "") -> None:
        self.folder, self.recipe, self.command = folder, recipe, command

    def begin(self) -> None:
        """Write the resolved recipe."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic(self.folder / "recipe.yaml") as temporary:
            temporary.write_text(
                yaml.safe_dump(plain(self.recipe.to_dict()), sort_keys=False), encoding="utf-8"
            )

    def note(self, progress: Progress) -> None:
        """Write what the last validation measured."""
        line = progress.validations[-1] | {
            "learning_rate": progress.learning_rate(self.recipe),
            "hours": progress.seconds / 3600,
            **progress.train_losses(),
        }
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line)) + "\n")
        progress.plot(self.folder / "curve.png")

    def forget_after(self, step: int) -> None:
        """Forget what was measured after a checkpoint: those steps are done again."""
        path = self.folder / "metrics.jsonl"
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            with atomic(path) as temporary:
                temporary.write_text("".join(kept), encoding="utf-8")

    def keep(self, name: str, task: Task, average: Mapping[str, Tensor], progress: Progress) -> None:
        """Write averaged weights: what the task makes of them."""
        network = copy.deepcopy(task.network)
        network.load_state_dict(average)
        product = task.product(network)
        weights.save(self.folder / name, product.state_dict(), self.card(product, progress))

    def calibrate(self, task: Task, items: Items) -> None:
        """Of the weights that are kept, best and last, fit what is fitted once they stand."""
        if not task.calibrates:
            return
        network = copy.deepcopy(task.network).eval()
        for path in (self.folder / BEST, self.folder / LAST):
            if path.is_file():
                network.load_state_dict(weights.read_tensors(path))
                task.calibrate(network, items, self.recipe.validation_items)
                weights.save(path, network.state_dict(), weights.read_card(path))

    def card(self, network: Any, progress: Progress) -> WeightsCard:
        """What the weights of ``network`` are, as far as the run knows."""
        recipe = self.recipe
        validated = progress.validations[-1] if progress.validations else {}
        figure = network.FIGURE[0] if network.FIGURE[0] in validated or not validated else "loss"
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
