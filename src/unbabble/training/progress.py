"""Where a training run is: what was measured, and its learning curve."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from unbabble.base.files import atomic
from unbabble.training.recipe import Updates
from unbabble.training.schedule import learning_rate


@dataclass
class Progress:
    """Where a run is, and what was measured: all of it is in the checkpoint.

    Attributes:
        step: updates that were made.
        validations: what each measured, with the step and the training loss before it.
        seconds: that were spent on training.
        lost_updates: the last so many had gradients that are not finite.
        recent: sums of the losses since the last report, by player and name.
        recent_steps: how many steps they are of.
    """

    step: int = 0
    validations: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    lost_updates: int = 0
    recent: dict[str, float] = field(default_factory=dict)
    recent_steps: int = 0

    @property
    def train_loss(self) -> float:
        """Mean training loss of the network since the last report."""
        total = sum(value for name, value in self.recent.items() if name.startswith("network."))
        return total / self.recent_steps if self.recent_steps else math.nan

    def train_losses(self) -> dict[str, float]:
        """The mean of each loss by itself, where there are several."""
        if len(self.recent) < 2:
            return {}
        return {name: value / self.recent_steps for name, value in self.recent.items()}

    def reported(self) -> None:
        """Training losses are collected anew."""
        self.recent, self.recent_steps = {}, 0

    def learning_rate(self, updates: Updates) -> float:
        """That of the next step."""
        return learning_rate(updates, self.step, [each["loss"] for each in self.validations])

    def plot(self, path: Path) -> None:
        """The learning curve as a picture."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        steps = [each["step"] for each in self.validations]
        figure, axes = pyplot.subplots(figsize=(7, 4), constrained_layout=True)
        for name, label in (("train_loss", "training"), ("loss", "validation")):
            axes.plot(steps, [-each[name] for each in self.validations], marker=".", label=label)
        axes.set(xlabel="step", ylabel="negative loss, higher is better")
        axes.grid(alpha=0.3)
        axes.legend()
        with atomic(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        pyplot.close(figure)
