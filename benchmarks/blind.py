"""Blind separation: ours beside pyroomacoustics, torchiva, ssspy and the IPA paper's own code, in one run.

Same mixtures, same transform (4096/1024, Hann), same white start, one scoring function. Three parts:

speed       seconds per iteration (wall, CPU; 1 and 2 threads; runs interleaved, median of rounds), extra memory
curves      SI-SDR improvement after 1, 2, 3, 5, ... iterations, from the traced demixing matrices
separation  SI-SDR improvement on 20 mixtures of 2, 3, 4 talkers, with intervals

    benchmarks/peers.sh                                    # once: the peers' environments, outside this folder
    python benchmarks/blind.py --quick                     # a minute, to see that everything works
    python benchmarks/blind.py --only speed --channels 2 3 4
    python benchmarks/blind.py --only separation --channels 3 --minutes 8    # stops in time; again to go on

Results are merged into results/blind.json; tables and plots are made anew from all of it after each run.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Lock

import blind_report
import machine
import torch
from common import (
    FOLDER,
    OURS,
    PEER_NAMES,
    Scene,
    Worker,
    command,
    instantaneous_scene,
    load,
    present,
    rounded,
    save,
    scenes,
)
from common import machine as describe_machine

PARTS = ("speed", "curves", "separation")
CHANNELS = {"speed": (2, 3, 4, 6, 8), "curves": (2, 3, 4, 6), "separation": (2, 3, 4)}
THREADS = (1, 2)
CHECKPOINTS = [0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100]
MEASURE_SECONDS = 0.6
SLOW_SECONDS = 4.0
CURVE_SECONDS = 20.0
NONLINEAR = ("fastmnmf2",)
DEFAULT = "default"
"""What `unbabble separate --sources K` does, its window and iterations included; all others take the same window."""
SYSTEMS = {
    OURS: ("auxiva.ip", "auxiva.iss", "auxiva.ip2", "auxiva.iss2", "auxiva.ipa", "ilrma.ip", DEFAULT),
    "pyroomacoustics": ("ip", "ilrma", "fastmnmf2"),
    "torchiva": ("ip2", "iss", "ilrma_iss"),
    "ssspy": ("iss2", "ilrma"),
}


def timing_scene(channels: int, seconds: float, seed: int) -> Scene:
    """A real mixture; beyond the array's seven microphones a synthetic one of the same size."""
    if channels > 7:
        return instantaneous_scene(channels, seconds, seed)
    return scenes(channels, 1, seed, seconds=seconds)[0]


def speed(result: dict, names: list[str], channels: int, a: argparse.Namespace) -> None:
    scene = timing_scene(channels, a.seconds, a.seed)
    bins, _, frames = scene.whitened.spectrogram.shape
    table = result.setdefault("speed", {}).setdefault(str(channels), {})
    table["bins"], table["frames"] = bins, frames
    for threads in a.threads:
        workers = {name: Worker(name, threads) for name in names}
        result.setdefault("versions", {}).update({name: worker.versions for name, worker in workers.items()})
        algorithms = sorted({x for worker in workers.values() for x in worker.algorithms})
        pairs = [(x, name) for x in algorithms for name in names if x in workers[name].algorithms]
        if channels != 2:
            pairs = [pair for pair in pairs if pair != ("ip2", "torchiva")]  # two channels only
        taken: dict[tuple[str, str], list[dict]] = {}
        counts: dict[tuple[str, str], int] = {}
        for turn in range(a.rounds + 1):  # the first decides how many iterations, and warms up
            for pair in pairs:
                algorithm, name = pair
                if turn and pair not in counts:
                    continue
                if turn > 1 and taken[pair][0].get("wall", 0) > SLOW_SECONDS:
                    continue
                reply = workers[name].ask("time", scene, algorithm, counts.get(pair, 2))
                if "error" in reply:
                    table[f"{name}/{algorithm}/{threads}"] = {"error": reply["error"]}
                elif turn:
                    taken.setdefault(pair, []).append(reply)
                else:
                    once = max(reply["wall"], 1e-4)
                    counts[pair] = max(2, min(200, round(a.measure_seconds / once)))
        for pair, replies in taken.items():
            good = [reply for reply in replies if "wall" in reply]
            if not good:
                continue
            algorithm, name = pair
            row = table[f"{name}/{algorithm}/{threads}"] = {
                "wall_ms": 1000 * median(reply["wall"] for reply in good),
                "cpu_ms": 1000 * median(reply["cpu"] for reply in good),
                "wall_ms_each": [1000 * reply["wall"] for reply in good],
                "iterations": counts[pair],
            }
            if threads == a.threads[0]:
                memory = workers[name].ask("memory", scene, algorithm, 2)
                row["extra_mb"] = memory.get("extra_bytes", 0) / 1e6
        for worker in workers.values():
            worker.close()
    seconds = 0.5 if a.quick else 3.0
    result["machine_limits"] = {str(threads): machine.limits(threads, seconds) for threads in a.threads}


def curves(result: dict, names: list[str], channels: int, a: argparse.Namespace) -> None:
    found = result.setdefault("curves", {}).setdefault(str(channels), {})
    mixtures = scenes(channels, a.traces, a.seed, seconds=a.seconds)

    def trace(name: str) -> None:
        with Worker(name) as worker:
            for algorithm in worker.algorithms:
                if (name, algorithm, channels > 2) == ("torchiva", "ip2", True):
                    continue
                worker.ask("time", mixtures[0], algorithm, 2)  # compiles, where there is something to compile
                once = worker.ask("time", mixtures[0], algorithm, 2)["wall"]
                limit = CURVE_SECONDS / (20 if a.quick else 1) / once
                checkpoints = [c for c in CHECKPOINTS if c <= max(limit, 2)]
                each = []
                for scene in mixtures:
                    traced = worker.trace(scene, algorithm, checkpoints)
                    each.append(
                        {i: scene.improvement(w, algorithm not in NONLINEAR) for i, w in traced.items()}
                    )
                found[f"{name}/{algorithm}"] = {str(i): [gains[i] for gains in each] for i in sorted(each[0])}

    with ThreadPoolExecutor(a.jobs) as pool:
        list(pool.map(trace, names))


def separation(result: dict, names: list[str], talkers: int, a: argparse.Namespace) -> None:
    """Our entries go through the public interface, waveform to waveform; peers through their own iterations."""
    from unbabble.base import registry
    from unbabble.pipelines.separate import DEFAULT_MULTICHANNEL

    found = result.setdefault("separation", {}).setdefault(str(talkers), {})
    found["iterations"] = a.iterations
    mixtures = scenes(talkers, a.count, a.seed, seconds=a.seconds)
    found["mixture_si_sdr"] = [scene.mixture_si_sdr for scene in mixtures]
    lock = Lock()

    def note(system: str, index: int, gain: float) -> None:
        with lock:
            found.setdefault(system, {})[str(index)] = gain
            if not a.quick:
                save("blind", rounded(result))

    def separate(name: str) -> None:
        chosen = [x for x in SYSTEMS[name] if not (x == "ip2" and talkers > 2)]
        worker = None if name == OURS else Worker(name)
        for index, scene in enumerate(mixtures):
            for method in chosen:
                system = f"{name}/{method}"
                if str(index) in found.get(system, {}) and not a.fresh:
                    continue
                if time.monotonic() > a.end:
                    return
                if worker is None:
                    options = {"iterations": a.iterations, "tolerance": 0.0, "window_length": 4096}
                    if method.startswith("ilrma"):
                        options |= {"rank": 2, "warm_up": 0}  # as published, and as the others have it
                    model, options = (DEFAULT_MULTICHANNEL, {}) if method == DEFAULT else (method, options)
                    separator = registry.create(model, sources=talkers, **options)
                    voices = separator(scene.waveforms[None], sample_rate=16000)[0]
                    note(system, index, scene.improvement_of(voices))
                else:
                    last = worker.trace(scene, method, [a.iterations], seed=a.seed)[a.iterations]
                    note(system, index, scene.improvement(last, method not in NONLINEAR))
        if worker:
            worker.close()

    with ThreadPoolExecutor(a.jobs) as pool:
        list(pool.map(separate, [name for name in names if name in SYSTEMS]))
    done = {system: len(gains) for system, gains in found.items() if "/" in system}
    print(f"{talkers} talkers, mixtures done: {done}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 channels, one thread, one short mixture, not saved"
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--channels", type=int, nargs="+", help="default: all of the part")
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--peers", nargs="*", default=PEER_NAMES, choices=PEER_NAMES)
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a mixture")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of timing")
    parser.add_argument("--measure-seconds", type=float, default=MEASURE_SECONDS, help="aim of one timing")
    parser.add_argument("--traces", type=int, default=3, help="mixtures for curves")
    parser.add_argument("--count", type=int, default=20, help="mixtures for separation")
    parser.add_argument("--iterations", type=int, default=50, help="of every system, for separation")
    parser.add_argument("--jobs", type=int, default=2, help="peers at a time where nothing is timed")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing new after so long")
    parser.add_argument("--fresh", action="store_true", help="repeat what results/blind.json already has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install-peers", action="store_true", help="run peers.sh first")
    parser.add_argument("--report", action="store_true", help="only make tables and plots anew")
    a = parser.parse_args()
    if a.report:
        blind_report.write()
        return
    if a.install_peers:
        subprocess.run([FOLDER / "peers.sh"], check=True)
    a.end = time.monotonic() + 60 * a.minutes
    torch.set_num_threads(1)
    if a.quick:
        a.channels, a.seconds, a.rounds, a.traces, a.count = a.channels or [2], 4.0, 1, 1, 1
        a.iterations, a.measure_seconds, a.threads = 10, 0.05, (1,)
    there, absent = present(a.peers)
    if absent:
        print(f"absent peers (benchmarks/peers.sh installs them): {', '.join(absent)}", flush=True)
    result = {} if a.quick else load("blind")
    runs = {"speed": speed, "curves": curves, "separation": separation}
    for part in a.only:
        for channels in a.channels or CHANNELS[part]:
            if channels not in CHANNELS[part] or time.monotonic() > a.end:
                continue
            start = time.perf_counter()
            about = describe_machine() | {
                "command": command(),
                "seed": a.seed,
                "seconds_of_mixture": a.seconds,
            }
            runs[part](result, [OURS, *there], channels, a)
            result.setdefault("runs", {})[f"{part}/{channels}"] = about
            print(f"{part}, {channels} channels: {time.perf_counter() - start:.0f} s", flush=True)
            if not a.quick:
                save("blind", rounded(result))
    if a.quick:
        print(blind_report.tables(result))
    else:
        blind_report.write()


if __name__ == "__main__":
    main()
