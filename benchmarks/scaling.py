"""Cost of one iteration against length and against channels: linear, and at most quadratic for ISS.

Random spectrograms of 2049 bins; the time of an iteration does not depend on what is in them.

    python benchmarks/scaling.py            # about two minutes
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
import torch
from common import OURS, RESULTS, Scene, Worker, command, rounded, save
from common import machine as describe_machine

from unbabble.signal.blind.whitening import Whitened

BINS = 2049
SECONDS = (6, 12, 24, 48, 96, 192)
CHANNELS = (2, 3, 4, 6, 8, 12, 16)
UPDATES = ("iss", "ip", "ip2", "iss2", "ipa")
HOP_SECONDS = 1024 / 16000


def random_scene(channels: int, seconds: float) -> Scene:
    generator = torch.Generator().manual_seed(channels)
    shape = (BINS, channels, round(seconds / HOP_SECONDS))
    x = torch.randn(shape, dtype=torch.complex64, generator=generator)
    white = Whitened(x, torch.eye(channels, dtype=torch.complex64).expand(BINS, -1, -1), torch.arange(BINS))
    return Scene(x.transpose(0, 1), white, None, torch.zeros(channels, 1), seconds)


def exponent(sizes, times) -> float:
    """Slope of log time over log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def measure(worker: Worker, cases: list[tuple[str, Scene]], rounds: int) -> list[float]:
    """Milliseconds per iteration of each case, interleaved, median."""
    taken: list[list[float]] = [[] for _ in cases]
    for turn in range(rounds + 1):
        for times, (update, scene) in zip(taken, cases, strict=True):
            wall = worker.ask("time", scene, update, 3 if turn == 0 else 6)["wall"]
            if turn:
                times.append(1000 * wall)
    return [median(times) for times in taken]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, not saved")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    lengths = SECONDS[:3] if a.quick else SECONDS
    channels = CHANNELS[:3] if a.quick else CHANNELS
    rounds = 1 if a.quick else a.rounds
    about = describe_machine() | {"command": command(), "threads": a.threads}
    with Worker(OURS, a.threads) as worker:
        by_length = measure(worker, [("iss", random_scene(4, s)) for s in lengths], rounds)
        by_channels = {}
        for update in UPDATES[:1] if a.quick else UPDATES:
            by_channels[update] = measure(worker, [(update, random_scene(c, 12)) for c in channels], rounds)
    result = {
        "about": about,
        "iss_4_channels_ms_by_seconds": dict(zip(map(str, lengths), by_length, strict=True)),
        "length_exponent": exponent(lengths, by_length),
        "12_seconds_ms_by_channels": {
            update: dict(zip(map(str, channels), times, strict=True)) for update, times in by_channels.items()
        },
        "channel_exponents": {update: exponent(channels, times) for update, times in by_channels.items()},
    }
    print(f"ISS: time ~ length^{result['length_exponent']:.2f}")
    for update, value in result["channel_exponents"].items():
        print(f"{update}: time ~ channels^{value:.2f}")
    if not a.quick:
        save("scaling", rounded(result))
        plot(result, lengths, by_length, channels, by_channels)


def plot(result, lengths, by_length, channels, by_channels) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.8))
    left.loglog(lengths, by_length, "o-", label=f"ISS, 4 channels: slope {result['length_exponent']:.2f}")
    left.loglog(lengths, by_length[0] * np.array(lengths) / lengths[0], ":", color="grey", label="linear")
    left.set_xlabel("seconds of audio")
    left.set_ylabel("ms per iteration")
    for i, (update, times) in enumerate(by_channels.items()):
        slope = result["channel_exponents"][update]
        right.loglog(channels, times, "o-", color=f"C{i}", label=f"{update.upper()}: slope {slope:.2f}")
    base = by_channels["iss"][0]
    right.loglog(
        channels, base * (np.array(channels) / channels[0]) ** 2, ":", color="grey", label="quadratic"
    )
    right.set_xlabel("channels, 12 s of audio")
    right.set_xticks(channels, [str(c) for c in channels])
    right.minorticks_off()
    for axis in (left, right):
        axis.grid(alpha=0.3, which="both")
        axis.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(RESULTS / "scaling.png", dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
