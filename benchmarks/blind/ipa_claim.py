"""How much sooner does IPA arrive than IP, ISS and IP2, and where?

The claim of its paper's talk: "about four times". For every mixture (K talkers, K microphones, measured rooms) and
update, 100 iterations from the same white start. Progress is noted at 25 iterations, log-spaced; time is iterations
times the seconds of one, measured apart, interleaved, one thread. When has a run arrived? Three answers, because runs
end in different local optima:

own       first note at 95 % of the SI-SDR improvement (over the microphone) that this run ends with. Runs that end
          below 1 dB have not separated: they are left out here and counted.
common    first note at 95 % of the lesser of the two final improvements, IPA's and the other's: both are asked for
          the same. A mixture counts if both end above 1 dB.
objective first note within 1 % of the whole fall of the objective, start to end of this run. Every run counts.

Ratios are other / IPA, mixture by mixture; medians with 95 % bootstrap intervals. The authors' code is traced on a
few of the mixtures to show that its iterates are ours, so the counts of iterations hold for it, and is timed itself.
Its IP2 pairs the sources in another order and is left out.

    python -m benchmarks ipa_claim --channels 4                # traces (any machine) and timing (a quiet one)
    python -m benchmarks ipa_claim --only timing               # timing alone
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Annotated

import numpy as np

from benchmarks.blind._ipa_tables import UPDATES
from benchmarks.blind._ipa_tables import table as table
from benchmarks.kit.claim import command
from benchmarks.kit.machine import machine
from benchmarks.kit.peers import OURS, Worker, present
from benchmarks.kit.scenes import Scene, scenes
from benchmarks.kit.timing import by_turns

AUTHORS_UPDATES, AUTHORS_MIXTURES = ("ip", "iss", "ipa"), 3
PARTS = ("traces", "timing")
DIGITS = 6
QUICK = {"channels": [2], "count": 2, "iterations": 10, "seconds": 4.0, "rounds": 1}


def objective(scene: Scene, w: np.ndarray) -> float:
    """sum_k mean_t sqrt(sum_f |y|^2) - 2 sum_f log|det W|, what every update lowers."""
    y, volume = w @ scene.whitened.spectrogram.numpy(), np.linalg.slogdet(w.astype(complex))[1].sum()
    return float(np.sqrt((np.abs(y) ** 2).sum(0)).mean(1).sum() - 2 * volume)


def trace(table: dict, mixtures: list[Scene], notes: list[int], end: float) -> Iterator[None]:
    """What is not there yet, mixture by mixture; at last the authors' iterates beside ours."""
    with Worker(OURS) as worker:
        for index, scene in enumerate(mixtures):
            for update in UPDATES:
                runs = table.setdefault(update, {})
                if str(index) not in runs:
                    if time.monotonic() > end:
                        return
                    traced = worker.trace(scene, update, notes)
                    runs[str(index)] = {
                        "iterations": notes,
                        "improvement_db": [scene.improvement(traced[i]) for i in notes],
                        "objective": [objective(scene, traced[i]) for i in notes],
                    }
            yield
    differences, few = {}, [i for i in notes if i <= 20]
    for name in present(["authors"]):
        with Worker(name) as worker:
            for index, scene in enumerate(mixtures[:AUTHORS_MIXTURES]):
                for update in AUTHORS_UPDATES:
                    traced = worker.trace(scene, update, few)
                    ours = table[update][str(index)]["improvement_db"]
                    gaps = [abs(scene.improvement(traced[i]) - ours[notes.index(i)]) for i in few]
                    differences[update] = max(differences.get(update, 0.0), *gaps)
        table["authors_largest_difference_db"] = differences
    yield


def timing(scene: Scene, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of an iteration, by package and update."""
    wanted = {OURS: UPDATES} | dict.fromkeys(present(["authors"]), AUTHORS_UPDATES)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name)) for name in wanted}
        calls = {
            (name, update): partial(workers[name].ask, "time", scene, update, 20 if name == OURS else 5)
            for update in UPDATES
            for name in wanted
            if update in wanted[name]
        }
        taken = {pair: median(each["wall"] for each in its) for pair, its in by_turns(calls, rounds).items()}
    return {name: {update: taken[name, update] for update in its} for name, its in wanted.items()}


def measure(
    before: dict,
    only: Annotated[Sequence[str], PARTS] = PARTS,
    channels: Sequence[int] = (3, 4, 6),
    count: int = 24,
    iterations: int = 100,
    seconds: float = 12.0,
    rounds: int = 5,
    minutes: float = 1e9,
    seed: int = 0,
) -> Iterator[dict]:
    """Traces and timing."""
    end = time.monotonic() + 60 * minutes
    notes = [0, *sorted({round(x) for x in np.geomspace(1, iterations, 30)})]
    for number in channels:
        for part in only:
            about = machine() | {"command": command(), "seed": seed}
            mixtures = scenes(number, count if part == "traces" else 1, seed, seconds)
            if part == "traces":
                traces = before.setdefault("traces", {}).setdefault(str(number), {})
                for _ in trace(traces, mixtures, notes, end):
                    yield before
            else:
                before.setdefault("timing", {})[str(number)] = timing(mixtures[0], rounds)
            before.setdefault("runs", {})[f"{part}/{number}"] = about
            yield before
