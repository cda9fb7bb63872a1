#!/usr/bin/env python
"""Between the weights that a run began with and those that it ended with: the mean that is best on its validation data.

    scripts/average_weights.py runs/scorer before.safetensors runs/scorer/averaged.safetensors

What is learnt anew is forgotten elsewhere, and a mean of both often knows more than either (Wortsman et al., "Robust
fine-tuning of zero-shot models", CVPR 2022). What is fitted once weights stand, as intervals are, is fitted again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from unbabble.base import weights
from unbabble.networks import load as networks
from unbabble.training.recipe import read_recipe
from unbabble.training.run import VALIDATION_SEED_OFFSET
from unbabble.training.tasks import create

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def main() -> None:
    """Read, try, choose, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("before", type=Path, help="weights that it began with")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    recipe = read_recipe(yaml.safe_load((arguments.run / "recipe.yaml").read_text(encoding="utf-8")))
    items = recipe.validation.open(recipe.seed + VALIDATION_SEED_OFFSET)
    after = arguments.run / "best.safetensors"
    network = networks.load(str(after)).network.eval()
    first, last = weights.read_tensors(arguments.before), weights.read_tensors(after)
    task, losses = create(network, recipe.task), {}
    for share in SHARES:
        network.load_state_dict({name: torch.lerp(first[name], last[name], share) for name in last})
        with torch.no_grad():
            losses[share] = task.measure(items, recipe.validation_items)["loss"]
        print(f"{share:.1f} of the run's: validation loss {losses[share]:.3f}", flush=True)
    best = min(losses, key=lambda share: losses[share])
    network.load_state_dict({name: torch.lerp(first[name], last[name], best) for name in last})
    task.calibrate(network, items, recipe.validation_items)
    card = weights.read_card(after)
    said = f"{card.command}; then {best:.1f} of these weights and {1 - best:.1f} of those before"
    weights.save(arguments.out, network.state_dict(), replace(card, command=said))


if __name__ == "__main__":
    main()
