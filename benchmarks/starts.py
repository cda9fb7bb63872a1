"""What another start is worth: IP and IPA from the principal components and from random rotations of them.

Three talkers, three microphones, measured rooms, time-varying Gauss model, 4096 samples, 60 iterations. For every
mixture and update: SI-SDR improvement from the principal components (the default start), from eight random starts
(their mean), of the run with the lowest objective of all nine (what ``--starts 9`` gives), and of the best run, which
only somebody who knows the voices could pick. Rank correlation: between objective and improvement over the nine runs
of a mixture, mean; -1 would say that the objective picks the best run.

    python benchmarks/starts.py
    python benchmarks/starts.py --quick
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import RESULTS, Scene, command, interval, machine, save, scenes
from scipy.stats import spearmanr

from unbabble.signal.blind.separator import random_rotations, vector_analysis
from unbabble.signal.kernels.demixer import FastDemixer

UPDATES = ("ip", "ipa")
STARTS = 8
COLUMNS = ("principal components", "random, mean", "lowest objective", "best")


def runs(scene: Scene, update: str, starts: int, iterations: int, seed: int) -> list[tuple[float, float]]:
    """Objective and SI-SDR improvement of each start, the principal components first."""
    x = scene.whitened.spectrogram
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(starts + 1):
        rotation = random_rotations(x, generator) if start else torch.eye(x.shape[1]).to(x)
        demixer = FastDemixer(rotation @ x, x.shape[1])
        iterate, objective = vector_analysis(update, "gauss", len(x))(demixer)
        for _ in range(iterations):
            iterate()
        found.append((objective(), scene.improvement((demixer.matrix @ rotation).numpy())))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--talkers", type=int, default=3)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="two mixtures, not saved")
    a = parser.parse_args()
    torch.set_num_threads(1)
    count, starts = (2, 2) if a.quick else (a.count, STARTS)
    mixtures = scenes(a.talkers, count, a.seed)
    result: dict = {
        "command": command(),
        "seed": a.seed,
        "talkers": a.talkers,
        "mixtures": count,
        "starts": starts,
        "machine": machine(),
        "updates": {},
    }
    for update in UPDATES:
        each = [runs(scene, update, starts, a.iterations, a.seed + i) for i, scene in enumerate(mixtures)]
        objectives, gains = np.moveaxis(np.array(each), -1, 0)
        chosen = gains[np.arange(count), objectives.argmin(1)]
        columns = (gains[:, 0], gains[:, 1:].mean(1), chosen, gains.max(1))
        ranks = [spearmanr(o, g).statistic for o, g in zip(objectives, gains, strict=True)]
        result["updates"][update] = {
            "improvement_db": {
                name: [round(float(x), 2) for x in interval(list(values))]
                for name, values in zip(COLUMNS, columns, strict=True)
            },
            "spread_db": round(float(gains.std(1, ddof=1).mean()), 2),
            "rank_correlation": round(float(np.mean(ranks)), 2),
            "each_db": gains.round(2).tolist(),
        }
    text = table(result)
    print(text)
    if not a.quick:
        save("starts", result)
        (RESULTS / "starts.md").write_text(text)


def table(result: dict) -> str:
    lines = [
        "# What another start is worth",
        "",
        f"{result['mixtures']} mixtures of {result['talkers']} talkers, {result['starts']} random starts each, seed "
        f"{result['seed']}; `{result['command']}`. SI-SDR improvement in dB, 95 % interval; what the columns mean: "
        "`benchmarks/starts.py`.",
        "",
        "| update | " + " | ".join(COLUMNS) + " | spread of a mixture's runs | rank correlation |",
        "|-|" + "-|" * (len(COLUMNS) + 2),
    ]
    for update, row in result["updates"].items():
        cells = [f"{m:.2f} ({low:.2f} ... {high:.2f})" for m, low, high in row["improvement_db"].values()]
        lines.append(
            f"| {update} | " + " | ".join(cells) + f" | {row['spread_db']} | {row['rank_correlation']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
