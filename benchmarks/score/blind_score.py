"""How near is a blind score to the truth, also for separators that were not in training?

On talkers, rooms and noises nobody trained on. Every estimator learns from ``configs/corpora/separated.yaml``: from a
*pool* of separators (*brief*: in as few steps as the following), from one separator of it (*single*), or from all but
one family (*unheard*: leave one out). Test mixtures are of test speakers, test noises and the test states of the
measured room, of 4 and of 8 seconds; each is separated by all separators.

Truth: SI-SNR against the talker that the best assignment gives an estimate, within -15 and 30 dB.

    unbabble train configs/blind_sisnr_bands.yaml configs/corpora/separated.yaml --out runs/scorer    # the packaged one
    python -m benchmarks blind_score train --runs runs/blind --set steps=2000        # the others
    python -m benchmarks blind_score score --runs runs/blind --weights pool=runs/scorer/best.safetensors
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.kit import rated
from benchmarks.kit.cards import put_scores
from benchmarks.kit.process import train
from benchmarks.kit.rated import SEED as SEED
from benchmarks.score._blind_rows import WHOLE, by_separator, by_value, evaluate, measured, picked
from benchmarks.score._blind_tables import BASELINE
from benchmarks.score._blind_tables import table as table
from unbabble.base.config import parse_assignments
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.training.sets.separated import ScoredItems, SeparatedData

NO, SECONDS = "no_", (4.0, 8.0)
CONFIG = rated.CORPUS.parents[1] / "blind_sisnr_bands.yaml"
RECIPES = ("brief", "single", *(NO + name for name in rated.FAMILIES))


def left_out_of(run: str) -> list[str]:
    """Separators of the pool that a recipe does without."""
    names = sorted({name for part in rated.parts_of().values() for name in part["separators"]})
    families = run.removeprefix(NO).split("+") if run.startswith(NO) else []
    return [
        name
        for name in names
        if (name != rated.SINGLE if run == "single" else rated.family(name) in families)
    ]


def trained(
    runs: Path, weights: Mapping[str, str]
) -> tuple[dict[str, NeuralScorer | None], dict[str, list[str]]]:
    """Estimators by name, the trivial baseline first; and of each family, those that have not learnt from it."""
    given = {path.parent.name: str(path) for path in sorted(runs.glob("*/best.safetensors"))}
    estimators: dict[str, NeuralScorer | None] = {BASELINE: None}
    left_out: dict[str, list[str]] = defaultdict(list)
    for label, path in (given | weights).items():
        place, _, changed = path.partition("?")
        options = parse_assignments([changed] if changed else [])
        estimators[label] = networks.load(place, "scorer", **options).network
        for name in label.removeprefix(NO).split("+") if label.startswith(NO) else ():
            left_out[name].append(label)
    return estimators, left_out


def measure(
    job: Literal["train", "score"],
    /,
    runs: Path = Path("runs/blind"),
    what: Sequence[str] = RECIPES,
    config: Path = CONFIG,
    set: Sequence[str] = (),
    weights: Mapping[str, str] = {},
    card: Path | None = None,
) -> dict | None:
    """Train estimators, or score them.

    Args:
        what: to train.
        config: to train with.
        set: NAME=VALUE, changes of it.
        weights: FILE[?OPTION=VALUE], to score beside those of the runs.
    """
    if job == "train":
        for run in what:
            recipe = {section: {"leave_out": left_out_of(run)} for section in ("train", "validation")}
            train(recipe, runs / run, config, rated.CORPUS, set=set)
        return None
    estimators, left_out = trained(runs, weights)
    sets = {f"{length:g}": rated.sets_to_test(rated.TEST_ITEMS, length) for length in SECONDS}
    rows = [row | {"seconds": length} for length, its in sets.items() for row in evaluate(estimators, its)]
    # What separators made of the clean and the noisy mixtures, made better or worse: from -15 to 30 dB.
    shortest = sets[min(sets, key=float)]
    parts = {name: shortest[name].part for name in ("clean", "noisy, reverberant")}
    degraded = {WHOLE: ScoredItems(SeparatedData(parts, degraded_share=1.0), rated.SEED)}
    whole = evaluate({"pool": estimators["pool"]}, degraded)
    result, lengths = {}, {}
    for label, network in estimators.items():
        its, size = picked(rows, label), sum(each.numel() for each in network.parameters()) if network else 0
        result[label] = {"parameters": size, "all": measured(its), "sets": by_value(its, "set")}
        lengths[label] = by_value(its, "seconds")
    if card:
        pool, keys = {"all": result["pool"]["all"]} | result["pool"]["sets"], ("pearson", "error_db", "held")
        put_scores(
            card, {name: {key: float(f"{row[key]:.3g}") for key in keys} for name, row in pool.items()}
        )
    about = {"whole_range": measured(whole), "separators": by_separator(rows, left_out)}
    return {"estimators": result, "seconds": lengths} | about
