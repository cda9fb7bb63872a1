"""How fast mixtures are made for training, per worker process: is the accelerator kept busy?

    python benchmarks/loading.py

Mixture-seconds per second of one process, one thread, 8 kHz, items of 4 s of two talkers, decoded recordings in the
page cache (after a first pass); beside them how many mixture-seconds a second a training step takes here.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import common
import torch

from unbabble.base import registry
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.librimix import LibriMixSet

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
ITEMS, SECONDS = 300, 4.0


def rate(read, items: int) -> float:
    for index in range(10):
        read(index)
    began = time.perf_counter()
    for index in range(10, 10 + items):
        read(index)
    return items * SECONDS / (time.perf_counter() - began)


def training_rate(name: str, batch: int = 4, steps: int = 5) -> float:
    network = registry.create(name)
    optimizer = torch.optim.AdamW(network.parameters())
    mixture, sources = torch.randn(batch, 32000), torch.randn(batch, 2, 32000)
    began = 0.0
    for step in range(steps + 1):
        if step == 1:
            began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = network.loss(mixture, sources).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return batch * steps * SECONDS / (time.perf_counter() - began)


def main() -> None:
    torch.set_num_threads(1)
    clean = DynamicMixing(DATA / "speech.csv", "train", seconds=SECONDS)
    sets = {
        "clean": clean,
        "clean, speed changed": replace(clean, speed=(0.95, 1.05)),
        "noise, rooms, speed changed": replace(
            clean,
            speed=(0.95, 1.05),
            noise=DATA / "noise.csv",
            noise_share=1.0,
            rooms=DATA / "rir.csv",
            room_share=1.0,
        ),
    }
    found = {}
    for name, mixing in sets.items():
        items = DynamicMixtures(mixing)
        found[name] = rate(items.__getitem__, ITEMS)
    libri = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech/test")
    found["LibriMix on the way, from FLAC"] = rate(lambda index: libri.example(index, 0, SECONDS), ITEMS // 3)
    trained = {"bsrnn, bfloat16, one thread": training_rate("bsrnn")}
    result = {
        "mixture_seconds_per_second": found,
        "training": trained,
        "machine": common.machine(),
        "command": common.command(),
    }
    common.save("loading", result)
    lines = ["| mixtures of two talkers, 8 kHz | mixture-seconds per second and process |", "|-|-|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in found.items()]
    lines += [f"| (training, {name}) | {value:.1f} |" for name, value in trained.items()]
    (RESULTS / "loading.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
