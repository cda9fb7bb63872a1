"""The speed and memory of every package, for ``blind.py``."""

from contextlib import ExitStack
from statistics import median

from benchmarks.kit.peers import Worker
from benchmarks.kit.scenes import Scene

SLOW_SECONDS, MEASURE_SECONDS = 4.0, 0.6
Pair = tuple[str, str]
"""An algorithm and a package."""


def takes(algorithm: str, name: str, channels: int) -> bool:
    """torchiva's IP2 is of two channels only."""
    return channels == 2 or (name, algorithm) != ("torchiva", "ip2")


def speed(
    result: dict, names: list[str], scene: Scene, threads: int, rounds: int, effort: float
) -> dict[str, dict]:
    """Puts into ``result`` the rows of so many threads; the versions of all packages."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, threads)) for name in names}
        algorithms = sorted({each for worker in workers.values() for each in worker.algorithms})
        pairs = [(each, name) for each in algorithms for name in names if each in workers[name].algorithms]
        pairs = [pair for pair in pairs if takes(*pair, len(scene.waveforms))]
        for (algorithm, name), row in timed(workers, scene, pairs, rounds, effort).items():
            if "wall_ms" in row and threads == 1:
                row["extra_mb"] = workers[name].ask("memory", scene, algorithm, 2).get("extra_bytes", 0) / 1e6
            result[f"{name}/{algorithm}/{threads}"] = row
        return {name: worker.versions for name, worker in workers.items()}


def timed(
    workers: dict[str, Worker], scene: Scene, pairs: list[Pair], rounds: int, effort: float
) -> dict[Pair, dict]:
    """Milliseconds per iteration, by turns; a first call warms up, and decides how many iterations are timed."""
    rows, counts, taken = {}, dict.fromkeys(pairs, 2), {pair: [] for pair in pairs}
    for turn in range(rounds + 1):
        for algorithm, name in (pair for pair in pairs if pair not in rows):
            pair = algorithm, name
            if turn > 1 and taken[pair][0]["wall"] > SLOW_SECONDS:
                continue
            reply = workers[name].ask("time", scene, algorithm, counts[pair])
            if "error" in reply:
                rows[pair] = {"error": reply["error"]}
            elif turn:
                taken[pair].append(reply)
            else:
                counts[pair] = max(2, min(200, round(effort * MEASURE_SECONDS / max(reply["wall"], 1e-4))))
    for pair in (each for each in pairs if each not in rows):
        rows[pair] = {
            f"{key}_ms": 1000 * median(reply[key] for reply in taken[pair]) for key in ("wall", "cpu")
        }
        rows[pair]["wall_ms_each"] = [1000 * reply["wall"] for reply in taken[pair]]
        rows[pair]["iterations"] = counts[pair]
    return rows
