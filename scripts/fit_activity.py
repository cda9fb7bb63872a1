"""Fit the speech detector: prints the constants of unbabble/signal/activity.py, and how good it is.

    python scripts/fit_activity.py DATA

DATA holds speech.csv, noise.csv, noise_more.csv and air.csv with their files. It learns from training speakers, noises
and rooms; speech is what is within 30 dB of an utterance's loud parts, gaps of less than .3 s included. It is tried on
dev speakers, clean and in noise (0 to 25 dB), and on noises that it has not learnt from.
"""

import sys
from pathlib import Path

import numpy as np
import scipy.signal
import torch

from unbabble.base import audio
from unbabble.data import corpora
from unbabble.signal import activity

UTTERANCES, EXCERPTS, SEED = 400, 10, 0
RATE = activity.RATE


def load(path: Path) -> torch.Tensor:
    """All channels together, at the detector's rate."""
    recording = audio.read(path)
    return audio.resample(recording.samples.mean(0), recording.sample_rate, RATE)


def spoken(clean: torch.Tensor) -> torch.Tensor:
    """Where the clean recording is loud, with gaps of up to .3 s."""
    padded = torch.nn.functional.pad(clean, (0, activity.WINDOW))
    level = 10 * padded.unfold(0, activity.WINDOW, activity.HOP).square().mean(1).clamp(min=1e-12).log10()
    loud = (level > level.quantile(0.95) - 30).float()[None, None]
    closed = -torch.nn.functional.max_pool1d(-torch.nn.functional.max_pool1d(loud, 15, 1, 7), 13, 1, 6)
    return closed[0, 0] > 0


def excerpt(noise: torch.Tensor, length: int, generator: np.random.Generator) -> torch.Tensor:
    """Of a noise, which is repeated where it is shorter."""
    noise = noise.repeat(-(-length // len(noise)))
    start = int(generator.integers(len(noise) - length + 1))
    return noise[start : start + length]


def noisy(clean, noises, rooms, generator):
    """In a room, in noise, with pauses: the recording, and where it is speech."""
    pauses = (
        [int(seconds * RATE) for seconds in generator.uniform(0, 2, 2)]
        if generator.uniform() < 0.7
        else (0, 0)
    )
    clean = torch.nn.functional.pad(clean, tuple(pauses))
    label = spoken(clean)
    if rooms and generator.uniform() < 0.3:
        room = rooms[generator.integers(len(rooms))]
        wet = scipy.signal.fftconvolve(clean.numpy(), room.numpy())[int(room.abs().argmax()) :][: len(clean)]
        clean = torch.from_numpy(wet.astype(np.float32))
    if generator.uniform() < 0.3:
        hiss = torch.from_numpy(generator.normal(size=len(clean)).astype(np.float32))
        return clean + hiss * clean.abs().max() * 10 ** (-generator.uniform(40, 80) / 20), label
    noise = excerpt(noises[generator.integers(len(noises))], len(clean), generator)
    gain = clean.square().mean().sqrt() / noise.square().mean().sqrt().clamp(min=1e-5)
    return clean + noise * gain * 10 ** (-generator.uniform(0, 25) / 20), label


def beeps(length: int, generator: np.random.Generator) -> torch.Tensor:
    """Tones of random pitch that come and go, in hiss."""
    time = np.arange(length) / RATE
    hertz = np.repeat(generator.uniform(100, 3500, 200), RATE // int(generator.integers(1, 8)))[:length]
    hertz = np.pad(hertz, (0, length - len(hertz)), "edge")
    on = np.sin(2 * np.pi * generator.uniform(0.3, 4) * time + generator.uniform(0, 6)) > generator.uniform(
        -1.5, 0.8
    )
    hiss = generator.normal(size=length) * 10 ** (-generator.uniform(20, 80) / 20)
    return torch.from_numpy((on * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) + hiss).astype(np.float32))


def fit(items):
    """Logistic regression, by Newton's method."""
    names = list(activity.features(items[0][0]))
    columns, labels = [], []
    for samples, label in items:
        found = activity.features(samples)
        stacked = torch.stack([found[name] for name in names], 1)
        count = min(len(stacked), len(label))
        columns.append(stacked[:count])
        labels.append(label[:count])
    values, target = torch.cat(columns).double(), torch.cat(labels).double()
    mean, deviation = values.mean(0), values.std(0)
    standard = ((values - mean) / deviation).clamp(-activity.MOST_DEVIATIONS, activity.MOST_DEVIATIONS)
    standard = torch.nn.functional.pad(standard, (0, 1), value=1.0)
    weights = torch.zeros(standard.shape[1], dtype=torch.float64)
    for _ in range(12):
        likely = torch.sigmoid(standard @ weights)
        gradient = standard.T @ (likely - target)
        curvature = (standard * (likely * (1 - likely))[:, None]).T @ standard
        weights = weights - torch.linalg.solve(curvature, gradient)
    table = zip(names, mean.tolist(), deviation.tolist(), weights[:-1].tolist(), strict=True)
    return {name: activity.Weighed(*(float(f"{n:.4g}") for n in row)) for name, *row in table}, float(
        weights[-1]
    )


def report(title, items):
    """Print how much is missed, and how much is taken for speech."""
    missed, wrong, empty = [], [], 0
    for samples, label in items:
        found = activity.is_speech(samples, RATE)
        label = label[: len(found)]
        near = torch.nn.functional.max_pool1d(found.float()[None, None], 31, 1, 15)[0, 0] > 0
        missed.append(~near[label])
        wrong.append(found[~label])
        empty += not found.any()
    rates = [
        float(torch.cat(each).float().mean()) if len(torch.cat(each)) else 0.0 for each in (missed, wrong)
    ]
    missed_percent, wrong_percent = (100 * rate for rate in rates)
    print(
        f"{title}: {len(items)} recordings, speech in {len(items) - empty} of them; {missed_percent:.1f} % of the "
        f"speech is further than .3 s from what is found; {wrong_percent:.1f} % of the rest is taken for speech"
    )


def main(folder: Path) -> None:
    """Fit, and try."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(SEED)

    def utterances(split, count):
        rows = corpora.speech(folder / "speech.csv", split)
        return [load(rows[k].path) for k in generator.permutation(len(rows))[:count]]

    def noises(split):
        tables = [
            table for table in ("noise.csv", "noise_more.csv") if split == "train" or table == "noise.csv"
        ]
        return [load(each.path) for table in tables for each in corpora.noises(folder / table, split)]

    rows = corpora.read_table(folder / "air.csv", ("file",))
    rooms = [load(folder / "air" / row["file"]) for row in rows if row["split"] == "train"]
    known = noises("train")
    items = [noisy(each, known, rooms, generator) for each in utterances("train", UTTERANCES)]
    lengths = [int(seconds * RATE) for seconds in generator.uniform(2, 20, EXCERPTS * len(known))]
    alone = [excerpt(known[k % len(known)], length, generator) for k, length in enumerate(lengths)]
    alone += [torch.randn(8 * RATE) for _ in range(EXCERPTS)]
    alone += [beeps(8 * RATE, generator) for _ in range(3 * EXCERPTS)]
    items += [(each, torch.zeros(len(each), dtype=torch.bool)) for each in alone]
    activity.FEATURES, activity.BIAS = fit(items)
    print(f"FEATURES = {activity.FEATURES}\nBIAS = {activity.BIAS:.4g}")
    dev = utterances("dev", 150)
    report("dev", [(each, spoken(each)) for each in dev])
    report("dev in noise", [noisy(each, known, [], generator) for each in dev])
    for split in ("train", "test"):
        parts = [part for each in noises(split) for part in each.split(20 * RATE) if len(part) > RATE]
        report(f"noises, {split}", [(part, torch.zeros(10**6, dtype=torch.bool)) for part in parts])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
