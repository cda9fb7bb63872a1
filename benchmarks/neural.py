"""Our networks beside the toolkits whose weights they load: seconds, memory, arithmetic, and whether outputs agree.

SpeechBrain's SepFormer and Asteroid's Conv-TasNet and DPRNN (kernels of 16 and 2 samples) are built with random weights
in their own environments and saved in the layout of published models; ours are read from those files. All run by turns,
the median of the rounds is taken. The compact SepFormer is ours alone.

    python benchmarks/neural.py                                         # idle machine; 4, 10, 30 and 300 seconds
    python benchmarks/neural.py --lengths 4 10 --networks sepformer     # a part; results of parts are merged
    python benchmarks/neural.py --quick                                 # a minute, not saved
    python benchmarks/neural.py --loss WEIGHTS.safetensors              # what bfloat16 costs a trained network, in dB
    python benchmarks/neural.py --training                              # steps of training
    python benchmarks/neural.py --report
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import FOLDER, PEERS, RESULTS, command, interval, load, machine, rounded, save
from machine import limits

SAMPLE_RATE = 8000
THREADS = 2
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
WHO = ("theirs", "ours", "ours-bfloat16")
PUBLISHED_SI_SNR_DB = 22.3
"""Of SepFormer on WSJ0-2mix: the level of error that rounding is compared with where weights are random."""


class Runner:
    """A process of ``peers/run_network.py``."""

    def __init__(self, who: str, name: str, folder: Path) -> None:
        python = PEERS / PEER_OF[name] / "bin" / "python" if who == "theirs" else Path(sys.executable)
        environment = os.environ | {
            f"{each}_NUM_THREADS": str(THREADS) for each in ("OMP", "MKL", "OPENBLAS")
        }
        environment["PYTHONPATH"] = str(FOLDER.parent / "src") if who != "theirs" else ""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self.process = subprocess.Popen(
            [python, FOLDER / "peers" / "run_network.py", who, name, folder, str(THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )
        self._read()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(self.errors.read()[-2000:])
        return json.loads(line)

    def __call__(self, mixture: Path, out: Path | None, learn: bool = False) -> dict:
        assert self.process.stdin is not None
        request = {"input": str(mixture), "out": out and str(out), "learn": learn}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def macs_per_second(name: str, folder: Path) -> float:
    """Of our network, without computing anything; LSTMs, which would be unrolled, are added up by hand."""
    from unbabble.methods.separation.sepformer import COMPACT, SepFormer
    from unbabble.networks import cost as macs
    from unbabble.networks.foreign import load_foreign

    return macs.macs_per_second(SepFormer(**COMPACT) if name == "compact" else load_foreign(folder))


def gemm_rates(seconds: float) -> dict[str, float]:
    """Best matrix product of this machine, operations per second."""
    size, rates = 2048, {"float32": limits(THREADS, seconds)["gemm_f32_flops"]}
    script = (
        f"import time, torch; torch.set_num_threads({THREADS}); a = torch.rand({size}, {size}).bfloat16(); best = 9.0\n"
        f"end = time.perf_counter() + {seconds}\n"
        "while time.perf_counter() < end:\n"
        "    start = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - start)\n"
        "print(best)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return rates | {"bfloat16": 2 * size**3 / float(done.stdout)}


def decibels(reference: np.ndarray, other: np.ndarray) -> float:
    """Power of ``reference`` over that of the difference."""
    error = np.square(reference.astype(float) - other).sum()
    return float(10 * np.log10(np.square(reference.astype(float)).sum() / max(error, 1e-300)))


def measure(name: str, lengths: list[float], rounds: int, folder: Path) -> dict:
    """Everything about one network: by length, then by who."""
    folder = folder / name
    folder.mkdir()
    who = [
        each
        for each in WHO
        if (name in PEER_OF or each != "theirs") and (each != WHO[2] or "dprnn" not in name)
    ]
    who = [each for each in who if each != WHO[2] or name in ("sepformer", "compact")]
    runners = {}
    for each in who:  # theirs first: it writes what ours reads
        runners[each] = Runner(each, name, folder)
    found: dict = {"macs_per_second": macs_per_second(name, folder), "lengths": {}}
    for length in lengths:
        mixture, samples = folder / "mixture.npy", round(length * SAMPLE_RATE)
        np.save(mixture, np.random.default_rng(0).standard_normal(samples).astype(np.float32))
        times: dict[str, list[float]] = {each: [] for each in who}
        bytes_: dict[str, list[int]] = {each: [] for each in who}
        errors: dict[str, str] = {}
        for turn in range(rounds if length < 100 else 1):
            for each in who:
                if each in errors:
                    continue
                if turn == 0 and length <= 10:
                    runners[each](mixture, folder / f"{each}.npy")  # the first run warms up
                reply = runners[each](mixture, folder / f"{each}.npy")
                if "error" in reply:
                    errors[each] = reply["error"]
                    continue
                times[each].append(reply["seconds"])
                bytes_[each].append(reply["extra_bytes"])
        rows: dict = {}
        for each in who:
            if each in errors:
                rows[each] = {"error": errors[each]}
            else:
                rows[each] = {
                    "seconds": float(np.median(times[each])),
                    "extra_bytes": int(np.median(bytes_[each])),
                }
        outputs = {each: np.load(folder / f"{each}.npy") for each in who if each not in errors}
        if "theirs" in outputs and "ours" in outputs:
            largest = float(np.abs(outputs["theirs"]).max())
            rows["ours"]["largest_difference"] = (
                float(np.abs(outputs["ours"] - outputs["theirs"]).max()) / largest
            )
        if WHO[2] in outputs and "ours" in outputs:
            rows[WHO[2]]["agreement_db"] = decibels(outputs["ours"], outputs[WHO[2]])
        found["lengths"][f"{length:g}"] = rows
        print(name, length, json.dumps(rounded(rows, 3)), flush=True)
    for runner in runners.values():
        runner.close()
    return found


def training(name: str, seconds: float, rounds: int, folder: Path) -> dict:
    """Seconds and memory of a training step on one mixture."""
    folder = folder / f"{name}-training"
    folder.mkdir()
    who = [each for each in WHO if name in PEER_OF or each != "theirs"]
    runners = {each: Runner(each, name, folder) for each in who}
    mixture = folder / "mixture.npy"
    np.save(
        mixture, np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32)
    )
    replies: dict[str, list[dict]] = {each: [] for each in who}
    for turn in range(rounds + 1):
        for each, runner in runners.items():
            reply = runner(mixture, None, learn=True)
            if turn:  # the first warms up
                replies[each].append(reply)
    for runner in runners.values():
        runner.close()
    keys = ("seconds", "extra_bytes")
    found = {
        each: {key: float(np.median([r[key] for r in rows])) for key in keys}
        for each, rows in replies.items()
    }
    print(name, "training", json.dumps(rounded(found, 3)), flush=True)
    return {"audio_seconds": seconds} | found


def loss_of_bfloat16(weights: Path, count: int) -> dict:
    """SI-SNR of a trained SepFormer in both precisions on the first mixtures of the Libri2Mix subset."""
    from mixtures import DATA

    from unbabble.data.librimix import LibriMixSet
    from unbabble.networks.load import load_network
    from unbabble.signal.permutation import align

    mixtures = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech" / "test")
    networks = {each: load_network(str(weights), precision=each).network for each in ("float32", "bfloat16")}
    scores: dict[str, list[float]] = {each: [] for each in networks}
    for number in range(min(count, len(mixtures))):
        example = mixtures[number]
        sources = torch.as_tensor(example.sources)
        for each, network in networks.items():
            estimates = network(torch.as_tensor(example.mixture)[None, None])[0]
            scores[each].append(float(align(estimates, sources).scores.mean()))
    losses = np.subtract(scores["float32"], scores["bfloat16"])
    return {
        "weights": weights.name,
        "mixtures": len(losses),
        "si_snr_db": {each: float(np.mean(values)) for each, values in scores.items()},
        "loss_db": interval(losses),
        "largest_loss_db": float(losses.max()),
    }


def report(result: dict) -> None:
    """Table and plots."""
    text = [
        "# Neural networks beside SpeechBrain and Asteroid",
        "",
        f"{result['machine']['cpu']}, {THREADS} threads, {result['machine']['date']}. Matrix products reach "
        + ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {each}" for each, rate in result["gemm_flops"].items())
        + ". Memory is what a run takes on top of weights and input. The difference is the largest, relative to the "
        "largest sample.",
        "",
        "| network | GMAC/s of audio | audio s | theirs: s | ours: s | times faster | share of GEMM rate "
        "| memory: theirs, ours (MB) | difference | bfloat16: s | times faster | memory (MB) | agreement (dB) |",
        "|-|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    gemm = result["gemm_flops"]["float32"]
    for name, network in result["networks"].items():
        for length, rows in sorted(network["lengths"].items(), key=lambda item: float(item[0])):
            theirs, ours, low = (rows.get(each, {}) for each in WHO)

            def ratio(other, theirs=theirs) -> str:
                both = "seconds" in theirs and "seconds" in other
                return f"{theirs['seconds'] / other['seconds']:.2f}" if both else ""

            def cell(row, key, scale, digits=2) -> str:
                return (
                    f"{row[key] / scale:.{digits}f}" if key in row else ("too much" if "error" in row else "")
                )

            share = (
                f"{2 * network['macs_per_second'] * float(length) / ours['seconds'] / gemm:.0%}"
                if "seconds" in ours
                else ""
            )
            text.append(
                f"| {TITLES[name]} | {network['macs_per_second'] / 1e9:.2f} | {length} | {cell(theirs, 'seconds', 1)} "
                f"| {cell(ours, 'seconds', 1)} | {ratio(ours)} | {share} | {cell(theirs, 'extra_bytes', 1e6, 0)}, "
                f"{cell(ours, 'extra_bytes', 1e6, 0)} "
                f"| {format(ours['largest_difference'], '.1e') if 'largest_difference' in ours else ''} "
                f"| {cell(low, 'seconds', 1)} | {ratio(low)} | {cell(low, 'extra_bytes', 1e6, 0)} "
                f"| {cell(low, 'agreement_db', 1, 1)} |"
            )
    agreements = [
        rows[WHO[2]]["agreement_db"]
        for rows in result["networks"].get("sepformer", {}).get("lengths", {}).values()
        if "agreement_db" in rows.get(WHO[2], {})
    ]
    if agreements:
        loss = 10 * np.log10(1 + 10 ** ((PUBLISHED_SI_SNR_DB - min(agreements)) / 10))
        text += [
            "",
            f"Rounding as in the row of least agreement ({min(agreements):.1f} dB, random weights) would cost an "
            f"estimate of {PUBLISHED_SI_SNR_DB} dB SI-SNR {loss:.4f} dB.",
        ]
    for loss in result.get("loss", {}).values():
        mean, low, high = loss["loss_db"]
        text += [
            "",
            f"Trained weights (`{loss['weights']}`), {loss['mixtures']} mixtures of the Libri2Mix subset: "
            f"{loss['si_snr_db']['float32']:.2f} dB SI-SNR in float32, bfloat16 costs {mean:.4f} dB "
            f"({low:.4f} to {high:.4f}), at most {loss['largest_loss_db']:.4f} dB.",
        ]
    if "training" in result:
        text += [
            "",
            "A step of training on one mixture, forward and back; bfloat16 by autocast, as `unbabble train` has it:",
            "",
            "| network | audio s | theirs: s | ours: s | times faster | memory: theirs, ours (MB) | bfloat16: s "
            "| times faster | memory (MB) |",
            "|-|-|-|-|-|-|-|-|-|",
        ]
        for name, row in result["training"].items():
            theirs, ours, low = (row.get(each) for each in WHO)
            ratios = [f"{theirs['seconds'] / each['seconds']:.2f}" if theirs else "" for each in (ours, low)]
            text.append(
                f"| {TITLES[name]} | {row['audio_seconds']:g} | {theirs['seconds'] if theirs else '-'} "
                f"| {ours['seconds']:.2f} | {ratios[0]} | {round(theirs['extra_bytes'] / 1e6) if theirs else '-'}, "
                f"{ours['extra_bytes'] / 1e6:.0f} | {low['seconds']:.2f} | {ratios[1]} "
                f"| {low['extra_bytes'] / 1e6:.0f} |"
            )
    text += ["", "Made by " + ", ".join(f"`{each}`" for each in result["commands"]) + "."]
    (RESULTS / "neural.md").write_text("\n".join(text) + "\n")
    plot(result)


def plot(result: dict) -> None:
    """Real-time factor and memory against length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), constrained_layout=True)
    for number, (name, network) in enumerate(result["networks"].items()):
        for each, style in zip(WHO, (":", "-", "--"), strict=True):
            points = [
                (float(length), rows[each]["seconds"] / float(length), rows[each]["extra_bytes"] / 1e6)
                for length, rows in network["lengths"].items()
                if "seconds" in rows.get(each, {})
            ]
            if not points:
                continue
            seconds, factors, megabytes = zip(*sorted(points), strict=True)
            label = f"{TITLES[name]}, {each if each != 'theirs' else PEER_OF[name]}"
            for axis, values in zip(axes, (factors, megabytes), strict=True):
                axis.loglog(seconds, values, style, marker="o", ms=3, color=f"C{number}", label=label)
    for axis, title in zip(axes, ("real-time factor", "memory on top of weights (MB)"), strict=True):
        axis.set(xlabel="seconds of audio", title=title)
        axis.grid(alpha=0.3, which="both")
    axes[0].axhline(1, color="gray", lw=0.8)
    axes[1].legend(fontsize=6)
    figure.savefig(RESULTS / "neural.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--lengths", nargs="+", type=float, default=[4.0, 10.0, 30.0, 300.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", type=Path, help="trained weights of a SepFormer")
    parser.add_argument("--mixtures", type=int, default=50)
    parser.add_argument(
        "--training", action="store_true", help="steps of training, 4 s, all but DPRNN's kernel 2"
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    a = parser.parse_args()
    result = {} if a.quick else load("neural")
    if a.report:
        report(result)
        return
    result.setdefault("commands", [])
    result.setdefault("networks", {})
    if command() not in result["commands"]:
        result["commands"].append(command())
    if a.loss:
        result.setdefault("loss", {})[a.loss.name] = rounded(loss_of_bfloat16(a.loss, a.mixtures))
    elif a.training:
        with tempfile.TemporaryDirectory() as folder:
            for name in (each for each in a.networks if each != "dprnn_2"):
                result.setdefault("training", {})[name] = rounded(training(name, 4.0, a.rounds, Path(folder)))
                save("neural", result)
    else:
        if a.quick:
            a.lengths, a.rounds = [2.0], 1
            a.networks = [name for name in a.networks if name != "dprnn_2"]
        result["machine"] = machine()
        result["gemm_flops"] = rounded(gemm_rates(0.5 if a.quick else 3.0))
        with tempfile.TemporaryDirectory() as folder:
            for name in a.networks:
                if name in PEER_OF and not (PEERS / PEER_OF[name] / "complete").exists():
                    print(f"{PEER_OF[name]} is not installed: {name} left out (benchmarks/peers.sh)")
                    continue
                found = rounded(measure(name, a.lengths, a.rounds, Path(folder)))
                old = result["networks"].get(name, {}).get("lengths", {})
                result["networks"][name] = found | {"lengths": old | found["lengths"]}
                if not a.quick:
                    save("neural", result)
    if not a.quick:
        save("neural", result)
        report(result)


if __name__ == "__main__":
    main()
