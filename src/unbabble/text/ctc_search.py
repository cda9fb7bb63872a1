"""The searches of CTC alone, frame by frame: greedy, and over prefixes; that of a lexicon is in ``lexicon_search``.

    A. Graves, N. Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML 2014.

Of each hypothesis two numbers are kept, as CTC collapses what is equal: the log-probability of its paths that end in a
blank, and of those that end in its last token, both with the score of its words. One frame later

    blank     (blank + token) p(blank)
    token     token p(last token), and what comes from shorter hypotheses: (blank + token) p(c), or blank p(c) where the
              last token is c already, for the same again without a blank is the same token

Frames that are blank for certain only move ``token`` to ``blank``, and are not searched. A hypothesis is a number here,
its *place*, and ``place % symbols`` is its last token: Python's dictionaries are quick with numbers, and its garbage
collector has nothing to do.

Log-probabilities are natural, arrays are (frame, token) with the blank in column 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbabble.text import ctc
from unbabble.text.hypothesis import Hypothesis, ranked, spell
from unbabble.text.tokens import BLANK
from unbabble.text.word_scores import PieceScores

NEVER = -math.inf


@dataclass(frozen=True)
class Pruning:
    """What a search gives up early. ``EXACT`` gives up nothing.

    Attributes:
        beam: hypotheses that are kept after each frame.
        margin: those that are so many nats worse than the best are not.
        tokens: with so many tokens, the most probable of a frame, hypotheses go on.
        least: not with tokens whose log-probability in a frame is lower.
        blank: frames whose blank has at least this probability are not searched.
    """

    beam: int = 80
    margin: float = 14.0
    tokens: int = 8
    least: float = -7.0
    blank: float = 0.995


EXACT = Pruning(beam=10**9, margin=math.inf, tokens=10**9, least=NEVER, blank=2.0)


class Frame(NamedTuple):
    """What a search sees of a frame.

    Attributes:
        blank: score of the blank.
        tokens: scores of the tokens with which hypotheses go on; none where the frame is certainly blank.
        scores: of all tokens.
    """

    blank: float
    tokens: list[tuple[int, float]]
    scores: list[float]


def greedy(log_probs: Float[np.ndarray, "frame token"], inventory: Sequence[str] = ()) -> Hypothesis:
    """The row of the best path: of the most probable symbol of each frame.

    Args:
        log_probs: a recording's.
        inventory: pieces, for the words of the result; empty where tokens spell none.
    """
    path = log_probs.argmax(1)
    tokens = tuple(ctc.collapse(path))
    words, lengths = spell(tokens, inventory) if inventory else ((), ())
    return Hypothesis(tokens, words, lengths, float(log_probs.max(1).sum(dtype=float)))


def without_prior(
    log_probs: Float[np.ndarray, "frame token"], log_prior: Float[np.ndarray, " token"], share: float
) -> Float[np.ndarray, "frame token"]:
    """Posteriors divided by a power of the priors of their symbols: what a frame says of them that training did not.

    CTC has the blank in most frames, and a frequent token rather than a rare one; a lexicon and a language model know
    the frequencies too.

    Args:
        log_probs: a recording's.
        log_prior: of each symbol, the blank too: the log of its mean posterior over the frames of the training set.
        share: the power; 0 leaves them as they are, 1 divides by the priors.
    """
    return log_probs - share * log_prior


def frames(
    log_probs: Float[np.ndarray, "frame token"], scores: Float[np.ndarray, "frame token"], pruning: Pruning
) -> list[Frame]:
    """What a search sees of each frame.

    Args:
        log_probs: by which tokens are left out.
        scores: what they count for.
        pruning: how many.
    """
    best = np.argsort(-log_probs[:, 1:], axis=1)[:, : pruning.tokens] + 1
    certain = np.exp(log_probs[:, BLANK].astype(np.float64)) >= pruning.blank
    rows = scores.astype(np.float64).tolist()
    result = []
    for row, order, blank, kept in zip(rows, best.tolist(), certain.tolist(), log_probs, strict=True):
        likely = [] if blank else [token for token in order if kept[token] > pruning.least]
        result.append(Frame(row[BLANK], [(token, row[token]) for token in likely], row))
    return result


class Paths:
    """Paths through the frames so far, of all hypotheses that are kept, by their places.

    Attributes:
        blank: log of their sum, of those that end in a blank; nothing where there are none.
        token: of those that end in the last token.
        total: of both.
    """

    def __init__(self, start: int, symbols: int, pruning: Pruning) -> None:
        self._symbols, self._pruning = symbols, pruning
        self.blank, self.token, self.total = {start: 0.0}, {start: NEVER}, {start: 0.0}

    def wait(self, frame: Frame) -> None:
        """A frame that is blank for certain."""
        self.total = self.blank = {place: total + frame.blank for place, total in self.total.items()}
        self.token = dict.fromkeys(self.blank, NEVER)

    def stay(self, frame: Frame) -> None:
        """A frame in which no hypothesis gets longer; ``total`` remains that of the frame before, until ``keep``."""
        scores, symbols, token = frame.scores, self._symbols, self.token
        self.blank = {place: total + frame.blank for place, total in self.total.items()}
        self.token = {place: token[place] + scores[place % symbols] for place in self.total}

    def arrive(self, place: int, score: float) -> bool:
        """Paths from a shorter hypothesis; whether they are better than all that were there."""
        before = self.token.get(place)
        if before is None:
            self.token[place] = score
            return True
        self.token[place] = log_sum(before, score)
        return score > before and score > self.blank.get(place, NEVER)

    def keep(self, ahead: Callable[[int], float]) -> None:
        """Keep the best hypotheses, by their totals and what lies ahead of their places."""
        blank = self.blank
        total = {place: log_sum(token, blank.get(place, NEVER)) for place, token in self.token.items()}
        score = {place: value + ahead(place) for place, value in total.items()}
        best = max(score.values())
        if best > NEVER:  # else the words do not allow what the frames do
            least = best - self._pruning.margin
            kept = [place for place, value in score.items() if value >= least and value > NEVER]
            if len(kept) > self._pruning.beam:
                kept = nlargest(self._pruning.beam, kept, key=score.__getitem__)
            total = {place: total[place] for place in kept}
        self.total = total
        self.blank = {place: blank.get(place, NEVER) for place in total}


def prefix_beam(
    log_probs: Float[np.ndarray, "frame token"],
    inventory: Sequence[str] = (),
    *,
    words: PieceScores | None = None,
    pruning: Pruning = Pruning(),
    best: int = 8,
) -> list[Hypothesis]:
    """Rows of tokens by the sum over their paths, and by the words that they spell.

    Args:
        log_probs: a recording's.
        inventory: pieces, for the words of the result; empty where tokens spell none.
        words: what pieces of words add.
        pruning: what is given up early.
        best: how many hypotheses are returned at most.

    Returns:
        The best first; never empty.
    """
    symbols = log_probs.shape[1]
    paths = Paths(BLANK, symbols, pruning)
    before = [0]  # of each row, by its number, the row without the last token; a place is (row, last token)
    after: dict[
        int, tuple[int, float]
    ] = {}  # the place of each longer row by that of the shorter, and what it adds
    spelled = [words.start() if words else None]
    for frame in frames(log_probs, log_probs, pruning):
        if not frame.tokens:
            paths.wait(frame)
            continue
        blanks = paths.blank
        paths.stay(frame)
        for place, total in paths.total.items():
            row, last = divmod(place, symbols)
            for token, score in frame.tokens:
                arrived = (blanks[place] if token == last else total) + score
                if arrived == NEVER:
                    continue
                link = place * symbols + token
                if link not in after:
                    added, state = 0.0, spelled[row]
                    if words and state:
                        added, state = words.score(state, token)
                    after[link] = len(before) * symbols + token, added
                    before.append(place)
                    spelled.append(state)
                longer, added = after[link]
                paths.arrive(longer, arrived + added)
        paths.keep(lambda place: 0.0)

    def end(place: int) -> float:
        state = spelled[place // symbols]
        return words.end(state) if words and state else 0.0

    def tokens_of(place: int) -> tuple[int, ...]:
        tokens = []
        while place:
            tokens.append(place % symbols)
            place = before[place // symbols]
        return tuple(tokens[::-1])

    scores = {place: total + end(place) for place, total in paths.total.items()}
    found = [(scores[place], tokens_of(place)) for place in nlargest(best, scores, key=scores.__getitem__)]
    return ranked(found, inventory)


def log_sum(one: float, other: float) -> float:
    """log(exp one + exp other)."""
    if one < other:
        one, other = other, one
    return one if other == NEVER else one + math.log1p(math.exp(other - one))
