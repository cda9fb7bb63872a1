"""How well, how fast and in how much memory do blind methods separate real rooms, beside other toolkits?

Ours beside pyroomacoustics, torchiva, ssspy and the IPA paper's own code, in one run: same mixtures, same transform
(4096/1024, Hann), same white start, one scoring function. Three parts:

speed       seconds per iteration (wall, CPU; 1 and 2 threads; runs interleaved, median of rounds), extra memory
curves      SI-SDR improvement after 1, 2, 3, 5, ... iterations, from the traced demixing matrices
separation  SI-SDR improvement on 20 mixtures of 2, 3, 4 talkers, with intervals

    benchmarks/peers.sh                                # once: the peers' environments, outside this folder
    python -m benchmarks blind --quick                 # a minute, to see that everything works
    python -m benchmarks blind --only speed --channels 2 3 4
    python -m benchmarks blind --only separation --channels 3 --minutes 8    # stops in time; again to go on

Results are merged; tables and plots are made anew from all of it after each run.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from types import SimpleNamespace
from typing import Annotated

from benchmarks.blind._tables import plot as plot
from benchmarks.blind._tables import table as table
from benchmarks.kit.claim import command
from benchmarks.kit.machine import limits, machine
from benchmarks.kit.peers import BLIND, OURS, Worker, present
from benchmarks.kit.scenes import RATE, Scene, instantaneous_scene, scenes
from unbabble.base import registry
from unbabble.pipelines.choose import DEFAULT_MULTICHANNEL

CHANNELS = {"speed": (2, 3, 4, 6, 8), "curves": (2, 3, 4, 6), "separation": (2, 3, 4)}
CHECKPOINTS = [0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100]
SLOW_SECONDS, MEASURE_SECONDS, CURVE_SECONDS, LIMIT_SECONDS = 4.0, 0.6, 20.0, 3.0
NONLINEAR = ("fastmnmf2",)
DEFAULT = "default"
"""What `unbabble separate --sources K` does, its window and iterations included; all others take the same window."""
SYSTEMS = {
    OURS: ("auxiva.ip", "auxiva.iss", "auxiva.ip2", "auxiva.iss2", "auxiva.ipa", "ilrma.ip", DEFAULT),
    "pyroomacoustics": ("ip", "ilrma", "fastmnmf2"),
    "torchiva": ("ip2", "iss", "ilrma_iss"),
    "ssspy": ("iss2", "ilrma"),
}
QUICK = {
    "channels": [2],
    "seconds": 4.0,
    "rounds": 1,
    "traces": 1,
    "count": 1,
    "iterations": 10,
    "threads": [1],
}
QUICK["effort"] = 0.1


def takes(name: str, algorithm: str, channels: int) -> bool:
    """torchiva's IP2 is of two channels only."""
    return channels == 2 or (name, algorithm) != ("torchiva", "ip2")


def speed(result: dict, names: list[str], channels: int, a: SimpleNamespace) -> Iterator[None]:
    sizes = result.setdefault("speed", {}).setdefault(str(channels), {})
    if channels > 7:  # beyond the array's seven microphones: a synthetic mixture of the same size
        scene = instantaneous_scene(channels, a.seconds, a.seed)
    else:
        scene = scenes(channels, 1, a.seed, a.seconds)[0]
    sizes["bins"], _, sizes["frames"] = scene.whitened.spectrogram.shape
    for threads in a.threads:
        workers = {name: Worker(name, threads) for name in names}
        result.setdefault("versions", {}).update({name: worker.versions for name, worker in workers.items()})
        algorithms = sorted({x for worker in workers.values() for x in worker.algorithms})
        pairs = [
            (x, n) for x in algorithms for n in names if x in workers[n].algorithms and takes(n, x, channels)
        ]
        for (algorithm, name), row in timed(workers, scene, pairs, a).items():
            sizes[f"{name}/{algorithm}/{threads}"] = row
            if "wall_ms" in row and threads == a.threads[0]:
                row["extra_mb"] = workers[name].ask("memory", scene, algorithm, 2).get("extra_bytes", 0) / 1e6
        for worker in workers.values():
            worker.close()
    result["machine_limits"] = {
        str(threads): limits(threads, a.effort * LIMIT_SECONDS) for threads in a.threads
    }
    yield


def timed(
    workers: dict[str, Worker], scene: Scene, pairs: list, a: SimpleNamespace
) -> dict[tuple[str, str], dict]:
    """Of each algorithm and package: milliseconds per iteration, by turns."""
    taken: dict[tuple[str, str], list[dict]] = {}
    counts: dict[tuple[str, str], int] = {}
    errors: dict[tuple[str, str], dict] = {}
    for turn in range(a.rounds + 1):  # the first decides how many iterations, and warms up
        for pair in pairs:
            slow = turn > 1 and pair in taken and taken[pair][0]["wall"] > SLOW_SECONDS
            if slow or (turn and pair not in counts):
                continue
            reply = workers[pair[1]].ask("time", scene, pair[0], counts.get(pair, 2))
            if "error" in reply:
                errors[pair] = {"error": reply["error"]}
            elif turn:
                taken.setdefault(pair, []).append(reply)
            else:
                counts[pair] = max(2, min(200, round(a.effort * MEASURE_SECONDS / max(reply["wall"], 1e-4))))
    return errors | {
        pair: {
            "wall_ms": 1000 * median(reply["wall"] for reply in replies),
            "cpu_ms": 1000 * median(reply["cpu"] for reply in replies),
            "wall_ms_each": [1000 * reply["wall"] for reply in replies],
            "iterations": counts[pair],
        }
        for pair, replies in taken.items()
    }


def curves(result: dict, names: list[str], channels: int, a: SimpleNamespace) -> Iterator[None]:
    found = result.setdefault("curves", {}).setdefault(str(channels), {})
    mixtures = scenes(channels, a.traces, a.seed, a.seconds)

    def trace(name: str) -> None:
        with Worker(name) as worker:
            for algorithm in (each for each in worker.algorithms if takes(name, each, channels)):
                for _ in range(2):  # the first compiles, where there is something to compile
                    once = worker.ask("time", mixtures[0], algorithm, 2)["wall"]
                checkpoints = [c for c in CHECKPOINTS if c <= max(a.effort * CURVE_SECONDS / once, 2)]
                linear, each = algorithm not in NONLINEAR, []
                for scene in mixtures:
                    traced = worker.trace(scene, algorithm, checkpoints)
                    each.append({i: scene.improvement(w, linear) for i, w in traced.items()})
                found[f"{name}/{algorithm}"] = {str(i): [gains[i] for gains in each] for i in sorted(each[0])}

    with ThreadPoolExecutor(a.jobs) as pool:
        list(pool.map(trace, names))
    yield


def separation(result: dict, names: list[str], talkers: int, a: SimpleNamespace) -> Iterator[None]:
    """Our entries go through the public interface, waveform to waveform; peers through their own iterations."""
    found = result.setdefault("separation", {}).setdefault(str(talkers), {})
    mixtures = scenes(talkers, a.count, a.seed, a.seconds)
    found |= {"iterations": a.iterations, "mixture_si_sdr": [scene.mixture_si_sdr for scene in mixtures]}
    workers = {name: Worker(name) for name in names if name in SYSTEMS and name != OURS}

    def gain(name: str, method: str, scene: Scene) -> float:
        if name != OURS:
            last = workers[name].trace(scene, method, [a.iterations], seed=a.seed)[a.iterations]
            return scene.improvement(last, method not in NONLINEAR)
        options = {"iterations": a.iterations, "tolerance": 0.0, "window_length": 4096}
        if method.startswith("ilrma"):
            options |= {"rank": 2, "warm_up": 0}  # as published, and as the others have it
        model, options = (DEFAULT_MULTICHANNEL, {}) if method == DEFAULT else (method, options)
        separator = registry.create(model, sources=talkers, **options)
        return scene.improvement_of(separator(scene.waveforms[None], sample_rate=RATE)[0])

    def separate(name: str, index: int) -> None:
        for method in (each for each in SYSTEMS[name] if takes(name, each, talkers)):
            gains = found.setdefault(f"{name}/{method}", {})
            if a.fresh or str(index) not in gains:
                gains[str(index)] = gain(name, method, mixtures[index])

    with ThreadPoolExecutor(a.jobs) as pool:
        for index in range(len(mixtures)):
            if time.monotonic() < a.end:
                list(pool.map(lambda name, index=index: separate(name, index), [OURS, *workers]))
                yield
    for worker in workers.values():
        worker.close()


def measure(
    before: dict,
    only: Annotated[Sequence[str], tuple(CHANNELS)] = tuple(CHANNELS),
    channels: Sequence[int] = (),
    threads: Sequence[int] = (1, 2),
    peers: Annotated[Sequence[str], BLIND] = BLIND,
    seconds: float = 12.0,
    rounds: int = 5,
    traces: int = 3,
    count: int = 20,
    iterations: int = 50,
    jobs: int = 2,
    minutes: float = 1e9,
    fresh: bool = False,
    effort: float = 1.0,
    seed: int = 0,
) -> Iterator[dict]:
    """All parts.

    Args:
        channels: all of the part by default.
        seconds: length of a mixture.
        rounds: interleaved rounds of timing.
        traces: mixtures for curves.
        count: mixtures for separation.
        iterations: of every system, for separation.
        jobs: peers at a time where nothing is timed.
        minutes: begin nothing new after so long.
        fresh: repeat what there is already.
        effort: share of the seconds that are usually taken for a timing, a curve, a limit of the machine.
    """
    a, end = SimpleNamespace(**locals()), time.monotonic() + 60 * minutes
    a.end, names = end, [OURS, *present(peers)]
    for part in only:
        for number in (each for each in channels or CHANNELS[part] if each in CHANNELS[part]):
            if time.monotonic() > end:
                continue
            about = machine() | {"command": command(), "seed": seed, "seconds_of_mixture": seconds}
            for _ in {"speed": speed, "curves": curves, "separation": separation}[part](
                before, names, number, a
            ):
                before.setdefault("runs", {})[f"{part}/{number}"] = about
                yield before
            print(f"{part}, {number} channels", flush=True)
