"""Where a training run is: what was measured, what was best, and its learning curve."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from unbabble.base.files import atomic
from unbabble.training.recipe import Recipe, learning_rate


@dataclass
class Progress:
    """Where a run is, and what was measured: all of it is in the checkpoint."""

    step: int = 0
    validations: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    lost_updates: int = 0
    recent_loss: float = 0.0
    recent_steps: int = 0

    @property
    def train_loss(self) -> float:
        """Mean training loss since the last validation."""
        return self.recent_loss / self.recent_steps if self.recent_steps else math.nan

    @property
    def best(self) -> float:
        """Lowest validation loss so far, or, where real recordings are listened to, that of their score."""
        return min(map(criterion, self.validations), default=math.inf)

    def learning_rate(self, recipe: Recipe) -> float:
        """That of the next step."""
        return learning_rate(recipe, self.step, [each["loss"] for each in self.validations])

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


def criterion(measured: dict[str, float]) -> float:
    """What the best weights have least of."""
    return -measured["blind_db"] if "blind_db" in measured else measured["loss"]
