"""The rows of ``blind_score.py``, one for each estimator, mixture and separator, and what is measured of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr

from benchmarks.kit.rated import ARRAYS, CONDITIONS, FAMILIES, family, truth
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.signal.metrics import si_sdr
from unbabble.training.sets.separated import ScoredItems, Separated, SeparatedMixtures

WHOLE, DEGRADED_ITEMS = "made better or worse", 500


def told(network: NeuralScorer | None, item: Separated) -> np.ndarray:
    """(3, source): score, low, high; the trivial baseline is how unlike the mixture an estimate is, in dB."""
    mixture, estimates = torch.from_numpy(item.mixture), torch.from_numpy(item.estimates)
    if network is None:
        return np.stack([-si_sdr(estimates, mixture.expand_as(estimates)).clamp(-30, 30).numpy()] * 3)
    return torch.stack([each[0] for each in network.scores(mixture[None], estimates[None])]).numpy()


def numbered(mixtures: SeparatedMixtures | ScoredItems) -> Iterator[tuple[int, Separated]]:
    """What separators made of each mixture, with its number."""
    if isinstance(mixtures, SeparatedMixtures):
        yield from ((number, item) for number in range(len(mixtures)) for item in mixtures.of(number))
        return
    for number in range(DEGRADED_ITEMS):
        mixture, estimates, references = mixtures[number]
        there = (np.abs(estimates).max(-1) > 0) & (np.abs(references).max(-1) > 0)
        if there.any():
            yield number, Separated(mixture, estimates[there], references[there], references[there], WHOLE)


def evaluate(
    estimators: Mapping[str, NeuralScorer | None], sets: Mapping[str, SeparatedMixtures | ScoredItems]
) -> list[dict]:
    """One row for each estimator, mixture and separator."""
    rows = []
    for name, mixtures in sets.items():
        for number, item in numbered(mixtures):
            true = truth(item)
            for label, network in estimators.items():
                figures = dict(zip(("db", "low", "high"), told(network, item), strict=True))
                about = {"estimator": label, "set": name, "mixture": number, "separator": item.separator}
                rows.append(about | {"true": true} | figures)
        print(name, flush=True)
    return rows


def measured(rows: list[dict]) -> dict[str, float]:
    """Of estimates ``rows``: correlation, mean absolute error, share within intervals, ranking by recording."""
    true, db, low, high = (
        np.concatenate([row[key] for row in rows]) for key in ("true", "db", "low", "high")
    )
    by_mixture = defaultdict(list)
    for row in rows:
        pair = row["true"].mean(), row["db"].mean()
        by_mixture[row["set"], row.get("seconds"), row["mixture"]].append(pair)
    ranks = [spearmanr(*zip(*pairs, strict=True))[0] for pairs in by_mixture.values() if len(pairs) > 3]
    inside = (true >= 0) & (true <= 10)
    return {
        "estimates": len(true),
        "pearson": float(pearsonr(true, db)[0]),
        "error_db": float(np.abs(true - db).mean()),
        "bias_db": float((db - true).mean()),
        "constant_error_db": float(np.abs(true - np.median(true)).mean()),
        "held": float(((low <= true) & (true <= high)).mean()),
        "width_db": float((high - low).mean()),
        "error_0_to_10_db": float(np.abs(true - db)[inside].mean()) if inside.any() else float("nan"),
    } | ({"rank": float(np.nanmean(ranks))} if ranks else {})


def picked(rows: list[dict], label: str, name: str | None = None, sets: Sequence[str] = ()) -> list[dict]:
    """The rows of one estimator: of one family of separators, of some sets."""
    return [
        row
        for row in rows
        if row["estimator"] == label
        and (name is None or family(row["separator"]) == name)
        and (not sets or row["set"] in sets)
    ]


def by_separator(rows: list[dict], left_out: Mapping[str, list[str]]) -> dict[str, dict]:
    """Of each family and condition: by the pool, by estimators that did not learn from it, by that of one separator."""
    result: dict[str, dict] = {}
    for name in FAMILIES:
        labels = {each: [each] for each in ("pool", "brief", "single")} | {"unheard": left_out.get(name, [])}
        for condition, sets in CONDITIONS.items() if name != "blind" else {"arrays": ARRAYS}.items():
            for column, estimators in labels.items():
                if there := [row for label in estimators for row in picked(rows, label, name, sets)]:
                    result.setdefault(f"{name}, {condition}", {})[column] = measured(there)
    return result


def by_value(rows: list[dict], key: str) -> dict:
    """Of each set, or length."""
    values = dict.fromkeys(row[key] for row in rows)
    return {value: measured([row for row in rows if row[key] == value]) for value in values}
