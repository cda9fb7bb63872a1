"""How often is the number of talkers right?

1 to 4 talkers, 2, 4 or 7 microphones of a real room. The rule's two thresholds were chosen on the development split
(``unbabble.signal.counting``); these are test mixtures. The trivial baseline answers the most common number every time.

    python -m benchmarks count_talkers             # 20 mixtures each, about ten minutes on two cores
"""

from collections.abc import Iterator

import torch

from benchmarks.kit.scenes import load_mixtures
from benchmarks.kit.table import grid, page
from unbabble.base.registry import create

TALKERS, MICROPHONES, THREADS = (1, 2, 3, 4), (2, 4, 7), 2
QUICK = {"count": 1}


def measure(count: int = 20, seed: int = 0) -> Iterator[dict]:
    confusion: dict[str, dict[str, dict[str, int]]] = {}
    for talkers in TALKERS:
        for mixture in load_mixtures(talkers, max(MICROPHONES), count, seed):
            for microphones in (each for each in MICROPHONES if each >= talkers):
                separator = create("auxiva.ip", iterations=0)
                answer = str(len(separator(torch.from_numpy(mixture.mixture[None, :microphones]))[0]))
                row = confusion.setdefault(str(microphones), {}).setdefault(str(talkers), {})
                row[answer] = row.get(answer, 0) + 1
        yield {"confusion": confusion}


def table(result: dict) -> str:
    rows = []
    for microphones, counted in result["confusion"].items():
        totals = {talkers: sum(answers.values()) for talkers, answers in counted.items()}
        right = sum(answers.get(talkers, 0) for talkers, answers in counted.items()) / sum(totals.values())
        for talkers, answers in counted.items():
            said = ", ".join(f"{answer}: {n}" for answer, n in sorted(answers.items()))
            share = answers.get(talkers, 0) / totals[talkers]
            rows.append([microphones, talkers, f"{share:.0%}", said, None])
        most = max(totals.values()) / sum(totals.values())
        rows.append([microphones, "all", f"{right:.0%}", None, f"{most:.0%}"])
    return page(
        "# Counting talkers",
        f"`{result['command']}`; 12 s mixtures of the test split, measured rooms, 30 dB SNR.",
        grid("microphones | talkers | counted right | answers | always the same answer", rows),
    )
