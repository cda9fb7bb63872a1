"""The benchmarks' mixtures: real voices in a real room, recorded by a real array, built from the test splits.

Speech of ``speech/test`` (LibriSpeech, FLAC) is convolved with the test split of measured seven-microphone room
impulse responses (``rir.csv``; panel states 050 and RBL, which no training uses). Item ``i`` is the same
scene whatever the number of microphones, the count and the machine. With numpy alone, in another environment::

    python benchmarks/mixtures.py --talkers 2 --microphones 2 --count 25 --out two.npz
    data = numpy.load("two.npz"); data["mixture"]  # (count, M, T); data["images"] is (count, K, M, T)
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import oaconvolve

DATA = Path(os.environ.get("UNBABBLE_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
MICROPHONES = (0, 1, 2, 5, 3, 4, 6)
"""Order in which microphones join. The array is three orthogonal pairs of 9.4 cm, (0, 1) (2, 5) (3, 4), and a
centre microphone 6: the first pair is horizontal, each further pair opens a new direction, the centre is last.
(Found from the direct sound's delays over the measured directions.)"""
SAMPLE_RATE = 16000
SECONDS = 12.0
DISTANCES_M = (1.5, 2.0)
LEVEL_SPREAD_DB = 2.5
SNR_DB = 30.0
MIN_ANGLE_DEG = 30.0
RMS = 0.01


@dataclass
class Mixture:
    """One recording; the reference of talker k is ``images[k, 0]``, as heard at the first microphone."""

    mixture: np.ndarray  # (M, T) float32
    images: np.ndarray  # (K, M, T) float32, reverberant
    sample_rate: int
    metadata: dict

    @property
    def references(self) -> np.ndarray:
        return self.images[:, 0]


@cache
def _rows(table: str) -> list[dict[str, str]]:
    with open(DATA / table, newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "test"]


@cache
def _rir(file: str, gain: float) -> np.ndarray:
    response, rate = soundfile.read(DATA / "rir" / file, dtype="float64")
    assert rate == SAMPLE_RATE
    return response.T / gain


def _angle(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


def _directions(rng: np.random.Generator, azimuths: list[float], talkers: int) -> list[float]:
    while True:
        chosen = [float(a) for a in rng.choice(azimuths, talkers, replace=False)]
        if all(_angle(a, b) >= MIN_ANGLE_DEG for i, a in enumerate(chosen) for b in chosen[:i]):
            return chosen


def _speech(rng: np.random.Generator, speaker: str, samples: int) -> tuple[np.ndarray, list[str]]:
    files = [row["file"] for row in _rows("speech.csv") if row["speaker"] == speaker]
    voice, used = np.zeros(0), []
    for index in rng.permutation(len(files)):
        if len(voice) >= samples:
            break
        utterance, rate = soundfile.read(DATA / "speech" / files[index])
        assert rate == SAMPLE_RATE
        voice = np.concatenate([voice, utterance])
        used.append(files[index])
    return voice[:samples], used


def build(
    talkers: int,
    microphones: int,
    index: int,
    seed: int = 0,
    seconds: float = SECONDS,
    distances: tuple[float, ...] = DISTANCES_M,
    panels: tuple[str, ...] = ("050", "RBL"),
) -> Mixture:
    """Build item ``index``: all seven microphones are computed, so that M only selects among them."""
    rng = np.random.default_rng([seed, talkers, index])
    samples = round(seconds * SAMPLE_RATE)
    panel = str(rng.choice(panels))
    rirs = [
        row
        for row in _rows("rir.csv")
        if row["panels"] == panel and row["azimuth_deg"] and float(row["distance_m"]) in distances
    ]
    lengths: dict[str, float] = {}
    for row in _rows("speech.csv"):
        lengths[row["speaker"]] = lengths.get(row["speaker"], 0.0) + float(row["seconds"])
    speakers = rng.choice(
        sorted(s for s, total in lengths.items() if total >= seconds), talkers, replace=False
    )
    directions = _directions(rng, sorted({float(row["azimuth_deg"]) for row in rirs}), talkers)
    images, scene = [], []
    for speaker, azimuth in zip(speakers, directions, strict=True):
        here = [row for row in rirs if float(row["azimuth_deg"]) == azimuth]
        row = here[rng.integers(len(here))]
        voice, files = _speech(rng, str(speaker), samples)
        level_db = float(rng.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB))
        image = oaconvolve(voice[None], _rir(row["file"], float(row["gain"])), axes=-1)[:, :samples]
        image = image * (RMS * 10 ** (level_db / 20) / np.sqrt(np.mean(image[0] ** 2)))
        images.append(image)
        scene.append(
            {
                "speaker": str(speaker),
                "files": files,
                "rir": row["file"],
                "azimuth_deg": azimuth,
                "distance_m": float(row["distance_m"]),
                "level_db": round(level_db, 3),
            }
        )
    stacked = np.stack(images)
    clean = stacked.sum(axis=0)
    sigma = np.sqrt(np.mean(clean[0] ** 2)) * 10 ** (-SNR_DB / 20)
    mixture = clean + sigma * rng.standard_normal(clean.shape)
    chosen = list(MICROPHONES[:microphones])
    metadata = {
        "id": f"{talkers}talkers_{seed}_{index:03d}",
        "panels": panel,
        "snr_db": SNR_DB,
        "microphones": chosen,
        "talkers": scene,
    }
    return Mixture(
        mixture[chosen].astype(np.float32), stacked[:, chosen].astype(np.float32), SAMPLE_RATE, metadata
    )


def load_mixtures(
    talkers: int, microphones: int, count: int = 25, seed: int = 0, seconds: float = SECONDS, **choice: tuple
) -> list[Mixture]:
    """The first ``count`` mixtures of ``talkers`` at ``microphones``; ``choice``: ``distances``, ``panels``."""
    return [build(talkers, microphones, index, seed, seconds, **choice) for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--talkers", type=int, default=2)
    parser.add_argument("--microphones", type=int, default=2)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--distances", type=float, nargs="+", default=list(DISTANCES_M))
    parser.add_argument("--panels", nargs="+", default=["050", "RBL"])
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    choice = {"distances": tuple(a.distances), "panels": tuple(a.panels)}
    items = load_mixtures(a.talkers, a.microphones, a.count, a.seed, a.seconds, **choice)
    np.savez(
        a.out,
        mixture=np.stack([item.mixture for item in items]),
        images=np.stack([item.images for item in items]),
        sample_rate=SAMPLE_RATE,
        metadata=json.dumps([item.metadata for item in items]),
    )


if __name__ == "__main__":
    main()
