"""How fast are mixtures made for training?

Per worker process: is the accelerator kept busy? Mixture-seconds per second of one process, one thread, 8 kHz, items of
4 s of two talkers, decoded recordings in the page cache (after a first pass); beside them how many mixture-seconds a
second a training step takes here.

    python -m benchmarks loading
"""

import time

import torch

from benchmarks.kit.scenes import DATA, drawn
from benchmarks.kit.table import grid, page
from unbabble.base import registry
from unbabble.data.dynamic import DynamicMixtures
from unbabble.data.librimix import LibriMixSet

SECONDS, SPEED = 4.0, {"speed": (0.95, 1.05)}
DIGITS = 17
QUICK = {"items": 9}


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


def measure(items: int = 300) -> dict:
    sets = {
        "clean": drawn("train", 2, snr_db=(0.0, 20.0)),
        "clean, speed changed": drawn("train", 2, snr_db=(0.0, 20.0), **SPEED),
        "noise, rooms, speed changed": drawn("train", 2, 1, 1, (0.0, 20.0), **SPEED),
    }
    result = {name: rate(DynamicMixtures(mixing).__getitem__, items) for name, mixing in sets.items()}
    libri = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech/test")
    result["LibriMix on the way, from FLAC"] = rate(
        lambda index: libri.example(index, 0, SECONDS), items // 3
    )
    trained = {"bsrnn, bfloat16, one thread": training_rate("bsrnn")}
    return {"mixture_seconds_per_second": result, "training": trained}


def table(result: dict) -> str:
    rows = [(name, f"{value:.0f}") for name, value in result["mixture_seconds_per_second"].items()]
    rows += [(f"(training, {name})", f"{value:.1f}") for name, value in result["training"].items()]
    return page(grid("mixtures of two talkers, 8 kHz | mixture-seconds per second and process", rows))
