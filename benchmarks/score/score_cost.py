"""What does a score cost beside the separation?

That it judges. Recordings of test speakers, in memory, one thread, the median of several runs taken in turn; the idle
machine matters.

    python -m benchmarks score_cost
"""

import time
from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.kit.scenes import RATE, load_mixtures
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines import separate as separating
from unbabble.pipelines.score import BlindScorer

MODELS = {
    "sepformer.2talkers_8k": 1,
    "bsrnn.2talkers_8k": 1,
    "conv_tasnet.2talkers_8k": 1,
    "ilrma.ip": 2,
    "auxiva.ipa": 2,
}
"""And how many microphones they get."""
QUICK = {"lengths": [4.0], "rounds": 1}


def timed(call, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def measure(lengths: Sequence[float] = (4.0, 10.0, 30.0), rounds: int = 5, seed: int = 0) -> dict:
    scorer, rows = BlindScorer(), []
    for seconds in lengths:
        heard = torch.from_numpy(load_mixtures(2, 2, 1, seed, seconds=seconds)[0].mixture).float()
        for name, microphones in MODELS.items():
            separator, recording = separating.load(name, "cpu", sources=2), heard[:microphones]
            voices = separator(recording, RATE).sources
            given = (heard[0], voices, RATE)
            scorer(*given)
            times = [(timed(separator, recording, RATE), timed(scorer, *given)) for _ in range(rounds)]
            separation, scoring = (median(each) for each in zip(*times, strict=True))
            rows.append({"model": name, "seconds": seconds, "separating_s": separation, "scoring_s": scoring})
            print(rows[-1], flush=True)
    return {"rows": rows}


def table(result: dict) -> str:
    rows = []
    for row in result["rows"]:
        times = [f"{row[key]:.3f}" for key in ("separating_s", "scoring_s")]
        share = f"{100 * row['scoring_s'] / row['separating_s']:.1f} %"
        rows.append([row["model"], f"{row['seconds']:g}", *times, share])
    return page(
        grid("model | recording, s | separating, s | scoring, s | share", rows),
        made_by(result | {"seed": None}, "Two voices at 16 kHz, one thread. "),
    )
