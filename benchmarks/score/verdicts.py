"""Which SI-SNR deserves which word?

By predicted opinion: PESQ (narrow band) of separated voices of the dev split. No listeners were asked. The range of
PESQ's predicted opinion at 8 kHz, 1.02 to 4.55, is divided into five equal parts, one for each word of a listening
study (bad, poor, fair, good, excellent); a bound is the SI-SNR at which opinion, fitted by isotonic regression, passes
from one part to the next. Estimates are those of separators, and of these made better or worse.

    python -m benchmarks verdicts
"""

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from benchmarks.kit.rated import CORPUS
from unbabble.base.config import load_yaml, merge, validate
from unbabble.pipelines.score import BOUNDS_DB, WORDS
from unbabble.signal.metrics import pesq, si_sdr
from unbabble.signal.statistics import PERCENTILES, resamples
from unbabble.training.sets.separated import ScoredItems, SeparatedData

SEED = 10_001  # that of validation in training
LOWEST, HIGHEST = 1.02, 4.55
QUICK = {"items": 20}


def collect(count: int) -> tuple[np.ndarray, np.ndarray]:
    """SI-SNR and predicted opinion of each estimate."""
    content = merge(load_yaml(CORPUS)["validation"], {"degraded_share": 0.7})
    items, pairs = ScoredItems(validate(SeparatedData, content, "Validation"), SEED), []
    for item in (items[index] for index in range(count)):
        estimate, reference = (torch.from_numpy(each[:1]) for each in (item.estimates, item.references))
        score = si_sdr(estimate, reference, zero_mean=True)
        pairs.append((float(score), float(pesq(estimate, reference, 8000))))
    scores, opinions = np.array([pair for pair in pairs if np.isfinite(pair).all()]).T
    return scores, opinions


def bounds(scores: np.ndarray, opinions: np.ndarray) -> list[float]:
    """SI-SNR at which the fitted opinion passes from one word to the next."""
    order = np.argsort(scores)
    fitted = isotonic_regression(opinions[order]).x
    parts = [LOWEST + (HIGHEST - LOWEST) * k / len(WORDS) for k in range(1, len(WORDS))]
    return [float(scores[order][min(np.searchsorted(fitted, part), len(fitted) - 1)]) for part in parts]


def measure(items: int = 700) -> dict:
    scores, opinions = collect(items)
    drawn = [bounds(scores[chosen], opinions[chosen]) for chosen in resamples(len(scores), 0, 200)]
    low, high = np.nanpercentile(drawn, PERCENTILES, axis=0)
    result = {
        "estimates": len(scores),
        "bounds_db": bounds(scores, opinions),
        "low_db": low.tolist(),
        "high_db": high.tolist(),
        "in_use_db": list(BOUNDS_DB),
        "rank_correlation": float(spearmanr(scores, opinions)[0]),
    }
    print(result)
    return result
