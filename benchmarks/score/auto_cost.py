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
from itertools import product
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.kit.auto import CONDITIONS, RATE, SEED, TALKERS, chooser, improvement, made
from benchmarks.kit.scenes import drawn, items
from benchmarks.kit.table import figure, grid, made_by, page
from benchmarks.kit.timing import seconds
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
    return min(seconds(call, clock=time.process_time) for _ in range(rounds))


def all_tried(auto: choose.AutoModel, recording: Recording) -> tuple[Separation, choose.Candidate]:
    heard = recording.loudest(choose.TRIAL_SECONDS) if recording.seconds > choose.WHOLE_SECONDS else recording
    with patch.dict(choose.SINGLE, {2: (*choose.SINGLE[2], "conv_tasnet.2talkers_8k")}):
        separations, candidates = auto.tried(heard, everything=True)
    best = max(range(len(separations)), key=lambda place: candidates[place].value_db)
    return separations[best], candidates[best]


def costs(length: float, talkers: int, rounds: int) -> dict:
    """Of one recording."""
    auto, scorer = chooser(), BlindScorer()
    options = {"seconds": PIECE_SECONDS, "overlap": (0.7, 1.0), "microphones": 1}
    pieces = items(drawn("test", talkers, **options), math.ceil(length / PIECE_SECONDS), SEED)
    heard = torch.cat([piece for piece, _ in pieces], -1)[..., : round(length * RATE)]

    def scored(model: Callable[[Recording], Separation]) -> str:
        recording = Recording.of(heard, RATE)
        result = model(recording)
        if not getattr(result, "scores", []):
            scorer.of(recording, result.sources)
        return result.model

    def exhaustive(recording: Recording) -> Separation:
        _, best = all_tried(auto, recording)
        return auto.as_tried(best)(recording)

    ends = scored(auto)
    name = choose.DEFAULT_SINGLE[2] if ends == choose.UNCHANGED else ends
    named = choose.load(name, device="cpu")
    whole = length <= choose.WHOLE_SECONDS
    before = (lambda: all_tried(auto, Recording.of(heard, RATE))) if whole else (lambda: scored(exhaustive))
    return {
        "seconds": length,
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
    """
    rows = []
    for length, talkers in product(lengths, TALKERS):
        rows.append(costs(length, talkers, rounds))
        print(rows[-1], flush=True)
    auto, gains = chooser(), {"early": [], "all tried": []}
    for talkers in TALKERS:
        for name, shares in CONDITIONS.items():
            for _, mixture, sources in made(name, "test", talkers, shares, 1, each):
                recording = Recording.of(mixture, RATE)
                late, _ = all_tried(auto, recording)
                early = auto(recording).sources
                gains["early"].append(improvement(early, sources, mixture[0]))
                gains["all tried"].append(improvement(late.sources, sources, mixture[0]))
        print(talkers, {label: sum(values) / len(values) for label, values in gains.items()}, flush=True)
    lost = [early - late for early, late in zip(*gains.values(), strict=True)]
    figures = {label: bootstrap(values) for label, values in gains.items()} | {"difference": bootstrap(lost)}
    return {
        "rows": rows,
        "recordings": len(lost),
        "gains": {
            label: dict(zip(("mean", "low", "high"), result, strict=True))
            for label, result in figures.items()
        },
    }


def table(result: dict) -> str:
    rows = [
        row | {key: row[f"{key}_s"] / row["named_s"] for key in ("early", "all_tried")}
        for row in result["rows"]
    ]
    gains = [[label, figure(list(each.values()))] for label, each in result["gains"].items()]
    return page(
        "Processor time in s, and how many times that of the named model with which it ends:",
        grid(
            "recording, s | talkers | ends with | named | early | all tried | early | all tried",
            rows,
            "{seconds:g} | {talkers} | {ends_with} | {named_s:.2f} | {early_s:.2f} | {all_tried_s:.2f} "
            "| {early:.2f} | {all_tried:.2f}",
        ),
        f"Mean SI-SDRi in dB (95 % interval) on {result['recordings']} recordings of one microphone:",
        grid("chosen | SI-SDRi", gains),
        made_by(result, "One thread. ", SEED),
    )
