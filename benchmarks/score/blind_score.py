"""How near is a blind score to the truth, also for separators it never heard?

On talkers, rooms and noises nobody trained on. Every estimator learns from ``configs/corpora/separated.yaml``: from a
*pool* of separators (*brief*: in as few steps as the following), from one separator of it (*single*), or from all but
one family (*unheard*: leave one out). Test mixtures are of test speakers, test noises and the test states of the
measured room, of 4 and of 8 seconds; each is separated by all separators.

Truth: SI-SNR against the talker that the best assignment gives an estimate, within -15 and 30 dB.

    unbabble train configs/blind_sisnr_bands.yaml configs/corpora/separated.yaml --out runs/scorer    # the packaged one
    python -m benchmarks blind_score train --runs runs/blind --set steps=2000        # the others
    python -m benchmarks blind_score score --runs runs/blind --weights pool=runs/scorer/best.safetensors
"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import yaml
from scipy.stats import pearsonr, spearmanr

from benchmarks.kit.cards import put_scores
from benchmarks.kit.rated import (
    ARRAYS,
    CONDITIONS,
    CORPUS,
    FAMILIES,
    SEED,
    SINGLE,
    TEST_ITEMS,
    family,
    parts_of,
    sets_to_test,
    truth,
)
from benchmarks.score._blind_tables import BASELINE, reliability, scatter
from benchmarks.score._blind_tables import table as table
from unbabble.base.config import parse_assignments
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.signal.metrics import si_sdr
from unbabble.training.sets.separated import ScoredItems, Separated, SeparatedData, SeparatedMixtures

NO, SECONDS, WHOLE, DEGRADED_ITEMS = "no_", (4.0, 8.0), "made better or worse", 500
CONFIG = CORPUS.parents[1] / "blind_sisnr_bands.yaml"
RECIPES = ("brief", "single", *(NO + name for name in FAMILIES))


def told(network: NeuralScorer | None, item: Separated) -> np.ndarray:
    """(3, source): score, low, high; the trivial baseline is how unlike the mixture an estimate is, in dB."""
    mixture, estimates = torch.from_numpy(item.mixture), torch.from_numpy(item.estimates)
    if network is None:
        return np.stack([-si_sdr(estimates, mixture.expand_as(estimates)).clamp(-30, 30).numpy()] * 3)
    return torch.stack([each[0] for each in network.scores(mixture[None], estimates[None])]).numpy()


def measured(rows: list[dict]) -> dict[str, float]:
    """Of estimates ``rows``: correlation, mean absolute error, share within intervals, ranking by recording."""
    true, db, low, high = (
        np.concatenate([row[key] for row in rows]) for key in ("true", "db", "low", "high")
    )
    by_mixture = defaultdict(list)
    for row in rows:
        by_mixture[row["set"], row.get("seconds"), row["mixture"]].append(
            (row["true"].mean(), row["db"].mean())
        )
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


def train(run: str, runs: Path, config: Path, changes: Sequence[str]) -> None:
    """An estimator from a part of the pool."""
    names = sorted({name for part in parts_of().values() for name in part["separators"]})
    left_out = run.removeprefix(NO).split("+") if run.startswith(NO) else []
    leave_out = [name for name in names if (name != SINGLE if run == "single" else family(name) in left_out)]
    runs.mkdir(parents=True, exist_ok=True)
    recipe = runs / f"{run}.yaml"
    recipe.write_text(
        yaml.safe_dump({section: {"leave_out": leave_out} for section in ("train", "validation")})
    )
    command = [sys.executable, "-m", "unbabble.cli", "train", str(config), str(CORPUS), str(recipe)]
    command += ["--out", str(runs / run), "--resume", "--device", "cpu"]
    subprocess.run([*command, *(word for change in changes for word in ("--set", change))], check=True)


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
    """Of each family and condition: by the pool, by an estimator that has not heard it, by that of one separator."""
    found: dict[str, dict] = {}
    for name in FAMILIES:
        labels = {each: [each] for each in ("pool", "brief", "single")} | {"unheard": left_out.get(name, [])}
        for condition, sets in CONDITIONS.items() if name != "blind" else {"arrays": ARRAYS}.items():
            for column, estimators in labels.items():
                if there := [row for label in estimators for row in picked(rows, label, name, sets)]:
                    found.setdefault(f"{name}, {condition}", {})[column] = measured(there)
    return found


def trained(
    runs: Path, weights: Sequence[str]
) -> tuple[dict[str, NeuralScorer | None], dict[str, list[str]]]:
    """Estimators by name, the trivial baseline first; and of each family, those that have never heard it."""
    given = {path.parent.name: str(path) for path in sorted(runs.glob("*/best.safetensors"))}
    given |= dict(each.split("=", 1) for each in weights)
    estimators: dict[str, NeuralScorer | None] = {BASELINE: None}
    left_out: dict[str, list[str]] = defaultdict(list)
    for label, path in given.items():
        place, _, changed = path.partition("?")
        options = parse_assignments([changed] if changed else [])
        estimators[label] = networks.load(place, "scorer", **options).network
        for name in label.removeprefix(NO).split("+") if label.startswith(NO) else ():
            left_out[name].append(label)
    return estimators, left_out


def figures(rows: list[dict], network: NeuralScorer | None) -> dict:
    """Of one estimator: over all, by kind of mixture, by length."""
    found: dict = {"parameters": sum(each.numel() for each in network.parameters()) if network else 0}
    found["all"] = measured(rows)
    for key, name in (("set", "sets"), ("seconds", "seconds")):
        values = dict.fromkeys(row[key] for row in rows)
        found[name] = {value: measured([row for row in rows if row[key] == value]) for value in values}
    return found


def draw(rows: list[dict], whole: list[dict], left_out: Mapping[str, list[str]]) -> None:
    pool = picked(rows, "pool")
    unheard = [
        row for name, labels in left_out.items() for label in labels for row in picked(rows, label, name)
    ]
    panels = {"separators of the pool": pool, "separators that were left out": unheard, WHOLE: whole}
    scatter({title: (there, measured(there)) for title, there in panels.items() if there})
    reliability(pool)


def measure(
    job: Literal["train", "score"],
    /,
    runs: Path = Path("runs/blind"),
    what: Sequence[str] = RECIPES,
    config: Path = CONFIG,
    set: Sequence[str] = (),
    weights: Sequence[str] = (),
    items: int = TEST_ITEMS,
    seconds: Sequence[float] = SECONDS,
    corpus: Path = CORPUS,
    card: Path | None = None,
) -> dict | None:
    """Train estimators, or score them.

    Args:
        what: to train.
        config: to train with.
        set: NAME=VALUE, changes of it.
        weights: NAME=FILE[?OPTION=VALUE], to score beside those of the runs.
        seconds: of the test mixtures.
        corpus: names the separators.
        card: write the pool's scores into the card of this weights file.
    """
    if job == "train":
        for run in what:
            train(run, runs, config, set)
        return None
    estimators, left_out = trained(runs, weights)
    sets = {f"{length:g}": sets_to_test(items, length, corpus) for length in seconds}
    rows = [row | {"seconds": length} for length, its in sets.items() for row in evaluate(estimators, its)]
    # What separators made of the clean and the noisy mixtures, made better or worse: from -15 to 30 dB.
    shortest = sets[min(sets, key=float)]
    parts = {name: shortest[name].part for name in ("clean", "noisy, reverberant")}
    degraded = {WHOLE: ScoredItems(SeparatedData(parts, degraded_share=1.0), SEED)}
    whole = evaluate({"pool": estimators["pool"]}, degraded)
    found = {label: figures(picked(rows, label), network) for label, network in estimators.items()}
    lengths = {label: each.pop("seconds") for label, each in found.items()}
    if card:
        pool, keys = {"all": found["pool"]["all"]} | found["pool"]["sets"], ("pearson", "error_db", "held")
        put_scores(
            card, {name: {key: float(f"{row[key]:.3g}") for key in keys} for name, row in pool.items()}
        )
    draw(rows, whole, left_out)
    about = {"whole_range": measured(whole), "separators": by_separator(rows, left_out)}
    return {"estimators": found, "seconds": lengths} | about
