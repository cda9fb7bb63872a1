"""What a blind score costs beside the separation that it judges.

    python benchmarks/score_cost.py

Recordings of test speakers, in memory, one thread, the median of several runs taken in turn; the idle machine matters.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import common
import torch
from mixtures import load_mixtures

from unbabble.pipelines import separate as hub
from unbabble.pipelines.score import BlindScorer

NAME, SEED, RATE = "score_cost", 0, 16000
RESULTS = Path(__file__).parent / "results"
LENGTHS = (4.0, 10.0, 30.0)
MODELS = (
    ("sepformer.2talkers_8k", 1),
    ("bsrnn.2talkers_8k", 1),
    ("conv_tasnet.2talkers_8k", 1),
    ("ilrma.ip", 2),
    ("auxiva.ipa", 2),
)


def timed(call, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scorer, rows = BlindScorer(), []
    for seconds in LENGTHS:
        item = load_mixtures(2, 2, 1, SEED, seconds)[0]
        heard = torch.from_numpy(item.mixture).float()
        for name, microphones in MODELS:
            separator, recording = hub.load(name, "cpu", sources=2), heard[:microphones]
            voices = separator(recording, RATE).sources
            scorer(heard[0], voices, RATE)
            times = [
                (timed(separator, recording, RATE), timed(scorer, heard[0], voices, RATE))
                for _ in range(arguments.rounds)
            ]
            separating, scoring = (median(each) for each in zip(*times, strict=True))
            rows.append({"model": name, "seconds": seconds, "separating_s": separating, "scoring_s": scoring})
            print(rows[-1], flush=True)
    result = {"machine": common.machine(), "command": common.command(), "rows": common.rounded(rows)}
    common.save(NAME, result)
    lines = [
        "| model | recording, s | separating, s | scoring, s | share |",
        "|-|-|-|-|-|",
        *(
            f"| {row['model']} | {row['seconds']:g} | {row['separating_s']:.3f} | {row['scoring_s']:.3f} "
            f"| {100 * row['scoring_s'] / row['separating_s']:.1f} % |"
            for row in rows
        ),
        "",
        f"Two voices at 16 kHz, one thread. {result['machine']['cpu']}, {result['machine']['date']}. Made by",
        "",
        f"    {result['command']}",
    ]
    (RESULTS / f"{NAME}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
