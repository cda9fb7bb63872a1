"""How often is the number of talkers right who take turns before one microphone?

The recordings of 30 s of ``count_one_microphone``, in which 1, 2 or 3 speakers of a split take turns and never talk at
once, at 16 kHz: counted by vectors over the whole recording, and beside it, as there, window by window.

    python -m benchmarks turns_taken
    python -m benchmarks turns_taken --split dev
"""

import numpy as np
import torch

from benchmarks.kit.conversations import turns
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.audio import Audio, resample
from unbabble.networks import load as networks
from unbabble.pipelines.count import COUNTER
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.turns_taken import count_turn_takers
from unbabble.signal.counting import most_talkers, windows

RATE, TALKERS, MOST = 16000, (1, 2, 3), 4
QUICK = {"each": 2}


def measure(each: int = 100, split: str = "test") -> dict:
    """Shares of the recordings (row: of so many talkers) in which each number is found.

    Args:
        each: recordings of each number of talkers.
        split: whose speakers.
    """
    ears, counter = Ears.load("auto", "cpu"), networks.load(COUNTER).network
    found = {how: np.zeros((len(TALKERS), MOST)) for how in ("vectors", "windows")}
    for row, talkers in enumerate(TALKERS):
        for samples in turns(talkers, split, each, RATE):
            mixture = torch.from_numpy(samples)
            by_vectors = count_turn_takers(Recording.of(Audio(mixture[None], RATE)), ears)
            parts = windows(resample(mixture[None], RATE, counter.sample_rate)[0], counter.sample_rate)
            by_windows = most_talkers(counter(parts), parts.square().mean(-1))
            for how, count in (("vectors", by_vectors), ("windows", by_windows)):
                found[how][row, min(count, MOST) - 1] += 1 / each
    return {"items": each, "split": split} | {how: shares.round(3).tolist() for how, shares in found.items()}


def table(result: dict) -> str:
    blocks = []
    for how in ("vectors", "windows"):
        rows = [
            [row, *map("{:.0%}".format, shares)] for row, shares in zip(TALKERS, result[how], strict=True)
        ]
        blocks.append(grid(f"{result['split']}, by {how}: talkers | found 1 | 2 | 3 | more", rows))
    return page(*blocks, made_by(result))
