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

Results are merged; the tables are made anew from all of it after each run.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

from benchmarks.blind._scores import AT_A_TIME, curves, separation
from benchmarks.blind._speed import speed
from benchmarks.blind._tables import table as table
from benchmarks.kit.claim import command
from benchmarks.kit.machine import limits, machine
from benchmarks.kit.peers import BLIND, OURS, present
from benchmarks.kit.scenes import scenes

CHANNELS = {"speed": (2, 3, 4, 6, 8), "curves": (2, 3, 4, 6), "separation": (2, 3, 4)}
TRACED, LIMIT_SECONDS = 3, 3.0
QUICK = {
    "channels": [2],
    "seconds": 4.0,
    "rounds": 1,
    "count": 1,
    "iterations": 10,
    "threads": [1],
    "effort": 0.1,
}


def measure(
    before: dict,
    only: Annotated[Sequence[str], tuple(CHANNELS)] = tuple(CHANNELS),
    channels: Sequence[int] = (),
    threads: Sequence[int] = (1, 2),
    seconds: float = 12.0,
    rounds: int = 5,
    count: int = 20,
    iterations: int = 50,
    minutes: float = 1e9,
    effort: float = 1.0,
    seed: int = 0,
) -> Iterator[dict]:
    """All parts.

    Args:
        channels: all of the part by default.
        count: mixtures for separation; curves have three at the most.
        iterations: of every system, for separation.
        effort: share of the seconds that are usually taken for a timing, a curve, a limit of the machine.
    """
    end, names = time.monotonic() + 60 * minutes, [OURS, *present(BLIND)]
    parts = [(part, each) for part in only for each in channels or CHANNELS[part] if each in CHANNELS[part]]
    for part, number in parts:
        if time.monotonic() > end:
            break
        about = machine() | {"command": command(), "seed": seed, "seconds_of_mixture": seconds}
        before.setdefault("runs", {})[f"{part}/{number}"] = about
        there = before.setdefault(part, {}).setdefault(str(number), {})
        wanted = {"speed": 1, "curves": min(TRACED, count), "separation": count}[part]
        mixtures = scenes(number, wanted, seed, seconds)
        if part == "speed":
            there["bins"], _, there["frames"] = mixtures[0].whitened.spectrogram.shape
            for each in threads:
                versions = speed(there, names, mixtures[0], each, rounds, effort)
                before.setdefault("versions", {}).update(versions)
            before["machine_limits"] = {str(each): limits(each, effort * LIMIT_SECONDS) for each in threads}
        elif part == "curves":
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                for traced in pool.map(partial(curves, mixtures=mixtures, effort=effort), names):
                    there |= traced
        else:
            for _ in separation(there, names, mixtures, iterations, seed):
                yield before
                if time.monotonic() > end:
                    break
        yield before
        print(f"{part}, {number} channels", flush=True)
