"""Which SI-SNR deserves which word? By predicted opinion: PESQ (narrow band) of separated voices of the dev split.

    python benchmarks/verdicts.py

No listeners were asked. The range of PESQ's predicted opinion at 8 kHz, 1.02 to 4.55, is divided into five equal parts,
one for each word of a listening study (bad, poor, fair, good, excellent); a bound is the SI-SNR at which
opinion, fitted by isotonic regression, passes from one part to the next. Estimates are those of separators, and of
these made better or worse.
"""

from __future__ import annotations

import common
import numpy as np
import torch
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from unbabble.base.config import load_yaml, merge, validate
from unbabble.pipelines.score import BOUNDS_DB, WORDS
from unbabble.signal.metrics import pesq, si_sdr
from unbabble.training.sets.separated import ScoredItems, SeparatedData

NAME, SEED, ITEMS = "verdicts", 10_001, 700  # the seed of validation in training
LOWEST, HIGHEST = 1.02, 4.55


def collect() -> tuple[np.ndarray, np.ndarray]:
    """SI-SNR and predicted opinion of each estimate."""
    content = merge(load_yaml("configs/corpora/separated.yaml")["validation"], {"degraded_share": 0.7})
    items = ScoredItems(validate(SeparatedData, content, "Validation"), SEED)
    scores, opinions = [], []
    for index in range(ITEMS):
        item = items[index]
        estimate, reference = (torch.from_numpy(each[:1]) for each in (item.estimates, item.references))
        score = float(si_sdr(estimate, reference, zero_mean=True))
        opinion = float(pesq(estimate, reference, 8000))
        if np.isfinite(score) and np.isfinite(opinion):
            scores.append(score)
            opinions.append(opinion)
    return np.array(scores), np.array(opinions)


def bounds(scores: np.ndarray, opinions: np.ndarray) -> list[float]:
    """SI-SNR at which the fitted opinion passes from one word to the next."""
    order = np.argsort(scores)
    fitted = isotonic_regression(opinions[order]).x
    parts = [LOWEST + (HIGHEST - LOWEST) * k / len(WORDS) for k in range(1, len(WORDS))]
    return [float(scores[order][min(np.searchsorted(fitted, part), len(fitted) - 1)]) for part in parts]


def main() -> None:
    scores, opinions = collect()
    found = bounds(scores, opinions)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(200):
        chosen = rng.integers(len(scores), size=len(scores))
        drawn.append(bounds(scores[chosen], opinions[chosen]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    result = {
        "machine": common.machine(),
        "command": common.command(),
        "estimates": len(scores),
        "bounds_db": found,
        "low_db": low.tolist(),
        "high_db": high.tolist(),
        "in_use_db": list(BOUNDS_DB),
        "rank_correlation": float(spearmanr(scores, opinions)[0]),
    }
    common.save(NAME, common.rounded(result))
    print(common.rounded(result))


if __name__ == "__main__":
    main()
