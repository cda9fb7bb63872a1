"""How often the number of talkers is counted right: 1-4 talkers, 2, 4 or 7 microphones of a real room.

    python benchmarks/count_talkers.py             # 20 mixtures each, about ten minutes on two cores
    python benchmarks/count_talkers.py --count 3   # to see that it works

The rule's two thresholds were chosen on the development split (``unbabble.signal.counting``); these are test
mixtures (benchmarks/mixtures.py). The trivial baseline answers the most common number every time.
"""

import argparse
import json
from collections import Counter

import torch
from common import RESULTS, command
from common import machine as describe_machine
from mixtures import load_mixtures

from unbabble.base.registry import create

TALKERS, MICROPHONES = (1, 2, 3, 4), (2, 4, 7)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    confusion: dict[str, dict[str, dict[str, int]]] = {}
    for talkers in TALKERS:
        for mixture in load_mixtures(talkers, max(MICROPHONES), a.count, a.seed):
            for microphones in MICROPHONES:
                if microphones < talkers:
                    continue
                separator = create("auxiva.ip", iterations=0)
                answer = len(separator(torch.from_numpy(mixture.mixture[None, :microphones]))[0])
                row = confusion.setdefault(str(microphones), {}).setdefault(str(talkers), {})
                row[str(answer)] = row.get(str(answer), 0) + 1
        print(
            f"{talkers} talkers: { ({m: rows.get(str(talkers)) for m, rows in confusion.items()}) }",
            flush=True,
        )
    result = {"command": command(), "seed": a.seed, "machine": describe_machine(), "confusion": confusion}
    (RESULTS / "count_talkers.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "count_talkers.md").write_text(table(confusion, command()))


def table(confusion: dict, how: str) -> str:
    lines = [
        "# Counting talkers",
        "",
        f"`{how}`; 12 s mixtures of the test split, measured rooms, 30 dB SNR.",
        "",
        "| microphones | talkers | counted right | answers | always the same answer |",
        "|-|-|-|-|-|",
    ]
    for microphones, rows in confusion.items():
        total = sum(sum(answers.values()) for answers in rows.values())
        right = sum(answers.get(talkers, 0) for talkers, answers in rows.items())
        most = Counter({talkers: sum(answers.values()) for talkers, answers in rows.items()}).most_common(1)[
            0
        ][1]
        for talkers, answers in rows.items():
            share = answers.get(talkers, 0) / sum(answers.values())
            said = ", ".join(f"{answer}: {n}" for answer, n in sorted(answers.items()))
            lines.append(f"| {microphones} | {talkers} | {share:.0%} | {said} | |")
        lines.append(f"| {microphones} | all | {right / total:.0%} | | {most / total:.0%} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
