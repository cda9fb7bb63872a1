"""What do a constant offset and rumble cost, and does it help to remove them first?

Two talkers as two microphones hear them in a measured room (test), as they are, with a constant of .02 or .05 of full
scale on the channels, and with rumble below 8 Hz as loud as they are. Each is separated as it was recorded, and without
what ``unbabble.signal.rumble`` removes; ``online_auxiva`` removes it by itself. Mean SI-SDR of the two voices.

    python -m benchmarks rumble             # 6 mixtures, about five minutes
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from scipy.signal import butter, sosfilt
from torch import Tensor

from benchmarks.kit.scenes import RATE, load_mixtures
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.base.registry import create
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import best_permutation
from unbabble.signal.rumble import without_rumble
from unbabble.signal.statistics import bootstrap

METHODS, LIVE = ("ilrma.ip", "auxiva.ipa"), "online_auxiva"
CASES = ("as it is", "offset .02", "offset .05", "rumble")
SECONDS, RUMBLE_HERTZ = 10.0, 8.0
QUICK = {"count": 1}


def disturbed(mixture: np.ndarray, case: str, rng: np.random.Generator) -> Tensor:
    """The mixture and what is no sound."""
    added = np.zeros_like(mixture)
    if case.startswith("offset"):
        added += float(case.split()[1]) * np.array([[1.0], [-0.7]])
    elif case == "rumble":
        low = butter(4, RUMBLE_HERTZ, "lowpass", fs=RATE, output="sos")
        added = sosfilt(low, rng.standard_normal(mixture.shape))
        added *= mixture.std() / added.std()
    return torch.from_numpy(mixture + added).float()


def quality(voices: Tensor, images: np.ndarray) -> float:
    """Mean SI-SDR in dB of the best assignment."""
    scores = si_sdr_matrix(voices, torch.from_numpy(images[:, 0]).float())
    order = best_permutation(scores)
    return float(np.mean([scores[order[talker], talker] for talker in range(len(images))]))


def measure(count: int = 6, seed: int = 0) -> Iterator[dict]:
    """Mixture by mixture."""
    result: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rng = np.random.default_rng(seed)
    for item in load_mixtures(2, 2, count, seed, seconds=SECONDS):
        for case in CASES:
            mixture = disturbed(item.mixture, case, rng)
            tried = {LIVE: (LIVE, mixture)}
            for name in METHODS:
                tried[name] = name, mixture
                tried[f"{name}, removed first"] = name, without_rumble(mixture, RATE)[0]
            for label, (name, samples) in tried.items():
                voices = create(name, sources=2)(samples[None], sample_rate=RATE)[0]
                result[label][case].append(quality(voices, item.images))
        yield {"si_sdr_db": {name: {c: bootstrap(v) for c, v in row.items()} for name, row in result.items()}}


def table(result: dict) -> str:
    rows = [[name, *map(figure, row.values())] for name, row in result["si_sdr_db"].items()]
    return page(
        "Mean SI-SDR in dB of two voices (95 % interval over mixtures) that two microphones of a measured room hear, "
        f"{SECONDS:g} s of test talkers: as they are, with a constant on the channels, and with rumble below "
        f"{RUMBLE_HERTZ:g} Hz as loud as they are.",
        grid(["method", *CASES], rows),
        made_by(result),
    )
