"""The learning rate of each step: a function of nothing but what is in a checkpoint."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from unbabble.training.recipe import Updates

Schedule = Literal["constant", "cosine", "falling", "plateau", "decay"]


def learning_rate(updates: "Updates", step: int, losses: Sequence[float] = ()) -> float:
    """The learning rate of the next step.

    Args:
        updates: says the schedule.
        step: how many were made.
        losses: of all validations so far.
    """
    rate, steps = updates.learning_rate, -(-updates.steps // updates.cycles)
    if updates.cycles > 1:
        step %= steps
    if updates.schedule == "falling":
        rising = min(1.0, (step + 1) / max(1, updates.warmup_steps))
        return rate * rising * max((1 + math.cos(math.pi * step / steps)) / 2, updates.final_share)
    if step < updates.warmup_steps:
        return rate * (step + 1) / updates.warmup_steps
    if updates.schedule == "cosine":
        done = (step - updates.warmup_steps) / max(1, steps - updates.warmup_steps)
        low = updates.final_share
        return rate * (low + (1 - low) * (1 + math.cos(math.pi * min(1.0, done))) / 2)
    if updates.schedule == "decay":
        return rate * updates.decay ** (step // updates.decay_steps)
    if updates.schedule == "plateau":
        best, waited = math.inf, 0
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= updates.patience:
                rate, waited = rate / 2, 0
    return rate
