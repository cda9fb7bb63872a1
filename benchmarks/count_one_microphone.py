"""How often the number of talkers that one microphone hears is found: confusion matrices of ``--sources auto``.

    python benchmarks/count_one_microphone.py --card src/unbabble/weights/countnet.3talkers_8k.safetensors

100 recordings of each number of talkers (1, 2, 3) and condition, drawn from the test split of ``../shared/data`` with
seed 0: 8 s, in which talkers overlap by half or more, clean, and in a measured room with noise at 5 to 20 dB; and 30 s,
in which they take turns and never talk at once. The share of windows that decides is looked at on the development
split. Beside it the trivial answer, which is always two.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import torch
from separation import put_scores

from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.store import Store
from unbabble.networks.load import load_network
from unbabble.pipelines import separate as hub
from unbabble.signal import counting
from unbabble.signal.counting import most_talkers, windows

DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
RATE = 8000
CONVERSATION_SECONDS = 30.0
CONDITIONS = ("clean", "room and noise", "turns")
SHARES = (0.01, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)


def mixtures(talkers: int, split: str, condition: str, count: int) -> Iterator[np.ndarray]:
    if condition == "turns":
        yield from conversations(talkers, split, count)
        return
    mixing = DynamicMixing(
        DATA / "speech.csv", split, talkers=(talkers,), seconds=8.0, overlap=(0.5, 1.0), level_spread_db=3.0
    )
    if condition == "room and noise":
        mixing = replace(mixing, rooms=DATA / "rir.csv", room_share=1.0)
        if split == "test":  # there are no noises for development
            mixing = replace(mixing, noise=DATA / "noise.csv", noise_share=1.0, snr_db=(5.0, 20.0))
    items = DynamicMixtures(mixing, 0)
    for index in range(count):
        yield items[index].mixture


def conversations(talkers: int, split: str, count: int) -> Iterator[np.ndarray]:
    """Half a minute in which somebody says something for 2 to 8 s, then somebody else, each at a level of their own."""
    rng = np.random.default_rng(0)
    utterances = corpora.speech(DATA / "speech.csv", split)
    store = Store([each.path for each in utterances], RATE)
    speakers = sorted({each.speaker for each in utterances})
    for _ in range(count):
        those = rng.choice(len(speakers), talkers, replace=False)
        levels = 10 ** (rng.uniform(-3, 3, talkers) / 20)
        said: list[np.ndarray] = []
        while sum(map(len, said)) < CONVERSATION_SECONDS * RATE:
            who = len(said) % talkers
            own = [n for n, each in enumerate(utterances) if each.speaker == speakers[those[who]]]
            turn = store.excerpt(int(rng.choice(own)), 0, round(rng.uniform(2, 8) * RATE))
            said.append(levels[who] * turn / np.sqrt(np.mean(turn**2)))
        yield np.concatenate(said)[: round(CONVERSATION_SECONDS * RATE)].astype(np.float32)


def heard(network, talkers: int, split: str, condition: str, count: int) -> list[tuple]:
    """Probabilities and powers of the windows of each recording."""
    found = []
    for mixture in mixtures(talkers, split, condition, count):
        parts = windows(torch.from_numpy(mixture), network.sample_rate)
        found.append((network(parts), parts.square().mean(-1)))
    return found


def confusion(found: dict[int, list[tuple]]) -> list[list[float]]:
    """Share of the recordings with a number of talkers (row) for which each number is found (column)."""
    rows = []
    for _, each in sorted(found.items()):
        counts = [most_talkers(*one) for one in each]
        rows.append([round(counts.count(number) / len(counts), 3) for number in (1, 2, 3)])
    return rows


def right(matrix: list[list[float]]) -> float:
    return sum(row[number] for number, row in enumerate(matrix)) / len(matrix)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=hub.COUNTER)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--card", type=Path, help="write the scores into the card of this weights file")
    arguments = parser.parse_args()
    network = load_network(arguments.model).network
    result: dict = {"model": arguments.model, "items": arguments.items, "share": counting.FAIR_SHARE}
    everything = {
        split: {
            condition: {
                talkers: heard(network, talkers, split, condition, arguments.items) for talkers in (1, 2, 3)
            }
            for condition in CONDITIONS
        }
        for split in ("dev", "test")
    }
    lines = [
        "| share of windows that decides | " + " | ".join(map(str, SHARES)) + " |",
        "|-|" + "-|" * len(SHARES),
    ]
    in_use = counting.FAIR_SHARE
    for condition, found in everything["dev"].items():
        cells = []
        for counting.FAIR_SHARE in SHARES:
            cells.append(right(confusion(found)))
        result[f"dev, {condition}"] = dict(zip(map(str, SHARES), cells, strict=True))
        lines.append(f"| right on dev, {condition} | " + " | ".join(f"{share:.0%}" for share in cells) + " |")
    counting.FAIR_SHARE = in_use
    lines += ["", f"In use: {in_use:g}. Always two would be right in 33 % of each.", ""]
    scores = {}
    for condition, found in everything["test"].items():
        matrix = confusion(found)
        result[condition] = matrix
        scores[condition] = {"counted_right": round(right(matrix), 2), "items": 3 * arguments.items}
        lines += [
            f"| test, {condition}: talkers | found 1 | 2 | 3 | right in all |",
            "|-|-|-|-|-|",
            *(
                f"| {talkers} | " + " | ".join(f"{share:.0%}" for share in row) + " |  |"
                for talkers, row in enumerate(matrix, 1)
            ),
            f"| all |  |  |  | {right(matrix):.0%} |",
            "",
        ]
    machine, command = common.machine(), common.command()
    common.save("count_one_microphone", result | {"machine": machine, "command": command})
    lines.append(f"{machine['cpu']}, {machine['date']}; seed 0. Made by `{command}`.")
    (common.RESULTS / "count_one_microphone.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    if arguments.card:
        put_scores(arguments.card, scores)


if __name__ == "__main__":
    main()
