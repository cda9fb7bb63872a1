#!/usr/bin/env python
"""Put trained weights into the package, in half precision, and say how much room is left.

    scripts/package_weights.py runs/sepformer_2talkers_8k-rooms_2talkers/best.safetensors 2talkers_8k \
        --after runs/sepformer_2talkers_8k_clean-clean_2talkers/best.safetensors

Then ``python -m benchmarks separation --models sepformer.2talkers_8k --card
src/unbabble/weights/sepformer.2talkers_8k.safetensors`` writes the scores on the test sets into its card.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from unbabble.base import weights

MOST_BYTES = 72e6


def main() -> None:
    """Read, write, add up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="best.safetensors of a run")
    parser.add_argument("tag", help="what comes after the method's name")
    parser.add_argument(
        "--card", nargs="*", default=[], metavar="NAME=TEXT", help="change what the card says"
    )
    parser.add_argument(
        "--after", nargs="*", default=[], type=Path, help="weights of earlier stages, whose training is added"
    )
    arguments = parser.parse_args()
    card = weights.read_card(arguments.weights)
    stages = [weights.read_card(each).training for each in arguments.after] + [card.training]
    training = card.training | {
        key: round(sum(each[key] for each in stages), 2) for key in ("steps", "hours")
    }
    changes = dict(each.split("=", 1) for each in arguments.card)
    card = replace(card, scores={}, training=training, **changes)
    path = weights.PACKAGED_FOLDER / f"{card.method}.{arguments.tag}{weights.SUFFIX}"
    weights.save(path, weights.read_tensors(arguments.weights), card, half=True)
    total = sum(each.stat().st_size for each in weights.PACKAGED_FOLDER.glob(f"*{weights.SUFFIX}"))
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB; {total / 1e6:.2f} of {MOST_BYTES / 1e6:.0f} MB are used."
    )
    if total > MOST_BYTES:
        raise SystemExit("That is too much.")


if __name__ == "__main__":
    main()
