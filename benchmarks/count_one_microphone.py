"""How often the number of talkers that one microphone hears is found: confusion matrices, threshold chosen on dev.

    python benchmarks/count_one_microphone.py

100 recordings of each number of talkers (1, 2, 3) and condition, 8 s, drawn from ``../shared/data`` with seed 0: clean;
and in a measured room with noise at 5 to 20 dB (on dev, which has no noises of its own, those of train). Talkers
overlap by half or more. The threshold is the one that tells one talker from two best: so far the third voice of
three is hardly louder than what is left over of two, and counting it would find three where two talk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import common
import torch

from unbabble import hub
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load_network
from unbabble.signal.counting import AUDIBLE_DB

DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
_temporary = tempfile.TemporaryDirectory(prefix="unbabble-benchmark-")
THRESHOLDS_DB = tuple(float(level) for level in range(-40, -5, 1))


@cache
def noises(split: str) -> Path:
    """A folder of the test noises, or for dev of those of train."""
    folder = Path(_temporary.name) / split
    folder.mkdir()
    for each in corpora.noises(DATA / "noise.csv", "test" if split == "test" else "train"):
        (folder / each.path.name).symlink_to(each.path.resolve())
    return folder


def levels(network, talkers: int, split: str, both: bool, count: int) -> torch.Tensor:
    """(item, output): level of each output below the loudest, dB."""
    mixing = DynamicMixing(
        DATA / "speech.csv", split, talkers=(talkers,), seconds=8.0, overlap=(0.5, 1.0), level_spread_db=3.0
    )
    if both:
        mixing = replace(mixing, rooms=DATA / "rir.csv", room_share=1.0)
        mixing = replace(mixing, noise=noises(split), noise_share=1.0, snr_db=(5.0, 20.0))
    items = DynamicMixtures(mixing, 0)
    found = []
    for index in range(count):
        voices = network(torch.from_numpy(items[index].mixture)[None, None])[0]
        power = voices.double().square().sum(-1)
        found.append(10 * (power / power.max()).clamp(min=1e-12).log10())
    return torch.stack(found)


def confusion(found: dict[int, torch.Tensor], threshold_db: float) -> list[list[float]]:
    """Share of the recordings with a number of talkers (row) for which each number is found (column)."""
    return [
        [round(float(((each > threshold_db).sum(1) == number).float().mean()), 3) for number in (1, 2, 3)]
        for _, each in sorted(found.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=hub.COUNTER)
    parser.add_argument("--items", type=int, default=100)
    arguments = parser.parse_args()
    network = load_network(arguments.model).network
    result: dict = {"model": arguments.model, "items": arguments.items, "audible_db_in_use": AUDIBLE_DB}
    dev = {
        condition: {
            talkers: levels(network, talkers, "dev", condition == "room and noise", arguments.items)
            for talkers in (1, 2, 3)
        }
        for condition in ("clean", "room and noise")
    }
    right = {
        threshold: sum(
            confusion(found, threshold)[number][number] for found in dev.values() for number in range(2)
        )
        / 4
        for threshold in THRESHOLDS_DB
    }
    best = max(right, key=lambda threshold: right[threshold])
    result |= {"best_on_dev_db": best, "right_on_dev": right[best]}
    lines = [
        f"Threshold chosen on dev: {best:g} dB against the loudest output ({right[best]:.0%} of one and two right).",
        "",
    ]
    for condition in dev:
        found = {
            talkers: levels(network, talkers, "test", condition == "room and noise", arguments.items)
            for talkers in (1, 2, 3)
        }
        matrix = confusion(found, best)
        result[condition] = matrix
        lines += [f"| test, {condition}: talkers | found 1 | 2 | 3 |", "|-|-|-|-|"]
        lines += [
            f"| {talkers} | " + " | ".join(f"{share:.0%}" for share in row) + " |"
            for talkers, row in enumerate(matrix, 1)
        ]
        lines.append("")
    common.save("count_one_microphone", result | {"machine": common.machine(), "command": common.command()})
    (common.RESULTS / "count_one_microphone.md").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
