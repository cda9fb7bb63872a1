"""How fast and how lean are our networks beside SpeechBrain's and Asteroid's?

Seconds, memory, arithmetic, and whether outputs agree. SpeechBrain's SepFormer and Asteroid's Conv-TasNet and DPRNN
(kernels of 16 and 2 samples) are built with random weights in their own environments and saved in the layout of
published models; ours are read from those files. All run by turns, the median of the rounds is taken. The compact
SepFormer is ours alone.

    python -m benchmarks neural                                         # idle machine; 4, 10, 30 and 300 seconds
    python -m benchmarks neural --lengths 4 10 --networks sepformer     # a part; results of parts are merged
    python -m benchmarks neural --quick                                 # a minute, not saved
    python -m benchmarks neural --loss WEIGHTS.safetensors              # what bfloat16 costs a trained network, in dB
    python -m benchmarks neural --training                              # steps of training
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from benchmarks.kit.claim import rounded
from benchmarks.kit.machine import limits
from benchmarks.kit.peers import OURS, Process, there
from benchmarks.kit.scenes import DATA
from benchmarks.neural._tables import LOW, OWN, PEER_OF, THEIRS, THREADS, TITLES, WHO
from benchmarks.neural._tables import plot as plot
from benchmarks.neural._tables import table as table
from unbabble.data.librimix import LibriMixSet
from unbabble.methods.separation.sepformer import COMPACT, SepFormer
from unbabble.networks.cost import macs_per_second
from unbabble.networks.foreign import load_foreign
from unbabble.networks.load import load
from unbabble.signal.permutation import align
from unbabble.signal.statistics import bootstrap

RATE = 8000
KEYS = ("seconds", "extra_bytes")
QUICK = {"lengths": [2.0], "rounds": 1, "networks": ["compact", "conv_tasnet", "dprnn_16", "sepformer"]}
GEMM = """\
import time, torch
torch.set_num_threads({threads})
a, best, end = torch.rand({size}, {size}).bfloat16(), 9.0, time.perf_counter() + {seconds}
while time.perf_counter() < end:
    start = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - start)
print(best)"""


def gemm_rates(seconds: float) -> dict[str, float]:
    """Best matrix product of this machine, operations per second."""
    size, rates = 2048, {"float32": limits(THREADS, seconds)["gemm_f32_flops"]}
    script = GEMM.format(threads=THREADS, size=size, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return rates | {"bfloat16": 2 * size**3 / float(done.stdout)}


def runners(name: str, folder: Path, who: Sequence[str]) -> dict[str, Process]:
    """Theirs first: it writes what ours reads."""
    place = folder / name
    place.mkdir()
    python = {each: PEER_OF[name] if each == THEIRS else OURS for each in who}
    options = (name, place, THREADS)
    return {each: Process(python[each], "run_network.py", each, *options, threads=THREADS) for each in who}


def noise(folder: Path, name: str, seconds: float) -> Path:
    path = folder / name / "mixture.npy"
    np.save(path, np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32))
    return path


def medians(replies: list[dict]) -> dict[str, float]:
    return {key: float(np.median([reply[key] for reply in replies])) for key in KEYS}


def decibels(reference: np.ndarray, other: np.ndarray) -> float:
    """Power of ``reference`` over that of the difference."""
    error = np.square(reference.astype(float) - other).sum()
    return float(10 * np.log10(np.square(reference.astype(float)).sum() / max(error, 1e-300)))


def running(name: str, lengths: Sequence[float], rounds: int, folder: Path) -> dict:
    """Everything about one network: by length, then by who."""
    formers = ("sepformer", "compact")
    who = [each for each in WHO if (name in PEER_OF or each != THEIRS) and (each != LOW or name in formers)]
    processes, place = runners(name, folder, who), folder / name
    network = SepFormer(**COMPACT) if name == "compact" else load_foreign(place)
    found: dict = {"macs_per_second": macs_per_second(network), "lengths": {}}
    for length in lengths:
        replies: dict[str, list[dict]] = {each: [] for each in who}
        given = {
            each: {"input": str(noise(folder, name, length)), "out": str(place / f"{each}.npy")}
            for each in who
        }
        for turn in range(rounds if length < 100 else 1):
            for each in (one for one in who if not any("error" in reply for reply in replies[one])):
                if turn == 0 and length <= 10:
                    processes[each].request(**given[each])  # the first run warms up
                replies[each].append(processes[each].request(**given[each]))
        rows = {
            each: next((r for r in its if "error" in r), None) or medians(its)
            for each, its in replies.items()
        }
        outputs = {each: np.load(place / f"{each}.npy") for each in who if "error" not in rows[each]}
        if {THEIRS, OWN} <= outputs.keys():
            difference = np.abs(outputs[OWN] - outputs[THEIRS]).max() / np.abs(outputs[THEIRS]).max()
            rows[OWN]["largest_difference"] = float(difference)
        if {LOW, OWN} <= outputs.keys():
            rows[LOW]["agreement_db"] = decibels(outputs[OWN], outputs[LOW])
        found["lengths"][f"{length:g}"] = rows
        print(name, length, json.dumps(rounded(rows, 3)), flush=True)
    for process in processes.values():
        process.close()
    return found


def learning(name: str, seconds: float, rounds: int, folder: Path) -> dict:
    """Seconds and memory of a training step on one mixture; the first warms up."""
    processes = runners(name, folder, [each for each in WHO if name in PEER_OF or each != THEIRS])
    mixture, replies = str(noise(folder, name, seconds)), {each: [] for each in processes}
    for _ in range(rounds + 1):
        for each, process in processes.items():
            replies[each].append(process.request(input=mixture, out=None, learn=True))
    for process in processes.values():
        process.close()
    return {"audio_seconds": seconds} | {each: medians(rows[1:]) for each, rows in replies.items()}


def loss_of_bfloat16(weights: Path, count: int) -> dict:
    """SI-SNR of a trained SepFormer in both precisions on the first mixtures of the Libri2Mix subset."""
    mixtures = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech" / "test")
    loaded = {each: load(str(weights), precision=each).network for each in ("float32", "bfloat16")}
    scores: dict[str, list[float]] = {each: [] for each in loaded}
    for number in range(min(count, len(mixtures))):
        example = mixtures[number]
        for each, network in loaded.items():
            estimates = network(torch.as_tensor(example.mixture)[None, None])[0]
            scores[each].append(float(align(estimates, torch.as_tensor(example.sources)).scores.mean()))
    losses = np.subtract(scores["float32"], scores["bfloat16"])
    means = {each: float(np.mean(values)) for each, values in scores.items()}
    about = {"weights": weights.name, "mixtures": len(losses), "si_snr_db": means}
    return about | {"loss_db": bootstrap(losses), "largest_loss_db": float(losses.max())}


def measure(
    before: dict,
    networks: Annotated[Sequence[str], tuple(TITLES)] = tuple(TITLES),
    lengths: Sequence[float] = (4.0, 10.0, 30.0, 300.0),
    rounds: int = 5,
    loss: Path | None = None,
    mixtures: int = 50,
    training: bool = False,
) -> Iterator[dict]:
    """Running, unless something else is asked for.

    Args:
        loss: trained weights of a SepFormer.
        mixtures: to find that loss with.
        training: steps of training, 4 s, all but DPRNN's kernel 2.
    """
    if loss:
        before.setdefault("loss", {})[loss.name] = loss_of_bfloat16(loss, mixtures)
        yield before
        return
    if not training:
        before.pop("machine", None)  # the one of the last run is named
        before["gemm_flops"] = gemm_rates(3.0 if max(lengths) > 2 else 0.5)
    for name in networks:
        if name in PEER_OF and not there(PEER_OF[name]):
            print(f"{PEER_OF[name]} is not installed: {name} left out (benchmarks/peers.sh)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            if not training:
                found, old = running(name, lengths, rounds, Path(folder)), before.setdefault("networks", {})
                found["lengths"] = old.get(name, {}).get("lengths", {}) | found["lengths"]
                old[name] = found
            elif name != "dprnn_2":
                before.setdefault("training", {})[name] = learning(name, 4.0, rounds, Path(folder))
        yield before
