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

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from benchmarks.kit import plot as plots
from benchmarks.kit.claim import rounded
from benchmarks.kit.machine import limits
from benchmarks.kit.peers import OURS, Process, there
from benchmarks.kit.scenes import DATA
from benchmarks.kit.table import grid, page
from unbabble.data.librimix import LibriMixSet
from unbabble.methods.separation.sepformer import COMPACT, SepFormer
from unbabble.networks.cost import macs_per_second
from unbabble.networks.foreign import load_foreign
from unbabble.networks.load import load
from unbabble.signal.permutation import align
from unbabble.signal.statistics import bootstrap

RATE, THREADS = 8000, 2
PEER_OF = {
    "sepformer": "speechbrain",
    "conv_tasnet": "asteroid",
    "dprnn_16": "asteroid",
    "dprnn_2": "asteroid",
}
TITLES = {
    "sepformer": "SepFormer",
    "conv_tasnet": "Conv-TasNet",
    "dprnn_16": "DPRNN, kernel 16",
    "dprnn_2": "DPRNN, kernel 2",
    "compact": "SepFormer, compact",
}
WHO = THEIRS, OWN, LOW = ("theirs", "ours", "ours-bfloat16")
KEYS = ("seconds", "extra_bytes")
PUBLISHED_SI_SNR_DB = 22.3
"""Of SepFormer on WSJ0-2mix: the level of error that rounding is compared with where weights are random."""
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


def cell(row: dict, key: str, scale: float = 1, digits: int = 2) -> str:
    return f"{row[key] / scale:.{digits}f}" if key in row else "too much" if "error" in row else ""


def ratio(theirs: dict, other: dict) -> str:
    return f"{theirs['seconds'] / other['seconds']:.2f}" if "seconds" in theirs and "seconds" in other else ""


def running_rows(result: dict) -> Iterator[list[str]]:
    for name, network in result["networks"].items():
        for length, rows in sorted(network["lengths"].items(), key=lambda item: float(item[0])):
            theirs, ours, low = (rows.get(each, {}) for each in WHO)
            flops = 2 * network["macs_per_second"] * float(length) / result["gemm_flops"]["float32"]
            share = f"{flops / ours['seconds']:.0%}" if "seconds" in ours else ""
            equal = f"{ours['largest_difference']:.1e}" if "largest_difference" in ours else ""
            memory = ", ".join(cell(each, "extra_bytes", 1e6, 0) for each in (theirs, ours))
            speed = [
                cell(theirs, "seconds"),
                cell(ours, "seconds"),
                ratio(theirs, ours),
                share,
                memory,
                equal,
            ]
            last = [cell(low, "extra_bytes", 1e6, 0), cell(low, "agreement_db", 1, 1)]
            low_speed = [cell(low, "seconds"), ratio(theirs, low), *last]
            yield [TITLES[name], f"{network['macs_per_second'] / 1e9:.2f}", length, *speed, *low_speed]


def training_rows(result: dict) -> Iterator[list[object]]:
    for name, row in result["training"].items():
        theirs, ours, low = (row.get(each, {}) for each in WHO)
        seconds, memory = theirs.get("seconds", "-"), cell(theirs, "extra_bytes", 1e6, 0) or "-"
        both = f"{memory}, {cell(ours, 'extra_bytes', 1e6, 0)}"
        cells = [f"{row['audio_seconds']:g}", seconds, cell(ours, "seconds"), ratio(theirs, ours), both]
        low_cells = [cell(low, "seconds"), ratio(theirs, low), cell(low, "extra_bytes", 1e6, 0)]
        yield [TITLES[name], *cells, *low_cells]


def losses(result: dict) -> Iterator[str]:
    """What bfloat16 costs, with random and with trained weights."""
    lengths = result["networks"].get("sepformer", {}).get("lengths", {})
    agreements = [row[LOW]["agreement_db"] for row in lengths.values() if "agreement_db" in row.get(LOW, {})]
    if agreements:
        loss = 10 * np.log10(1 + 10 ** ((PUBLISHED_SI_SNR_DB - min(agreements)) / 10))
        yield (
            f"Rounding as in the row of least agreement ({min(agreements):.1f} dB, random weights) would cost an "
            f"estimate of {PUBLISHED_SI_SNR_DB} dB SI-SNR {loss:.4f} dB."
        )
    for row in result.get("loss", {}).values():
        mean, low, high = row["loss_db"]
        yield (
            f"Trained weights (`{row['weights']}`), {row['mixtures']} mixtures of the Libri2Mix subset: "
            f"{row['si_snr_db']['float32']:.2f} dB SI-SNR in float32, bfloat16 costs {mean:.4f} dB "
            f"({low:.4f} to {high:.4f}), at most {row['largest_loss_db']:.4f} dB."
        )


def table(result: dict) -> str:
    machine = result["machine"]
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {each}" for each, rate in result["gemm_flops"].items())
    blocks = [
        "# Neural networks beside SpeechBrain and Asteroid",
        f"{machine['cpu']}, {THREADS} threads, {machine['date']}. Matrix products reach {rates}. Memory is what a run "
        "takes on top of weights and input. The difference is the largest, relative to the largest sample.",
        grid(
            "network | GMAC/s of audio | audio s | theirs: s | ours: s | times faster | share of GEMM rate "
            "| memory: theirs, ours (MB) | difference | bfloat16: s | times faster | memory (MB) | agreement (dB)",
            running_rows(result),
        ),
        *losses(result),
    ]
    if "training" in result:
        blocks += [
            "A step of training on one mixture, forward and back; bfloat16 by autocast, as `unbabble train` has it:",
            grid(
                "network | audio s | theirs: s | ours: s | times faster | memory: theirs, ours (MB) | bfloat16: s "
                "| times faster | memory (MB)",
                training_rows(result),
            ),
        ]
    return page(*blocks, "Made by " + ", ".join(f"`{each}`" for each in result["commands"]) + ".")


def plot(result: dict) -> None:
    """Real-time factor and memory against length."""
    figure, (axes,) = plots.axes(1, 2, figsize=(11, 4.5), constrained_layout=True)
    for number, (name, network) in enumerate(result["networks"].items()):
        for each, style in zip(WHO, (":", "-", "--"), strict=True):
            rows = {float(length): row.get(each, {}) for length, row in network["lengths"].items()}
            points = [
                (x, row["seconds"] / x, row["extra_bytes"] / 1e6)
                for x, row in rows.items()
                if "seconds" in row
            ]
            if points:
                seconds, factors, megabytes = zip(*sorted(points), strict=True)
                label = f"{TITLES[name]}, {each if each != THEIRS else PEER_OF[name]}"
                for axis, values in zip(axes, (factors, megabytes), strict=True):
                    axis.loglog(seconds, values, style, marker="o", ms=3, color=f"C{number}", label=label)
    for axis, title in zip(axes, ("real-time factor", "memory on top of weights (MB)"), strict=True):
        axis.set(xlabel="seconds of audio", title=title)
        axis.grid(alpha=0.3, which="both")
    axes[0].axhline(1, color="gray", lw=0.8)
    axes[1].legend(fontsize=6)
    plots.write(figure, "neural", dpi=120)
