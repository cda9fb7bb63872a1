"""How often is the number of talkers right that one microphone hears?

Confusion matrices of ``--sources auto``: 100 recordings of each number of talkers (1, 2, 3) and condition, drawn from
the test split with seed 0: 8 s, in which talkers overlap by half or more, clean, and in a measured room with noise at 5
to 20 dB; and 30 s, in which they take turns and never talk at once. The share of windows that decides is looked at on
the development split. Beside it the trivial answer, which is always two.

    python -m benchmarks count_one_microphone --card src/unbabble/weights/countnet.3talkers_8k.safetensors
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.cards import put_scores
from benchmarks.kit.conversations import turns
from benchmarks.kit.scenes import drawn, items
from benchmarks.kit.table import grid, page
from unbabble.networks import load as networks
from unbabble.pipelines.count import COUNTER
from unbabble.signal import counting
from unbabble.signal.counting import most_talkers, windows

RATE, SEED, THREADS = 8000, 0, 2
CONDITIONS = ("clean", "room and noise", "turns")
SHARES = (0.01, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
TALKERS = (1, 2, 3)
Windows = tuple[torch.Tensor, torch.Tensor]
QUICK = {"each": 1}


def mixtures(talkers: int, split: str, condition: str, count: int) -> Iterator[np.ndarray]:
    if condition == "turns":
        yield from turns(talkers, split, count, RATE)
        return
    noisy = condition == "room and noise" and split == "test"  # there are no noises for development
    options = {"seconds": 8.0, "overlap": (0.5, 1.0), "level_spread_db": 3.0}
    mixing = drawn(split, talkers, noisy, condition != "clean", (5.0, 20.0), **options)
    yield from (heard[0].numpy() for heard, _ in items(mixing, count, SEED))


def heard(network, split: str, condition: str, count: int) -> list[list[Windows]]:
    """By number of talkers: probabilities and powers of the windows of each recording."""
    result: list[list[Windows]] = [[] for _ in TALKERS]
    for talkers, those in zip(TALKERS, result, strict=True):
        for mixture in mixtures(talkers, split, condition, count):
            parts = windows(torch.from_numpy(mixture), network.sample_rate)
            those.append((network(parts), parts.square().mean(-1)))
    return result


def confusion(result: list[list[Windows]]) -> list[list[float]]:
    """Share of the recordings with a number of talkers (row) for which each number is counted (column)."""
    answers = [[most_talkers(*each) for each in those] for those in result]
    return [[round(each.count(number) / len(each), 3) for number in TALKERS] for each in answers]


def right(matrix: list[list[float]]) -> float:
    return sum(row[number] for number, row in enumerate(matrix)) / len(matrix)


def measure(model: str = COUNTER, each: int = 100, card: Path | None = None) -> dict:
    """Dev and test."""
    network, in_use = networks.load(model).network, counting.FAIR_SHARE
    result: dict = {"model": model, "items": each, "share": in_use}
    for condition in CONDITIONS:
        found, cells = heard(network, "dev", condition, each), {}
        for counting.FAIR_SHARE in SHARES:
            cells[str(counting.FAIR_SHARE)] = right(confusion(found))
        result[f"dev, {condition}"], counting.FAIR_SHARE = cells, in_use
    for condition in CONDITIONS:
        result[condition] = confusion(heard(network, "test", condition, each))
    if card:
        shares = {condition: round(right(result[condition]), 2) for condition in CONDITIONS}
        put_scores(
            card,
            {condition: {"counted_right": shares[condition], "items": 3 * each} for condition in CONDITIONS},
        )
    return result


def table(result: dict) -> str:
    shares = [
        [f"right on dev, {condition}", *(f"{share:.0%}" for share in result[f"dev, {condition}"].values())]
        for condition in CONDITIONS
    ]
    blocks = [grid(["share of windows that decides", *SHARES], shares)]
    blocks += [f"In use: {result['share']:g}. Always two would be right in 33 % of each."]
    for condition in CONDITIONS:
        matrix = result[condition]
        rows = [[number, *map("{:.0%}".format, row), ""] for number, row in zip(TALKERS, matrix, strict=True)]
        rows.append(["all", "", "", "", f"{right(matrix):.0%}"])
        blocks.append(grid(f"test, {condition}: talkers | found 1 | 2 | 3 | right in all", rows))
    machine = result["machine"]
    return page(*blocks, f"{machine['cpu']}, {machine['date']}; seed 0. Made by `{result['command']}`.")
