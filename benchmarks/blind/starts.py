"""What are several starting points worth?

IP and IPA from the principal components and from random rotations of them; three talkers, three microphones, measured
rooms, time-varying Gauss model, 4096 samples, 60 iterations. For every mixture and update: SI-SDR improvement from the
principal components (the default start), from eight random starts (their mean), of the run with the lowest objective of
all nine (what ``--starts 9`` gives), and of the best run, which only somebody who knows the voices could pick. Rank
correlation: between objective and improvement over the nine runs of a mixture, mean; -1 would say that the objective
picks the best run.

    python -m benchmarks starts         # three minutes
"""

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.kit.scenes import Scene, scenes
from benchmarks.kit.table import grid, page
from unbabble.signal.blind.separator import random_rotations, vector_analysis
from unbabble.signal.kernels.demixer import FastDemixer
from unbabble.signal.statistics import bootstrap

UPDATES = ("ip", "ipa")
COLUMNS = ("principal components", "random, mean", "lowest objective", "best")
QUICK = {"count": 2, "starts": 2}


def runs(scene: Scene, update: str, starts: int, iterations: int, seed: int) -> list[tuple[float, float]]:
    """Objective and SI-SDR improvement of each start, the principal components first."""
    x = scene.whitened.spectrogram
    generator = torch.Generator().manual_seed(seed)
    result = []
    for start in range(starts + 1):
        rotation = random_rotations(x, generator) if start else torch.eye(x.shape[1]).to(x)
        demixer = FastDemixer(rotation @ x, x.shape[1])
        iterate, objective = vector_analysis(update, "gauss", len(x))(demixer)
        for _ in range(iterations):
            iterate()
        result.append((objective(), scene.improvement((demixer.matrix @ rotation).numpy())))
    return result


def measure(talkers: int = 3, count: int = 20, starts: int = 8, iterations: int = 60, seed: int = 0) -> dict:
    mixtures, updates = scenes(talkers, count, seed), {}
    for update in UPDATES:
        each = [runs(scene, update, starts, iterations, seed + i) for i, scene in enumerate(mixtures)]
        objectives, gains = np.moveaxis(np.array(each), -1, 0)
        chosen = gains[np.arange(count), objectives.argmin(1)]
        columns = (gains[:, 0], gains[:, 1:].mean(1), chosen, gains.max(1))
        ranks = [spearmanr(o, g).statistic for o, g in zip(objectives, gains, strict=True)]
        updates[update] = {
            "improvement_db": {n: bootstrap(values) for n, values in zip(COLUMNS, columns, strict=True)},
            "spread_db": round(float(gains.std(1, ddof=1).mean()), 2),
            "rank_correlation": round(float(np.mean(ranks)), 2),
            "each_db": gains.round(2).tolist(),
        }
    return {"talkers": talkers, "mixtures": count, "starts": starts, "updates": updates}


def table(result: dict) -> str:
    gains = " | ".join(f"{{improvement_db[{each}]:.2f...}}" for each in COLUMNS)
    return page(
        "# What another start is worth",
        f"{result['mixtures']} mixtures of {result['talkers']} talkers, {result['starts']} random starts each, seed "
        f"{result['seed']}; `{result['command']}`. SI-SDR improvement in dB, 95 % interval; what the columns mean: "
        "`benchmarks/starts.py`.",
        grid(
            ["update", *COLUMNS, "spread of a mixture's runs", "rank correlation"],
            result["updates"],
            f"{{name}} | {gains} | {{spread_db}} | {{rank_correlation}}",
        ),
    )
