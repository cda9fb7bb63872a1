"""Excerpts of real meetings (AMI) in which, by the transcript, two people talk at once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.scenes import DATA
from unbabble.base import audio

RATE, LEAST_OVERLAP_SECONDS = 8000, 0.25


def overlaps(transcript: Path) -> list[float]:
    """Centres, in seconds, of the stretches in which at least two talkers speak."""
    turns = [tuple(map(float, line.split()[3:5])) for line in transcript.read_text().splitlines()]
    times = np.arange(0, max((start + length for start, length in turns), default=0), 0.01)
    talking = np.zeros(len(times) + 2, int)
    for start, length in turns:
        talking[1:-1] += (start <= times) & (times < start + length)
    edges = np.flatnonzero(np.diff((talking >= 2).astype(int))).reshape(-1, 2)
    return [float((start + end) / 200) for start, end in edges if end - start >= 100 * LEAST_OVERLAP_SECONDS]


def meetings(seconds: float) -> Iterator[torch.Tensor]:
    """Excerpts around these moments, which do not overlap."""
    for transcript in sorted((DATA / "meetings").glob("*.rttm")):
        file = transcript.with_suffix(".flac")
        sound, rate = next(audio.read_blocks(file, 60.0)), audio.probe(file).sample_rate
        heard, last = audio.resample(sound[0], rate, RATE), -seconds
        for centre in overlaps(transcript):
            start = min(max(0.0, centre - seconds / 2), len(heard) / RATE - seconds)
            if start >= last + seconds:
                yield heard[round(start * RATE) :][: round(seconds * RATE)]
                last = start
