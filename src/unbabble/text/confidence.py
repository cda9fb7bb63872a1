"""How sure a recognised word is: the probability that it is right, calibrated on speech that was not learnt from.

What a search knows of a word (``hypothesis.Word``) ranks words by how often they are wrong, and says little of how
often that is: a search looks at far fewer texts than there are. So a logistic regression turns it into a probability,

    confidence = 1 / (1 + exp(-(bias + posterior · log-odds of the word's posterior
                                + evidence · mean log-probability of its tokens + length · log of how many there are)))

    J. C. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers, 1999: that
    scores are calibrated so.

Whether confidences are calibrated, ``reliability`` shows: of the words with a confidence of .8, four in five are right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from unbabble.base.errors import InputError
from unbabble.text.hypothesis import Word

SUREST = 0.998
"""A posterior is taken for no more, and for no less than the rest to 1: beams hold few hypotheses."""
STEPS, PENALTY = 30, 1e-3


@dataclass(frozen=True)
class Calibration:
    """Weights of a logistic regression.

    Attributes:
        bias: log-odds of a word with one token, all of whose other figures are 0.
        posterior: of the log-odds of a word's posterior.
        evidence: of the mean log-probability of its tokens, each in its best frame.
        length: of the log of how many tokens it has.
        least: no weight: where the words of a stretch have a lower mean confidence, they are no speech; 0 where nobody
            has chosen it.
    """

    bias: float
    posterior: float
    evidence: float
    length: float
    least: float = 0.0

    def __call__(self, word: Word) -> float:
        """How probable it is that a word is right, from 0 to 1."""
        weights = (self.bias, self.posterior, self.evidence, self.length)
        odds = float(np.dot(weights, _figures(word)))
        return 1 / (1 + exp(-odds)) if odds > 0 else exp(odds) / (1 + exp(odds))


def calibrate(words: Sequence[Word], right: Sequence[bool]) -> Calibration:
    """The weights with which it is most probable that those words are right that are.

    Args:
        words: of speech that the recogniser has not learnt from.
        right: whether each is what was said.

    Raises:
        InputError: all are right, or none is.
    """
    truth = np.array(right, bool)
    if not len(words) or truth.all() or not truth.any():
        raise InputError("Confidences are calibrated with words that are right and words that are wrong.")
    figures = np.array([_figures(word) for word in words])
    weights = np.zeros(figures.shape[1])
    for _ in range(STEPS):  # Newton's; the penalty bounds weights where a figure parts right from wrong
        probable = 1 / (1 + np.exp(-(figures @ weights).clip(-30, 30)))
        slope = figures.T @ (truth - probable) - PENALTY * weights
        curvature = (figures * (probable * (1 - probable))[:, None]).T @ figures
        weights += np.linalg.solve(curvature + PENALTY * np.eye(len(weights)), slope)
    return Calibration(*weights.tolist())


class Bin(NamedTuple):
    """Words of like confidence.

    Attributes:
        words: how many.
        confidence: their mean.
        right: how many of one are right.
    """

    words: int
    confidence: float
    right: float


def reliability(
    confidences: Float[np.ndarray, " word"], right: Bool[np.ndarray, " word"], bins: int = 10
) -> list[Bin]:
    """Words by their confidence, in ranges of equal width; ranges without words are left out.

    >>> reliability(np.array([0.12, 0.18, 0.95]), np.array([False, True, True]))
    [Bin(words=2, confidence=0.15, right=0.5), Bin(words=1, confidence=0.95, right=1.0)]
    """
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    members = [place == number for number in np.unique(place)]
    return [
        Bin(int(each.sum()), round(float(confidences[each].mean()), 12), float(right[each].mean()))
        for each in members
    ]


def calibration_error(bins: Iterable[Bin]) -> float:
    """By how much confidences are off: the mean over words of the difference in their range."""
    rows = list(bins)
    return sum(each.words * abs(each.confidence - each.right) for each in rows) / sum(
        each.words for each in rows
    )


def _figures(word: Word) -> tuple[float, float, float, float]:
    posterior = min(max(word.posterior, 1 - SUREST), SUREST)
    return 1.0, log(posterior / (1 - posterior)), word.evidence, log(len(word.tokens))
