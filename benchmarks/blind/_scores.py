"""How well every package separates, for ``blind.py``: iteration by iteration, and at the end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.blind._speed import takes
from benchmarks.kit.peers import OURS, Worker
from benchmarks.kit.scenes import RATE, Scene
from unbabble.base import registry
from unbabble.pipelines.choose import DEFAULT_MULTICHANNEL

CHECKPOINTS, CURVE_SECONDS, AT_A_TIME = [0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 80, 100], 20.0, 2
NONLINEAR = ("fastmnmf2",)
DEFAULT = "default"
"""What `unbabble separate --sources K` does, its window and iterations included; all others take the same window."""
SYSTEMS = {
    OURS: ("auxiva.ip", "auxiva.iss", "auxiva.ip2", "auxiva.iss2", "auxiva.ipa", "ilrma.ip", DEFAULT),
    "pyroomacoustics": ("ip", "ilrma", "fastmnmf2"),
    "torchiva": ("ip2", "iss", "ilrma_iss"),
    "ssspy": ("iss2", "ilrma"),
}


def curves(name: str, mixtures: list[Scene], effort: float) -> dict[str, dict]:
    """SI-SDR improvement of each mixture, by algorithm of one package and iteration."""
    result = {}
    with Worker(name) as worker:
        for algorithm in (
            each for each in worker.algorithms if takes(each, name, len(mixtures[0].waveforms))
        ):
            for _ in range(2):  # the first compiles, where there is something to compile
                once = worker.ask("time", mixtures[0], algorithm, 2)["wall"]
            checkpoints = [c for c in CHECKPOINTS if c <= max(effort * CURVE_SECONDS / once, 2)]
            each = []
            for scene in mixtures:
                traced = worker.trace(scene, algorithm, checkpoints)
                each.append({i: scene.improvement(w, algorithm not in NONLINEAR) for i, w in traced.items()})
            result[f"{name}/{algorithm}"] = {str(i): [gains[i] for gains in each] for i in sorted(each[0])}
    return result


def separated(worker: Worker | None, method: str, scene: Scene, iterations: int, seed: int) -> float:
    """SI-SDR improvement: ours, without a worker, from waveform to waveform; peers through their own iterations."""
    if worker:
        last = worker.trace(scene, method, [iterations], seed=seed)[iterations]
        return scene.improvement(last, method not in NONLINEAR)
    options = {"iterations": iterations, "tolerance": 0.0, "window_length": 4096}
    if method.startswith("ilrma"):
        options |= {"rank": 2, "warm_up": 0}  # as published, and as the others have it
    model, options = (DEFAULT_MULTICHANNEL, {}) if method == DEFAULT else (method, options)
    separator = registry.create(model, sources=len(scene.waveforms), **options)
    return scene.improvement_of(separator(scene.waveforms[None], sample_rate=RATE)[0])


def separation(
    result: dict, names: list[str], mixtures: list[Scene], iterations: int, seed: int
) -> Iterator[None]:
    """Puts into ``result`` the SI-SDR improvement of every system that is not there yet, mixture by mixture."""
    result |= {"iterations": iterations, "mixture_si_sdr": [scene.mixture_si_sdr for scene in mixtures]}
    with ExitStack() as stack, ThreadPoolExecutor(AT_A_TIME) as pool:
        workers = {
            name: stack.enter_context(Worker(name)) for name in names if name in SYSTEMS and name != OURS
        }
        for index, scene in enumerate(mixtures):

            def separate(name: str, index=str(index), scene=scene) -> None:
                for method in (each for each in SYSTEMS[name] if takes(each, name, len(scene.waveforms))):
                    gains = result.setdefault(f"{name}/{method}", {})
                    if index not in gains:
                        gains[index] = separated(workers.get(name), method, scene, iterations, seed)

            list(pool.map(separate, (OURS, *workers)))
            yield
