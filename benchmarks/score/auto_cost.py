"""What does it cost that `auto` chooses, and what is lost because it chooses early?

Recordings of test speakers as one microphone hears them, 8 kHz, mixtures of 12 s in a row. *early*: what `auto` does:
the talkers are counted, and what separates so many is tried on an excerpt. *all tried*, as it was before: every network
for two and for three talkers, Conv-TasNet too, separates all of the recording (beyond half a minute, its loudest 20 s).
Processor time of one thread, scores included, in memory, the least of several runs, over that of the named model with
which `auto` ends; where it leaves the recording as it is, over that of the default for two talkers. Gains, in dB, on
some of the recordings of the benchmark `auto`.

    python -m benchmarks auto_cost
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.kit.auto import CONDITIONS, RATE, SEED, TALKERS, chooser, improvement, made
from benchmarks.kit.scenes import drawn
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.data.dynamic import DynamicMixtures
from unbabble.pipelines import choose
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import BlindScorer
from unbabble.pipelines.separate import Separation
from unbabble.signal.statistics import bootstrap

DIGITS, PIECE_SECONDS = 3, 12.0
QUICK = {"lengths": [12.0], "rounds": 1, "each": 1}


def processor_seconds(call: Callable[[], Any], rounds: int) -> float:
    """The least of several runs; one more before them loads what is loaded once."""
    call()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return min(spent)


def all_tried(auto: choose.AutoModel, recording: Recording) -> tuple[Separation, choose.Candidate]:
    heard = recording.loudest(choose.TRIAL_SECONDS) if recording.seconds > choose.WHOLE_SECONDS else recording
    with patch.dict(choose.SINGLE, {2: (*choose.SINGLE[2], "conv_tasnet.2talkers_8k")}):
        separations, candidates = auto.tried(heard, everything=True)
    best = max(range(len(separations)), key=lambda place: candidates[place].value_db)
    return separations[best], candidates[best]


def costs(seconds: float, talkers: int, rounds: int) -> dict:
    """Of one recording."""
    auto, scorer = chooser(), BlindScorer()
    options = {"seconds": PIECE_SECONDS, "overlap": (0.7, 1.0), "microphones": 1}
    mixtures = DynamicMixtures(drawn("test", talkers, 0, 0, **options), SEED)
    pieces = [mixtures[number].mixture for number in range(math.ceil(seconds / PIECE_SECONDS))]
    heard = torch.from_numpy(np.concatenate(pieces, -1))[..., : round(seconds * RATE)]

    def scored(model: Callable[[Recording], Separation]) -> str:
        recording = Recording.of(heard, RATE)
        found = model(recording)
        if not getattr(found, "scores", []):
            scorer.of(recording, found.sources)
        return found.model

    def exhaustive(recording: Recording) -> Separation:
        _, best = all_tried(auto, recording)
        return auto.as_tried(best)(recording)

    ends = scored(auto)
    name = choose.DEFAULT_SINGLE[2] if ends == choose.UNCHANGED else ends
    named = choose.load(name, device="cpu")
    whole = seconds <= choose.WHOLE_SECONDS
    before = (lambda: all_tried(auto, Recording.of(heard, RATE))) if whole else (lambda: scored(exhaustive))
    return {
        "seconds": seconds,
        "talkers": talkers,
        "ends_with": ends,
        "named_s": processor_seconds(lambda: scored(named), rounds),
        "early_s": processor_seconds(lambda: scored(auto), rounds),
        "all_tried_s": processor_seconds(before, rounds),
    }


def measure(lengths: Sequence[float] = (12.0, 60.0), rounds: int = 3, each: int = 4) -> dict:
    """Costs, then gains.

    Args:
        lengths: of the recordings, in seconds.
        rounds: runs of which the least counts.
        each: recordings of each kind whose gains are compared.
    """
    rows = []
    for seconds in lengths:
        for talkers in TALKERS:
            rows.append(costs(seconds, talkers, rounds))
            print(rows[-1], flush=True)
    auto, gains = chooser(), {"early": [], "all tried": []}
    for talkers in TALKERS:
        for name, shares in CONDITIONS.items():
            for _, heard, sources in made(f"{talkers}, {name}", "test", talkers, *shares, 1, each):
                recording = Recording.of(heard, RATE)
                late, _ = all_tried(auto, recording)
                early = auto(recording).sources
                gains["early"].append(improvement(early, sources, heard[0]))
                gains["all tried"].append(improvement(late.sources, sources, heard[0]))
        print(talkers, {label: sum(values) / len(values) for label, values in gains.items()}, flush=True)
    lost = [early - late for early, late in zip(*gains.values(), strict=True)]
    figures = {label: bootstrap(values) for label, values in gains.items()} | {"difference": bootstrap(lost)}
    return {
        "rows": rows,
        "recordings": len(lost),
        "gains": {
            label: dict(zip(("mean", "low", "high"), found, strict=True)) for label, found in figures.items()
        },
    }


def table(result: dict) -> str:
    rows = []
    for row in result["rows"]:
        times = [f"{row[key]:.2f}" for key in ("named_s", "early_s", "all_tried_s")]
        over = [f"{row[key] / row['named_s']:.2f}" for key in ("early_s", "all_tried_s")]
        rows.append([f"{row['seconds']:g}", str(row["talkers"]), row["ends_with"], *times, *over])
    gains = [[label, figure(list(each.values()))] for label, each in result["gains"].items()]
    return page(
        "Processor time in s, and how many times that of the named model with which it ends:",
        grid("recording, s | talkers | ends with | named | early | all tried | early | all tried", rows),
        f"Mean SI-SDRi in dB (95 % interval) on {result['recordings']} recordings of one microphone:",
        grid("chosen | SI-SDRi", gains),
        made_by(result, "One thread. ", SEED),
    )
