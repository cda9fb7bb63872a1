"""What should a newcomer get, in quality per second?

Candidates for ``--model auto`` with several microphones, scored and timed. Real voices in measured rooms, 12 s, every
candidate as ``unbabble separate --sources K --model ...`` runs it, with its own window and until converged. SI-SDR
improvement over the first microphone; seconds are those of the separation of one recording, transforms included,
compiled kernels loaded. ``published`` is ILRMA from random shapes. Options were chosen on the dev split (``--split
dev``, with another ``--name``); the table is of the test split.

    python -m benchmarks default                # five minutes, idle machine
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from benchmarks.kit.scenes import RATE, improvement, load_mixtures
from benchmarks.kit.table import grid, page
from unbabble.base import registry
from unbabble.pipelines.choose import DEFAULT_MULTICHANNEL
from unbabble.signal.statistics import bootstrap

CASES = ((2, 2), (3, 3), (4, 4), (2, 4), (3, 7))
GAUSS = {"source_model": "gauss"}
CANDIDATES: dict[str, tuple[str, dict]] = {
    "auxiva.iss": ("auxiva.iss", GAUSS),
    "auxiva.ipa": ("auxiva.ipa", GAUSS),
    "overiva.ip2": ("overiva.ip2", GAUSS),
    "ilrma.ip, published": ("ilrma.ip", {"rank": 2, "warm_up": 0}),
    "ilrma.ip, rank 2": ("ilrma.ip", {"rank": 2}),
    "ilrma.ip": ("ilrma.ip", {}),
    "ilrma.ip, rank 6": ("ilrma.ip", {"rank": 6}),
    "ilrma.ipa": ("ilrma.ipa", {}),
}
QUICK = {"count": 1, "cases": 1}


def compared(talkers: int, microphones: int, count: int, split: str, seed: int) -> dict[str, dict]:
    gains, seconds = defaultdict(list), defaultdict(list)
    for item in load_mixtures(talkers, microphones, count, seed, split=split):
        x, references = torch.from_numpy(item.mixture).float(), torch.from_numpy(item.images[:, 0])
        for name, (model, options) in CANDIDATES.items():
            if model.startswith("overiva") and talkers == microphones:
                continue
            separator = registry.create(model, sources=talkers, **options)
            if name not in gains:
                separator(x[None], sample_rate=RATE)  # loads the kernels
            start = time.perf_counter()
            voices = separator(x[None], sample_rate=RATE)[0]
            seconds[name].append(time.perf_counter() - start)
            gains[name].append(improvement(voices, references, x[0]))
    return {
        name: {
            "improvement_db": bootstrap(values),
            "worst_db": round(min(values), 2),
            "seconds": round(float(np.median(seconds[name])), 3),
            "each_db": [round(x, 2) for x in values],
        }
        for name, values in gains.items()
    }


def measure(
    count: int = 20, cases: int = 5, split: Literal["dev", "test"] = "test", threads: int = 2, seed: int = 0
) -> Iterator[dict]:
    """Case by case.

    Args:
        cases: how many of these, from two talkers and microphones on.
    """
    result = {"count": count, "split": split, "seed": seed, "threads": threads, "cases": {}}
    for talkers, microphones in CASES[:cases]:
        result["cases"][f"{talkers} / {microphones}"] = compared(talkers, microphones, count, split, seed)
        yield result


def table(result: dict) -> str:
    rows = [
        {"case": case, "name": f"**{name}**" if name == DEFAULT_MULTICHANNEL else name} | row
        for case, candidates in result["cases"].items()
        for name, row in candidates.items()
    ]
    return page(
        "# What a newcomer gets",
        f"{result['count']} mixtures of each kind, {result['split']} split, 12 s, seed {result['seed']}; "
        f"`{result['command']}`. SI-SDR improvement over the first microphone in dB (the mixture itself: 0) with its "
        f"95 % interval, the worst mixture, and median seconds for one recording, {result['threads']} thread(s). The "
        f"default is `{DEFAULT_MULTICHANNEL}`.",
        grid(
            "talkers / microphones | candidate | SI-SDRi | 95 % interval | worst | seconds",
            rows,
            "{case} | {name} | {improvement_db[0]:.2f} | {improvement_db[1]:.2f} ... {improvement_db[2]:.2f} "
            "| {worst_db:.1f} | {seconds:.2f}",
        ),
    )
