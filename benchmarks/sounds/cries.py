"""What can be known from the cry of an infant, and how much of it does the microphone tell?

457 cries of Donate-a-cry, by 221 recorders (an installation of an app: one telephone, most often one infant). Two
questions that are published about such recordings, each beside what a classifier reaches that hears no cry:

- Which infant is it? All cries of an infant (and of one period) are joined and embedded at once, as CryCeleb does;
  equal error rate of the cosines in per cent, chance 50. Statistics of mel bands are standardised over all recordings;
  vectors of networks are taken as they are, and less their mean. By recording, by the earlier and the later half of
  what a recorder has, and by days.
- Why does it cry? Logistic regression, five folds, drawn at random or by recorder: balanced accuracy of five reasons
  (chance .200), plain accuracy, and the area under the curve of hungry or not (chance .500). The recorder's name, and
  age and sex, stand for what is known without any sound. Folds by recorder have a chance of their own, which need not
  be that of a coin: it is measured by giving each recorder the reasons of another one.

Intervals are of drawing recorders again. CryCeleb's own trials are measured where one has its folder.

    python -m benchmarks cries
    python -m benchmarks cries --models simclr=runs/cries/best.safetensors      # besides what was measured
    python -m benchmarks cries --cryceleb /corpora/CryCeleb2023
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from benchmarks.kit import probe
from benchmarks.kit.ranks import area
from benchmarks.kit.scenes import DATA
from benchmarks.kit.table import grid, made_by, page
from benchmarks.sounds._cry_features import BACKGROUND, CENTRED, MEANS, SPECTRAL, Ear, network
from unbabble.data.cries import CRYCELEB_SPLITS, Cry, cries, pairs, together
from unbabble.signal.statistics import interval, resamples
from unbabble.signal.verification import bootstrap_by_speaker, equal_error_rate

SEED, FOLDS = 0, 5
MODELS = ("xvector.8k", "ecapa_tdnn.16k")
HUNGRY = "hungry"
NAME, AGE_AND_SEX = "the recorder's name", "age and sex"
RECORDINGS, HALVES, DAYS = "recordings", "halves", "days"
QUICK = {"seeds": 1, "draws": 3, "shuffles": 3}


class Unit(NamedTuple):
    """What one vector is made of: cries of an infant, of a period."""

    infant: str
    period: str
    cries: list[Cry]


class Trials(NamedTuple):
    """Pairs of units."""

    units: list[Unit]
    one: Int[np.ndarray, " trial"]
    other: Int[np.ndarray, " trial"]


def by_period(recordings: Sequence[Cry]) -> list[Unit]:
    """All cries of each infant in each period."""
    joined: dict[tuple[str, str], list[Cry]] = defaultdict(list)
    for cry in recordings:
        joined[cry.infant, cry.period].append(cry)
    return [Unit(*key, its) for key, its in sorted(joined.items())]


def in_halves(recordings: Sequence[Cry]) -> list[Unit]:
    """Of each infant with two cries or more, the earlier and the later half: file names hold the time."""
    units = []
    for infant in sorted({cry.infant for cry in recordings}):
        its = sorted((cry for cry in recordings if cry.infant == infant), key=lambda cry: cry.path.name)
        half = len(its) // 2
        units += [Unit(infant, "earlier", its[:half]), Unit(infant, "later", its[half:])] if half else []
    return units


def every_pair(units: list[Unit]) -> Trials:
    return Trials(units, *np.triu_indices(len(units), 1))


def across(units: list[Unit]) -> Trials:
    """The first period of each infant with the second one of each."""
    periods = np.array([unit.period for unit in units])
    first, second = np.unique(periods)
    one, other = np.meshgrid(
        np.flatnonzero(periods == first), np.flatnonzero(periods == second), indexing="ij"
    )
    return Trials(units, one.ravel(), other.ravel())


def of_cryceleb(folder: Path) -> dict[str, Trials]:
    """Its own trials, of the splits for which it has a table."""
    recordings, result = cries(folder), {}
    for split in CRYCELEB_SPLITS:
        table = folder / f"{split}_pairs.csv"
        if table.is_file():
            units = by_period([cry for cry in recordings if cry.split == split])
            place = {(unit.infant, unit.period): number for number, unit in enumerate(units)}
            listed = pairs(table)
            one = np.array([place[pair.birth, "B"] for pair in listed])
            other = np.array([place[pair.discharge, "D"] for pair in listed])
            result[f"CryCeleb {split}"] = Trials(units, one, other)
    return result


def vectors(ear: Ear, units: Sequence[Unit]) -> dict[str, Float[np.ndarray, "unit number"]]:
    """A row for each unit, by name."""
    rows = [ear.vectors(together(unit.cries, ear.sample_rate)) for unit in units]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def verified(trials: Trials, features: Float[np.ndarray, "unit number"], draws: int) -> tuple[float, ...]:
    """Equal error rate of cosines in per cent, and its interval."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    infants = np.array([each.infant for each in trials.units])
    scores = (unit[trials.one] * unit[trials.other]).sum(1)
    found = bootstrap_by_speaker(
        equal_error_rate, scores, infants[trials.one], infants[trials.other], seed=SEED, number=draws
    )
    return tuple(100 * each for each in found)


def one_hot(values: Sequence[str]) -> Float[np.ndarray, "item value"]:
    names, place = np.unique(values, return_inverse=True)
    return np.eye(len(names))[place]


def over_recorders(
    statistic: Callable[[Int[np.ndarray, " item"]], float], recorders: np.ndarray, draws: int
) -> tuple[float, float, float]:
    """A figure of items by their numbers, and its interval when recorders are drawn again with all of theirs."""
    names, group = np.unique(recorders, return_inverse=True)
    items = [np.flatnonzero(group == each) for each in range(len(names))]
    drawn = [
        statistic(np.concatenate([items[each] for each in draw]))
        for draw in resamples(len(names), SEED, draws)
    ]
    return statistic(np.arange(len(recorders))), *interval(np.array(drawn))


def classified(
    features: Float[np.ndarray, "item number"],
    reasons: np.ndarray,
    recorders: np.ndarray,
    by_recorder: bool,
    seeds: int,
    draws: int,
) -> dict[str, Any]:
    """How often the reason is right, and how well hungry is told from not hungry."""
    labels, hungry = np.unique(reasons, return_inverse=True)[1], (reasons == HUNGRY).astype(int)
    judged = [judgements(features, labels, hungry, recorders, by_recorder, seed) for seed in range(seeds)]
    return {
        "balanced": over_recorders(
            lambda items: mean(probe.balanced_accuracy(labels[items], guess[items]) for guess, _ in judged),
            recorders,
            draws,
        ),
        "accuracy": mean((guess == labels).mean() for guess, _ in judged),
        "hungry": over_recorders(
            lambda items: mean(area(margin[items], hungry[items]) for _, margin in judged), recorders, draws
        ),
    }


def by_chance(
    features: Float[np.ndarray, "item number"], reasons: np.ndarray, recorders: np.ndarray, shuffles: int
) -> dict[str, tuple[float, float, float]]:
    """The median of both figures by recorder, and the middle 95 %, where each has the reasons of another one."""
    drawn = []
    for seed in range(shuffles):
        shuffled = of_others(reasons, recorders, seed)
        labels, hungry = np.unique(shuffled, return_inverse=True)[1], (shuffled == HUNGRY).astype(int)
        guess, margin = judgements(features, labels, hungry, recorders, True, seed)
        drawn.append((probe.balanced_accuracy(labels, guess), area(margin, hungry)))
    return {
        key: (float(np.median(its)), *interval(its))
        for key, its in zip(("balanced", "hungry"), np.array(drawn).T, strict=True)
    }


def of_others(reasons: np.ndarray, recorders: np.ndarray, seed: int) -> np.ndarray:
    """Reasons, those of each recorder taken (and repeated, or cut) from another one: within each as alike as before."""
    names, group = np.unique(recorders, return_inverse=True)
    order, result = np.random.default_rng(seed).permutation(len(names)), reasons.copy()
    for each, other in enumerate(order):
        result[group == each] = np.resize(reasons[group == other], int((group == each).sum()))
    return result


def judgements(
    features: Float[np.ndarray, "item number"],
    labels: Int[np.ndarray, " item"],
    hungry: Int[np.ndarray, " item"],
    recorders: np.ndarray,
    by_recorder: bool,
    seed: int,
) -> tuple[Int[np.ndarray, " item"], Float[np.ndarray, " item"]]:
    """The likeliest reason of each cry, and the log-odds of hungry, by what other folds have taught."""
    scores = []
    for its in (labels, hungry):
        fold = probe.stratified(its, FOLDS, seed)
        if by_recorder:
            fold = probe.grouped(its, recorders, FOLDS, seed)
        scores.append(probe.held_out(features, its, fold))
    return scores[0].argmax(1), scores[1][:, 1] - scores[1][:, 0]


def mean(values) -> float:
    return float(np.mean(list(values)))


def measure(
    models: Mapping[str, str] | None = None,
    seeds: int = 5,
    draws: int = 200,
    shuffles: int = 40,
    only: Literal["", "verification", "reasons"] = "",
    donated: Path = DATA / "cry.csv",
    cryceleb: Path | None = None,
    before: dict | None = None,
) -> Iterator[dict]:
    """Verification, then reasons.

    Args:
        models: embedders, or classifiers of sounds, which are packaged or in a file, as NAME or NAME=FILE; they are
            added to what was measured before. By default the packaged embedders, and what hears no cry or no infant.
        seeds: of the folds.
        draws: of the intervals.
        shuffles: of recorders' reasons, by which chance is measured.
        only: one of the two questions.
        donated: the table or the folder of Donate-a-cry.
        cryceleb: the folder of CryCeleb, whose trials are measured too.
    """
    recordings = cries(donated)
    alone = [Unit(cry.infant, cry.period, [cry]) for cry in recordings]
    sets = {RECORDINGS: every_pair(alone), HALVES: across(in_halves(recordings))}
    sets[DAYS] = every_pair(by_period(recordings))
    if cryceleb is not None:
        sets |= of_cryceleb(cryceleb)
    ears = [network(path, name) for name, path in (models or dict(zip(MODELS, MODELS, strict=True))).items()]
    known: dict[str, np.ndarray] = {}
    if not models:
        ears = [SPECTRAL, *ears]
        known = {
            NAME: one_hot([cry.infant for cry in recordings]),
            AGE_AND_SEX: np.hstack(
                [one_hot([cry.age for cry in recordings]), one_hot([cry.sex for cry in recordings])]
            ),
        }
    result = {"corpus": about(recordings), "seeds": seeds, "sets": {}, "verification": {}, "reasons": {}}
    result |= before or {}
    for name, trials in ({RECORDINGS: sets[RECORDINGS]} if only == "reasons" else sets).items():
        infants = np.array([unit.infant for unit in trials.units])
        same = int((infants[trials.one] == infants[trials.other]).sum())
        result["sets"][name] = {"units": len(trials.units), "pairs": len(trials.one), "same": same}
        for ear in ears:
            for feature, its in vectors(ear, trials.units).items():
                if name == RECORDINGS:
                    known[feature] = its
                if only == "reasons":
                    continue
                centred = its - its.mean(0)
                forms = {feature: its, f"{feature}, centred": centred}
                if not ear.learnt:
                    forms = {feature: centred / np.maximum(its.std(0), 1e-9)}
                for form, these in forms.items():
                    row = result["verification"].setdefault(form, {"numbers": its.shape[1]})
                    row[name] = verified(trials, these, draws)
        yield result
    reasons, recorders = (np.array([getattr(cry, key) for cry in recordings]) for key in ("reason", "infant"))
    for feature, its in ({} if only == "verification" else known).items():
        result["reasons"][feature] = {
            split: classified(its, reasons, recorders, split == "recorder", seeds, draws)
            for split in ("random", "recorder")
        } | {"chance": by_chance(its, reasons, recorders, shuffles)}
        yield result


def about(recordings: Sequence[Cry]) -> dict[str, Any]:
    """Of what the corpus consists, as far as it decides what can be measured."""
    its: dict[str, list[Cry]] = defaultdict(list)
    for cry in recordings:
        its[cry.infant].append(cry)

    def several(of: str) -> int:
        return sum(len({getattr(cry, of) for cry in each}) > 1 for each in its.values())

    return {
        "recordings": len(recordings),
        "recorders": len(its),
        "of_several_recordings": sum(len(each) > 1 for each in its.values()),
        "of_several_reasons": several("reason"),
        "of_several_days": several("period"),
        "of_both_sexes": several("sex"),
        "reasons": dict(Counter(cry.reason for cry in recordings).most_common()),
    }


def table(result: dict) -> str:
    corpus, sets = result["corpus"], result["sets"]
    rows = {
        name: {f"{split}_{key}": value for split, figures in its.items() for key, value in figures.items()}
        for name, its in result["reasons"].items()
    }
    return page(
        "# What can be known from the cry of an infant",
        f"{corpus['recordings']} cries of Donate-a-cry by {corpus['recorders']} recorders, of whom "
        f"{corpus['of_several_recordings']} have recorded several, {corpus['of_several_days']} on several days, "
        f"{corpus['of_several_reasons']} for several reasons, {corpus['of_both_sexes']} of both sexes. Reasons, as "
        f"they supposed: {', '.join(f'{name} {count}' for name, count in corpus['reasons'].items())}. Intervals (95 %) "
        "are of drawing recorders again.",
        "## Which infant is it?",
        "Equal error rate in per cent (chance 50) of pairs of "
        + "; ".join(
            f"{name} ({its['units']}, {its['pairs']} pairs, {its['same']} of one recorder)"
            for name, its in sets.items()
        )
        + ". A recording alone; the earlier half of what a recorder has, joined, with the later half of another's; all "
        "of a day, joined, with all of another day.",
        grid(
            ["features", "numbers", *sets],
            result["verification"],
            "{name} | {numbers} | " + " | ".join(f"{{{each}:.1f}}" for each in sets),
        ),
        f"'{MEANS}' is what a microphone and a room colour; '{BACKGROUND}' is of the quietest tenth of the frames, in "
        f"which hardly anybody cries; '{CENTRED}' is free of every constant filter. Published, of other data: the best "
        "of CryCeleb's challenge 25.8 %, newborns at birth and at discharge.",
        "## Why does it cry?",
        f"Logistic regression, {FOLDS} folds, {result['seeds']} seeds: balanced accuracy of {len(corpus['reasons'])} "
        f"reasons (chance {1 / len(corpus['reasons']):.3f}), accuracy, and area under the curve of hungry or not "
        "(chance .500); folds drawn at random, then by recorder, beside what the same reaches by recorder where each "
        "recorder has the reasons of another one.",
        grid(
            "known | balanced, random | accuracy, random | hungry, random | balanced, by recorder | by chance | "
            "hungry, by recorder | by chance",
            rows,
            "{name} | {random_balanced:.3f} | {random_accuracy:.3f} | {random_hungry:.3f} | "
            "{recorder_balanced:.3f} | {chance_balanced:.3f} | {recorder_hungry:.3f} | {chance_hungry:.3f}",
        ),
        f"'{NAME}' and '{AGE_AND_SEX}' hear nothing: what they reach with random folds is what a recorder's other "
        "cries give away. What lies between the bounds by chance is no finding, whatever its own interval, which is of "
        "other recorders and not of other reasons. Always the most frequent reason is right in "
        f"{corpus['reasons'][HUNGRY] / corpus['recordings']:.3f}; papers that report accuracies of .80 to .95 on this "
        "corpus divide it at random. Measured before by other code, with features that differ a little: balanced .346 "
        "at random and .225 by recorder; equal error rates of recordings 28.1 % by statistics, 33.1 by means, 36.6 by "
        "xvector.8k.",
        made_by(result),
    )
