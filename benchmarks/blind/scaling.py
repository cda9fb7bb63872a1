"""What does an iteration cost against length and channels?

Linear, and at most quadratic for ISS. Random spectrograms of 2049 bins; the time of an iteration does not depend on
what is in them.

    python -m benchmarks scaling            # about two minutes
"""

from collections.abc import Sequence
from functools import partial
from statistics import median

import numpy as np
import torch

from benchmarks.kit import plot as plots
from benchmarks.kit.peers import OURS, Worker
from benchmarks.kit.scenes import Scene
from benchmarks.kit.timing import by_turns
from unbabble.signal.blind.whitening import Whitened

BINS, HOP_SECONDS = 2049, 1024 / 16000
UPDATES = ("iss", "ip", "ip2", "iss2", "ipa")
QUICK = {"seconds": [6, 12, 24], "channels": [2, 3, 4], "updates": ["iss"], "rounds": 1}
BY_LENGTH, BY_CHANNELS = "iss_4_channels_ms_by_seconds", "12_seconds_ms_by_channels"


def random_scene(channels: int, seconds: float) -> Scene:
    generator = torch.Generator().manual_seed(channels)
    shape = (BINS, channels, round(seconds / HOP_SECONDS))
    x = torch.randn(shape, dtype=torch.complex64, generator=generator)
    white = Whitened(x, torch.eye(channels, dtype=torch.complex64).expand(BINS, -1, -1), torch.arange(BINS))
    return Scene(x.transpose(0, 1), white, None, torch.zeros(channels, 1))


def timed(worker: Worker, update: str, scenes: dict[int, Scene], rounds: int) -> dict[str, float]:
    """Milliseconds per iteration of each size, median."""
    calls = {str(size): partial(worker.ask, "time", scene, update, 6) for size, scene in scenes.items()}
    replies = by_turns(calls, rounds)
    return {size: 1000 * median(each["wall"] for each in its) for size, its in replies.items()}


def exponent(times: dict[str, float]) -> float:
    """Slope of log time over log size."""
    return float(np.polyfit(np.log(list(map(float, times))), np.log(list(times.values())), 1)[0])


def measure(
    seconds: Sequence[int] = (6, 12, 24, 48, 96, 192),
    channels: Sequence[int] = (2, 3, 4, 6, 8, 12, 16),
    updates: Sequence[str] = UPDATES,
    rounds: int = 5,
    threads: int = 1,
) -> dict:
    with Worker(OURS, threads) as worker:
        lengths = timed(worker, "iss", {each: random_scene(4, each) for each in seconds}, rounds)
        sizes = {each: random_scene(each, 12) for each in channels}
        by_channels = {update: timed(worker, update, sizes, rounds) for update in updates}
    slopes = {update: exponent(times) for update, times in by_channels.items()}
    print(
        f"ISS: time ~ length^{exponent(lengths):.2f};",
        {each: f"channels^{slopes[each]:.2f}" for each in slopes},
    )
    result = {BY_LENGTH: lengths, "length_exponent": exponent(lengths)}
    return {"threads": threads} | result | {BY_CHANNELS: by_channels, "channel_exponents": slopes}


def plot(result: dict) -> None:
    figure, ((left, right),) = plots.axes(1, 2, figsize=(9.2, 3.8))
    curves = [(left, f"ISS, 4 channels: slope {result['length_exponent']:.2f}", "C0", result[BY_LENGTH])]
    for i, (update, times) in enumerate(result[BY_CHANNELS].items()):
        label = f"{update.upper()}: slope {result['channel_exponents'][update]:.2f}"
        curves.append((right, label, f"C{i}", times))
    for axis, label, colour, times in curves:
        axis.loglog(list(map(float, times)), times.values(), "o-", color=colour, label=label)
    for axis, label, power, times in (
        (left, "linear", 1, result[BY_LENGTH]),
        (right, "quadratic", 2, result[BY_CHANNELS]["iss"]),
    ):
        sizes = np.array(list(map(float, times)))
        axis.loglog(
            sizes, times[min(times, key=int)] * (sizes / sizes[0]) ** power, ":", color="grey", label=label
        )
        axis.grid(alpha=0.3, which="both")
        axis.legend(frameon=False, fontsize=8)
    left.set(xlabel="seconds of audio", ylabel="ms per iteration")
    right.set_xlabel("channels, 12 s of audio")
    right.set_xticks(list(map(int, times)), list(times))
    right.minorticks_off()
    figure.tight_layout()
    plots.write(figure, "scaling")
