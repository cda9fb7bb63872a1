"""Clips of everyday sounds, what networks make of them, and how well words find them."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from unbabble.base import audio
from unbabble.data.captioned import readable
from unbabble.nn.kinds.joint_embedder import at_unit_level
from unbabble.signal.retrieval import mean_average_precision

EVENTS = Path(os.environ.get("UNBABBLE_DATA", "../shared/data")) / "events"
AT_ONCE = 32


@dataclass(frozen=True)
class Clip:
    """A recording of one class of sounds."""

    path: Path
    label: str
    fold: int


@cache
def clips(table: str, folds: tuple[int, ...] = ()) -> list[Clip]:
    """Of ESC-50 or UrbanSound8K; of the latter without those that ESC-50 has too."""
    with open(EVENTS / f"{table}.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("also_in_esc50", "0") == "0"]
    made = [Clip(EVENTS / table / row["file"], row["label"], int(row["fold"])) for row in rows]
    return [clip for clip in made if not folds or clip.fold in folds]


def waveform(clip: Clip, rate: int, seconds: float) -> Float[np.ndarray, " time"]:
    """Its first seconds, repeated where it is shorter."""
    recording = audio.read(clip.path)
    samples = audio.resample(recording.samples[0], recording.sample_rate, rate).numpy()
    return (
        np.resize(samples, length) if len(samples) < (length := round(seconds * rate)) else samples[:length]
    )


def embedded(network: Any, some: Sequence[Clip]) -> Float[np.ndarray, "clip dimension"]:
    """Vectors of clips, of unit norm."""
    vectors = []
    for first in range(0, len(some), AT_ONCE):
        batch = [
            waveform(clip, network.sample_rate, network.window_seconds)
            for clip in some[first : first + AT_ONCE]
        ]
        with torch.no_grad():
            vectors.append(network.embed(at_unit_level(torch.from_numpy(np.stack(batch)))).numpy())
    return np.concatenate(vectors)


def texts_of(network: Any, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
    """Vectors of texts, of unit norm."""
    return network.embed_text(list(texts)).numpy()


def precision(network: Any, some: Sequence[Clip]) -> dict[str, float]:
    """How well clips are found by the names of their classes, and names by clips."""
    names = sorted({clip.label for clip in some})
    return judged(texts_of(network, list(map(readable, names))) @ embedded(network, some).T, some, names)


def judged(
    likeness: Float[np.ndarray, "name clip"], some: Sequence[Clip], names: Sequence[str]
) -> dict[str, float]:
    """Mean average precision of finding clips by names, and accuracy of naming clips."""
    relevant = np.array([[clip.label == name for clip in some] for name in names])
    right = relevant[likeness.argmax(0), np.arange(len(some))]
    return {"map": mean_average_precision(likeness, relevant), "accuracy": float(right.mean())}


def averaged(values: Sequence[float], digits: int = 3) -> str:
    """Mean and deviation; nothing where there is nothing."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return ""
    spread = f" ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else ""
    return f"{np.mean(known):.{digits}f}{spread}"
