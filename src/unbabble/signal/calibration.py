"""What a score of two recordings means: how probable it is that one person speaks in both.

A line turns scores into log-likelihood ratios, and a prior these into probabilities:

    ratio = log p(score | one person) - log p(score | two people)        log-odds = ratio + log-odds of the prior

N. Brümmer, J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech & Language 20, 2006;
M. I. Mandasari et al., "Quality measure functions for calibration of speaker recognition systems in various duration
conditions", IEEE Transactions on Audio, Speech, and Language Processing 21, 2013 (that duration plays a part).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from unbabble.base.errors import InputError
from unbabble.signal.verification import of_both_kinds

STEPS, PENALTY = 40, 1e-6
"""Newton's steps, and what bounds weights where a threshold makes no error."""
DURATIONS = (0.5, 20.0)
"""Seconds, beyond which duration changes no calibration any more."""
BOUND = 30.0
"""Log-odds beyond which a probability is 0 or 1 for all purposes."""


@dataclass(frozen=True)
class Calibration:
    """From scores to what they mean: log-likelihood ratios and probabilities.

    ratio = (scale + scale_growth · log t) · score + shift + shift_growth · log t

    The longer the recordings, the more a score says: t is the duration of a trial (``trial_seconds``), within
    ``DURATIONS``.

    Attributes:
        scale: of scores of one second; positive where scores are better than chance.
        shift: added.
        scale_growth: 0 where duration plays no part.
        shift_growth: likewise.
    """

    scale: float
    shift: float
    scale_growth: float = 0.0
    shift_growth: float = 0.0

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> "Calibration":
        """As a card has it.

        Raises:
            TypeError: other fields, or what is no number.
            ValueError: a number that is not finite.
        """
        if not all(math.isfinite(value) for value in stated.values()):
            raise ValueError("A calibration is of finite numbers.")
        return cls(**stated)

    def ratios(
        self, scores: Float[np.ndarray, "*any"], seconds: Float[np.ndarray, "*any"] | float = 1.0
    ) -> Float[np.ndarray, "*any"]:
        """How much more probable a score is where one person speaks than where two do: the log of that ratio.

        Args:
            scores: of trials.
            seconds: the duration of each.
        """
        length = _log_duration(seconds)
        scale, shift = self.scale + self.scale_growth * length, self.shift + self.shift_growth * length
        return scale * np.asarray(scores, float) + shift

    def probabilities(
        self,
        scores: Float[np.ndarray, "*any"],
        prior: float = 0.5,
        seconds: Float[np.ndarray, "*any"] | float = 1.0,
    ) -> Float[np.ndarray, "*any"]:
        """How probable it is that one person speaks, if it was ``prior`` before anything was heard."""
        return probability(self.ratios(scores, seconds), prior)


def trial_seconds(
    one: Float[np.ndarray, "*any"] | float, other: Float[np.ndarray, "*any"] | float
) -> Float[np.ndarray, "*any"]:
    """The duration of a trial: the harmonic mean of those of its recordings, of which the shorter one counts more.

    >>> float(trial_seconds(2.0, 6.0))
    3.0
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    return 2 * one * other / np.maximum(one + other, 1e-12)


def _log_duration(seconds: Float[np.ndarray, "*any"] | float) -> Float[np.ndarray, "*any"]:
    return np.log(np.clip(np.asarray(seconds, float), *DURATIONS))


def log_odds(probability: float) -> float:
    """Of a probability between 0 and 1, both excluded.

    >>> log_odds(0.5)
    0.0
    """
    return float(np.log(probability / (1 - probability)))


def probability(ratios: Float[np.ndarray, "*any"], prior: float) -> Float[np.ndarray, "*any"]:
    """How probable it is that one person speaks, by a log-likelihood ratio, if it was ``prior`` before."""
    return 1 / (1 + np.exp(-(np.asarray(ratios, float) + log_odds(prior)).clip(-BOUND, BOUND)))


def calibrate(
    scores: Float[np.ndarray, " trial"],
    same: Bool[np.ndarray, " trial"],
    seconds: Float[np.ndarray, " trial"] | None = None,
) -> Calibration:
    """The line that makes log-likelihood ratios of scores: logistic regression, both kinds of pairs of equal weight.

    Args:
        scores: of people whom the embedder has not learnt from.
        same: which pairs are of one person.
        seconds: the duration of each trial, where the line is to depend on it.

    Raises:
        InputError: pairs of one kind alone.
    """
    scores, same = np.asarray(scores, float), np.asarray(same, bool)
    if same.all() or not same.any():
        raise InputError("Scores are calibrated with pairs of one person and pairs of two.")
    centre, spread = scores.mean(), max(scores.std(), 1e-12)
    figures = np.stack([np.ones(len(scores)), (scores - centre) / spread], 1)
    if seconds is not None:
        figures = np.concatenate([figures, figures * _log_duration(seconds)[:, None]], 1)
    weights = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    line = np.zeros(figures.shape[1])
    for _ in range(STEPS):  # Newton's
        probable = 1 / (1 + np.exp(-(figures @ line).clip(-BOUND, BOUND)))
        slope = figures.T @ (weights * (same - probable)) - PENALTY * line
        curvature = (figures * (weights * probable * (1 - probable))[:, None]).T @ figures
        line += np.linalg.solve(curvature + PENALTY * np.eye(len(line)), slope)
    shifts, scales = line[0::2], line[1::2] / spread
    shifts = shifts - scales * centre
    fitted = [value for pair in zip(scales.tolist(), shifts.tolist(), strict=True) for value in pair]
    return Calibration(*fitted)


@dataclass(frozen=True)
class Errors:
    """How often calibrated answers were wrong on people whom an embedder had not heard.

    Attributes:
        thresholds: log-likelihood ratios, rising.
        seconds: of speech in each recording, rising; the last: or more.
        refused: by seconds and threshold, share of the pairs of one person with that ratio or less.
        accepted: share of the pairs of two with more.
    """

    thresholds: tuple[float, ...]
    seconds: tuple[float, ...]
    refused: tuple[tuple[float, ...], ...]
    accepted: tuple[tuple[float, ...], ...]

    def at(self, threshold: float, seconds: float) -> tuple[float, float]:
        """Shares that were refused and accepted, of recordings of at most so many seconds of those that were tested.

        Args:
            threshold: a log-likelihood ratio; beyond those that were tested the last one counts.
            seconds: of speech; of less than the shortest ones that were tested, these.
        """
        row = max(0, int(np.searchsorted(self.seconds, seconds, side="right")) - 1)
        refused, accepted = (
            np.interp(threshold, self.thresholds, table[row]) for table in (self.refused, self.accepted)
        )
        return float(refused), float(accepted)

    @classmethod
    def read(cls, stated: Mapping[str, Any]) -> "Errors":
        """As a card has it, with lists.

        Raises:
            TypeError: other fields.
            ValueError: what is no table of numbers.
        """
        lists = {name: np.array(value, float).tolist() for name, value in stated.items()}
        for name in ("refused", "accepted"):
            lists[name] = [tuple(row) for row in lists.get(name, [])]
        read = cls(**{name: tuple(value) for name, value in lists.items()})
        shape = (len(read.seconds), len(read.thresholds))
        if np.shape(read.refused) != shape or np.shape(read.accepted) != shape or 0 in shape:
            raise ValueError("A table of errors has a row for each duration, a column for each threshold.")
        return read

    @classmethod
    def of(
        cls,
        trials: Mapping[float, tuple[Float[np.ndarray, " trial"], Bool[np.ndarray, " trial"]]],
        thresholds: Sequence[float],
    ) -> "Errors":
        """Count errors.

        Args:
            trials: by seconds, the log-likelihood ratios, and which pairs are of one person.
            thresholds: rising.

        Raises:
            ValueError: pairs of one kind alone.
        """
        refused, accepted = [], []
        for _, (ratios, same) in sorted(trials.items()):
            ratios, same = of_both_kinds(ratios, same)
            taken = ratios[:, None] > np.array(thresholds)
            refused.append(tuple((1 - taken[same].mean(0)).tolist()))
            accepted.append(tuple(taken[~same].mean(0).tolist()))
        return cls(tuple(thresholds), tuple(sorted(trials)), tuple(refused), tuple(accepted))
