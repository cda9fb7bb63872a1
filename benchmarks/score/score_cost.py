"""What does a score cost beside the separation?

That it judges. Recordings of test speakers, in memory, one thread, the median of several runs taken in turn; the idle
machine matters.

    python -m benchmarks score_cost
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from statistics import median

import torch

from benchmarks.kit.scenes import RATE, load_mixtures
from benchmarks.kit.table import grid, made_by, page
from benchmarks.kit.timing import by_turns, seconds
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


def measure(lengths: Sequence[float] = (4.0, 10.0, 30.0), rounds: int = 5, seed: int = 0) -> dict:
    scorer, rows = BlindScorer(), []
    for length, (name, microphones) in product(lengths, MODELS.items()):
        mixture = torch.from_numpy(load_mixtures(2, 2, 1, seed, seconds=length)[0].mixture).float()
        separator, recording = separating.load(name, "cpu", sources=2), mixture[:microphones]
        voices = separator(recording, RATE).sources
        calls = {
            "separating_s": partial(seconds, separator, recording, RATE),
            "scoring_s": partial(seconds, scorer, mixture[0], voices, RATE),
        }
        times = {key: median(each) for key, each in by_turns(calls, rounds).items()}
        rows.append({"model": name, "seconds": length} | times)
        print(rows[-1], flush=True)
    return {"rows": rows}


def table(result: dict) -> str:
    rows = [row | {"share": 100 * row["scoring_s"] / row["separating_s"]} for row in result["rows"]]
    return page(
        grid(
            "model | recording, s | separating, s | scoring, s | share",
            rows,
            "{model} | {seconds:g} | {separating_s:.3f} | {scoring_s:.3f} | {share:.1f} %",
        ),
        made_by(result | {"seed": None}, "Two voices at 16 kHz, one thread. "),
    )
