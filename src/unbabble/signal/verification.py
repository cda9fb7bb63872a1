"""How well scores tell pairs of recordings of one person from pairs of two (what a score means: ``calibration``).

A trial is a pair of recordings: its score is high where one person seems to speak in both, and ``same`` says whether
that is so. Scores above a threshold t are accepted; equal scores fare alike.

    refused(t)  = share of the pairs of one person with t or less    accepted(t) = share of the pairs of two with more
    cost(t)     = (p Cm refused(t) + (1 - p) Ca accepted(t)) / min(p Cm, (1 - p) Ca)

A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997; N. Brümmer, J. du Preez,
"Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006 (log-likelihood ratios);
P. Matějka et al., "Analysis of score normalization in multilingual speaker recognition", Interspeech 2017 (``Cohort``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from unbabble.signal.statistics import Estimate, interval


class ErrorRates(NamedTuple):
    """Both errors at every threshold that matters.

    Attributes:
        thresholds: rising, the first below all scores (-inf).
        refused: share of the pairs of one person that are not accepted, from 0 to 1.
        accepted: share of the pairs of two that are, from 1 to 0.
    """

    thresholds: Float[np.ndarray, " threshold"]
    refused: Float[np.ndarray, " threshold"]
    accepted: Float[np.ndarray, " threshold"]


def error_rates(
    scores: Float[np.ndarray, " trial"],
    same: Bool[np.ndarray, " trial"],
    weights: Float[np.ndarray, " trial"] | None = None,
) -> ErrorRates:
    """Both errors, with the threshold below all scores, then above each of them in turn.

    Args:
        scores: higher for pairs of one person.
        same: which pairs these are.
        weights: of each trial, 0 or more; 1 by default.

    Raises:
        ValueError: pairs of one kind alone.
    """
    scores, same = np.asarray(scores, float), np.asarray(same, bool)
    counted = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    of_one, of_two = counted * same, counted * ~same
    if not of_one.any() or not of_two.any():
        raise ValueError("Error rates need pairs of one person and pairs of two.")
    values, place = np.unique(scores, return_inverse=True)
    below = [np.bincount(place, each, len(values)).cumsum() / each.sum() for each in (of_one, of_two)]
    refused, rejected = (np.concatenate([[0.0], each]) for each in below)
    return ErrorRates(np.concatenate([[-np.inf], values]), refused, np.clip(1 - rejected, 0, 1))


def equal_error_rate(
    scores: Float[np.ndarray, " trial"],
    same: Bool[np.ndarray, " trial"],
    weights: Float[np.ndarray, " trial"] | None = None,
) -> float:
    """Where as many pairs of one person are refused as pairs of two are accepted; arguments as of ``error_rates``.

    Raises:
        ValueError: pairs of one kind alone.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, True, False, False]))
    0.0
    >>> equal_error_rate(np.array([0.9, 0.2, 0.3, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    _, refused, accepted = error_rates(scores, same, weights)
    after = int((refused >= accepted).argmax())
    before = max(0, after - 1)
    gap_before, gap_after = accepted[before] - refused[before], refused[after] - accepted[after]
    share = gap_before / (gap_before + gap_after) if gap_before + gap_after else 0.0
    return float(refused[before] + share * (refused[after] - refused[before]))


@dataclass(frozen=True)
class Application:
    """What errors cost where verification is used.

    Attributes:
        prior: p, how probable it is beforehand that one person speaks.
        miss_cost: Cm, of refusing that person.
        false_alarm_cost: Ca, of accepting another one.

    Raises:
        ValueError: a prior beyond 0 to 1, or a cost that is not positive.
    """

    prior: float = 0.01
    miss_cost: float = 1.0
    false_alarm_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.prior < 1 or min(self.miss_cost, self.false_alarm_cost) <= 0:
            raise ValueError("A prior lies between 0 and 1, and costs are positive.")

    @property
    def threshold(self) -> float:
        """The log-likelihood ratio above which accepting costs less.

        >>> Application(prior=0.5).threshold
        0.0
        """
        return float(np.log((1 - self.prior) * self.false_alarm_cost / (self.prior * self.miss_cost)))

    def cost(self, refused: np.ndarray, accepted: np.ndarray) -> np.ndarray:
        """Of errors, in multiples of what always giving the better one of the two answers costs."""
        miss, alarm = self.prior * self.miss_cost, (1 - self.prior) * self.false_alarm_cost
        return (miss * refused + alarm * accepted) / min(miss, alarm)


def least_cost(
    scores: Float[np.ndarray, " trial"],
    same: Bool[np.ndarray, " trial"],
    application: Application,
    weights: Float[np.ndarray, " trial"] | None = None,
) -> float:
    """What errors cost at the best threshold (minDCF): 1 for scores that say nothing; arguments as of ``error_rates``.

    Raises:
        ValueError: pairs of one kind alone.
    """
    rates = error_rates(scores, same, weights)
    return float(application.cost(rates.refused, rates.accepted).min())


def actual_cost(
    ratios: Float[np.ndarray, " trial"], same: Bool[np.ndarray, " trial"], application: Application
) -> float:
    """What errors cost at the threshold that the application itself implies (actDCF).

    Args:
        ratios: log-likelihood ratios, as ``Calibration.ratios`` has them.
        same: which pairs are of one person.
        application: what errors cost.

    Raises:
        ValueError: pairs of one kind alone.
    """
    ratios, same = of_both_kinds(ratios, same)
    taken = ratios > application.threshold
    return float(application.cost(1 - taken[same].mean(), taken[~same].mean()))


def ratio_cost(ratios: Float[np.ndarray, " trial"], same: Bool[np.ndarray, " trial"]) -> float:
    """How good log-likelihood ratios are as they are, over all applications (Cllr): 1 bit for those that say nothing.

    Raises:
        ValueError: pairs of one kind alone.

    >>> ratio_cost(np.zeros(4), np.array([True, True, False, False]))
    1.0
    """
    ratios, same = of_both_kinds(ratios, same)
    bits = np.logaddexp(0, np.where(same, -ratios, ratios)) / np.log(2)
    return float((bits[same].mean() + bits[~same].mean()) / 2)


class Cohort(NamedTuple):
    """What each of several recordings scores against people who are known to be others.

    Attributes:
        mean: of those whom it is most like.
        deviation: of these.
    """

    mean: Float[np.ndarray, " recording"]
    deviation: Float[np.ndarray, " recording"]

    @classmethod
    def of(cls, scores: Float[np.ndarray, "recording other"], top: int | None = None) -> "Cohort":
        """Statistics of the ``top`` highest scores of each recording (adaptive), or of all of them.

        Raises:
            ValueError: fewer than two scores.
        """
        kept = np.sort(np.asarray(scores, float), axis=1)[:, -(top or scores.shape[1]) :]
        if kept.shape[1] < 2:
            raise ValueError("A cohort has at least two others.")
        return cls(kept.mean(1), kept.std(1))

    def standard(self, scores: np.ndarray, recording: np.ndarray) -> np.ndarray:
        """How far scores of these recordings are above those of others, in their deviations."""
        return (scores - self.mean[recording]) / np.maximum(self.deviation[recording], 1e-12)


def symmetric_norm(
    scores: Float[np.ndarray, " trial"],
    one: Shaped[np.ndarray, " trial"],
    other: Shaped[np.ndarray, " trial"],
    cohort: Cohort,
) -> Float[np.ndarray, " trial"]:
    """s-norm, as-norm where the cohort is that of the highest: scores in deviations above what others score.

    Args:
        scores: of pairs of recordings.
        one: number of the first recording in the cohort.
        other: number of the second one.
        cohort: of all recordings.
    """
    return (cohort.standard(scores, one) + cohort.standard(scores, other)) / 2


def bootstrap_by_speaker(
    statistic: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    scores: Float[np.ndarray, " trial"],
    one: Shaped[np.ndarray, " trial"],
    other: Shaped[np.ndarray, " trial"],
    seed: int = 0,
    number: int = 300,
) -> Estimate:
    """A figure of trials and its 95 % interval: speakers are drawn again with replacement, with all they said.

    A speaker who is drawn n times counts as n people: n times the pairs with oneself, n m times those with somebody who
    is drawn m times.

    Args:
        statistic: of scores, of whether each is of one person, and of weights: ``equal_error_rate``.
        scores: of pairs of recordings.
        one: who speaks in the first.
        other: who speaks in the second.
        seed: of the draws.
        number: of draws; those with pairs of one kind alone are left out.

    Raises:
        ValueError: pairs of one kind alone.
    """
    names, speakers = np.unique(np.stack([one, other]), return_inverse=True)
    first, second = speakers.reshape(2, -1)
    same = first == second
    value = statistic(scores, same, np.ones(len(scores)))
    drawn, rng = [], np.random.default_rng(seed)
    for _ in range(number):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = np.where(same, times[first], times[first] * times[second])
        if weights[same].any() and weights[~same].any():
            drawn.append(statistic(scores, same, weights))
    return Estimate(value, *interval(np.array(drawn)))


def of_both_kinds(ratios: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As arrays.

    Raises:
        ValueError: pairs of one kind alone.
    """
    ratios, same = np.asarray(ratios, float), np.asarray(same, bool)
    if same.all() or not same.any():
        raise ValueError("Error rates need pairs of one person and pairs of two.")
    return ratios, same
