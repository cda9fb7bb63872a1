"""The searches of CTC alone, frame by frame: greedy, over prefixes, and over the words of a lexicon.

    A. Graves, N. Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML 2014: prefixes.
    Y. Miao, M. Gowayyed, F. Metze, "EESEN: end-to-end speech recognition using deep RNN models and WFST-based
    decoding", ASRU 2015: words, and posteriors that are divided by priors.

Of each hypothesis two numbers are kept, as CTC collapses what is equal: the log-probability of its paths that end in a
blank, and of those that end in its last token. With the score of its words these two are *totals*: a hypothesis is
better, whose totals are greater together. One frame later

    blank     (blank + token) p(blank)
    token     token p(last token), and what comes from shorter hypotheses: (blank + token) p(c), or blank p(c) where the
              last token is c already, for the same again without a blank is the same token

Frames that are blank for certain only move ``token`` to ``blank``, and are not searched.

Log-probabilities are natural, arrays are (frame, token) with the blank in column 0.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float

from unbabble.text import ctc
from unbabble.text.ctc import BLANK
from unbabble.text.hypothesis import Hypothesis, spell
from unbabble.text.lexicon import ROOT, Lexicon
from unbabble.text.word_scores import PieceScores, Spelled, WordScores

NEVER = -math.inf
Key = TypeVar("Key", bound=Hashable)


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
    beam: dict[tuple[int, ...], _Totals] = {(): [0.0, NEVER]}
    spelled: dict[tuple[int, ...], Spelled | None] = {(): words.start() if words else None}
    added: dict[tuple[int, ...], float] = {}
    for frame in frames(log_probs, log_probs, pruning):
        if not frame.tokens:
            _wait(beam.values(), frame.blank)
            continue
        following: dict[tuple[int, ...], _Totals] = {}
        for row, (blank, token) in beam.items():
            last = row[-1] if row else BLANK
            total = _sum(blank, token)
            _arrive(following, row, total + frame.blank, token + frame.scores[last])
            for number, score in frame.tokens:
                arrived = (blank if number == last else total) + score
                if arrived == NEVER:
                    continue
                longer = (*row, number)
                if words and longer not in added:
                    state = spelled[row]
                    assert state is not None
                    added[longer], spelled[longer] = words.score(state, number)
                _arrive(following, longer, NEVER, arrived + added.get(longer, 0.0))
        beam = _kept(following, pruning, lambda row: 0.0)
    ends = {row: words.end(state) if words and (state := spelled[row]) else 0.0 for row in beam}
    found = nlargest(best, ((_sum(*totals) + ends[row], row) for row, totals in beam.items()))
    names = [spell(row, inventory) if inventory else ((), ()) for _, row in found]
    return [Hypothesis(row, *name, score=score) for (score, row), name in zip(found, names, strict=True)]


def lexicon_beam(
    log_probs: Float[np.ndarray, "frame token"],
    lexicon: Lexicon,
    words: WordScores,
    *,
    log_prior: Float[np.ndarray, " token"] | None = None,
    prior_share: float = 0.5,
    pruning: Pruning = Pruning(),
    best: int = 8,
) -> list[Hypothesis]:
    """Words of a lexicon, by the sum over the paths of their pronunciations, and by what the words add.

    Args:
        log_probs: a recording's, of the lexicon's symbols.
        lexicon: its ``best`` is what words add by themselves, to look ahead.
        words: what finished words add.
        log_prior: see ``without_prior``; None to leave the posteriors as they are.
        prior_share: their power.
        pruning: what is given up early.
        best: how many hypotheses are returned at most.

    Returns:
        The best first; never empty.
    """
    search = LexiconSearch(lexicon, words, log_prior, prior_share, pruning)
    search.add(log_probs)
    return search.hypotheses(best)


class LexiconSearch:
    """The search of ``lexicon_beam``, whose recording may come in parts.

    Hypotheses whose last words ``WordScores`` cannot tell from one another are one, with the totals of both and the
    words of the better.

    Args:
        lexicon: its ``best`` is what words add by themselves, to look ahead.
        words: what finished words add.
        log_prior: see ``without_prior``; None to leave the posteriors as they are.
        prior_share: their power.
        pruning: what is given up early.
        later: the posterior of a word is its share of the beam so many frames after its end: what follows decides too.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        words: WordScores,
        log_prior: Float[np.ndarray, " token"] | None = None,
        prior_share: float = 0.5,
        pruning: Pruning = Pruning(),
        later: int = 10,
    ) -> None:
        self._lexicon, self._words, self._pruning, self._later = lexicon, words, pruning, later
        self._log_prior, self._share = log_prior, prior_share
        start = (words.start(), ROOT, BLANK)
        self._beam: dict[_Place, _Totals] = {start: [0.0, NEVER]}
        self._said: dict[_Place, _Said | None] = {start: None}
        self._seen: list[_Seen] = []
        self._frame = 0

    def add(self, log_probs: Float[np.ndarray, "frame token"]) -> None:
        """The next frames of the recording."""
        scores = log_probs
        if self._log_prior is not None:
            scores = without_prior(log_probs, self._log_prior, self._share)
        for frame in frames(log_probs, scores, self._pruning):
            if frame.tokens:
                self._extend(frame)
            else:
                _wait(self._beam.values(), frame.blank)
            if self._frame % SEEN_EVERY == 0:
                beam = [(_sum(*totals), self._said[place]) for place, totals in self._beam.items()]
                self._seen.append(_Seen(self._frame, beam))
            self._frame += 1

    def hypotheses(self, best: int = 8) -> list[Hypothesis]:
        """What was said, if it ends here; the best first.

        What was begun last and is no word yet is left out, and only where no hypothesis ends with a word.
        """
        whole = [place for place in self._beam if place[1] == ROOT] or list(self._beam)
        found: dict[tuple[str, ...], tuple[float, float, _Said | None]] = {}
        for place in whole:
            score, said = _sum(*self._beam[place]) + self._words.end(place[0]), self._said[place]
            row = tuple(each.word for each in _row(said))
            total, greatest, before = found.get(row, (NEVER, NEVER, None))
            found[row] = _sum(total, score), max(greatest, score), before if greatest > score else said
        last = _Seen(self._frame + self._later, [(total, said) for total, _, said in found.values()])
        order = nlargest(best, found.values(), key=lambda each: each[0])
        return [self._hypothesis(total, _row(said), [*self._seen, last]) for total, _, said in order]

    def _extend(self, frame: Frame) -> None:
        """One frame: every hypothesis stays, or goes on in the tree."""
        children_of, words_at, score_word = self._lexicon.children, self._lexicon.words, self._words.score
        beam: dict[_Place, _Totals] = {}
        said: dict[_Place, _Said | None] = {}
        for place, (blank, token) in self._beam.items():
            state, node, last = place
            total, before = _sum(blank, token), self._said[place]
            if _arrive(beam, place, total + frame.blank, token + frame.scores[last]):
                said[place] = before
            children = children_of(node)
            for number, score in frame.tokens:
                child = children.get(number)
                if child is None:
                    continue
                arrived = (blank if number == last else total) + score
                if arrived == NEVER:
                    continue
                inside = (state, child, number)
                if children_of(child) and _arrive(beam, inside, NEVER, arrived):
                    said[inside] = before
                for word in words_at(child):
                    added, after = score_word(state, word)
                    ended = (after, ROOT, number)
                    if _arrive(beam, ended, NEVER, arrived + added):
                        said[ended] = _Said(before, word, child, self._frame)
        ahead = self._lexicon.best
        self._beam = _kept(beam, self._pruning, lambda place: ahead[place[1]] if place[1] else 0.0)
        self._said = said

    def _hypothesis(self, score: float, row: list["_Said"], seen: list["_Seen"]) -> Hypothesis:
        tokens = [self._lexicon.tokens(each.node) for each in row]
        posteriors = []
        for each in row:
            beam = next(look.beam for look in seen if look.frame >= each.frame + self._later)
            whole = within = NEVER
            for total, other in beam:
                whole = _sum(whole, total)
                if _has(other, each):
                    within = _sum(within, total)
            posteriors.append(math.exp(min(within - whole, 0.0)) if whole > NEVER else 0.0)
        joined = tuple(token for each in tokens for token in each)
        words = tuple(each.word for each in row)
        return Hypothesis(joined, words, tuple(map(len, tokens)), score, tuple(posteriors))


SEEN_EVERY = 5
"""Frames between two looks at the beam, for the posteriors of words."""
AS_LATE = 6
"""A word that ends so many frames earlier or later in another hypothesis is the same."""

_Totals: TypeAlias = list[float]
"""Of the paths that end in a blank, and of those that end in the last token."""
_Place: TypeAlias = tuple[Hashable, int, int]
"""Where a hypothesis is: state of its words, node of the lexicon, last token."""


class _Said(NamedTuple):
    """The last word of a hypothesis, and those before: a list that hypotheses share."""

    before: "_Said | None"
    word: str
    node: int
    frame: int


class _Seen(NamedTuple):
    """The beam at some frame: totals and words."""

    frame: int
    beam: list[tuple[float, _Said | None]]


def _row(said: _Said | None) -> list[_Said]:
    row = []
    while said:
        row.append(said)
        said = said.before
    return row[::-1]


def _has(said: _Said | None, word: _Said) -> bool:
    """Whether a hypothesis has a word at about the same time."""
    while said and said.frame >= word.frame - AS_LATE:
        if said.word == word.word and said.frame <= word.frame + AS_LATE:
            return True
        said = said.before
    return False


def _sum(one: float, other: float) -> float:
    """log(exp one + exp other)."""
    if one < other:
        one, other = other, one
    return one if other == NEVER else one + math.log1p(math.exp(other - one))


def _wait(beam: Iterable[_Totals], blank: float) -> None:
    """A frame that is blank for certain."""
    for totals in beam:
        totals[:] = _sum(*totals) + blank, NEVER


def _arrive(beam: dict[Key, _Totals], key: Key, blank: float, token: float) -> bool:
    """Add paths to a hypothesis; whether they are better than those that it had."""
    totals = beam.get(key)
    if totals is None:
        beam[key] = [blank, token]
        return True
    better = max(blank, token) > max(totals)
    totals[0], totals[1] = _sum(totals[0], blank), _sum(totals[1], token)
    return better


def _kept(beam: dict[Key, _Totals], pruning: Pruning, ahead: Callable[[Key], float]) -> dict[Key, _Totals]:
    """The best hypotheses, by their totals and what lies ahead of them."""
    scored = [(_sum(*totals) + ahead(key), key) for key, totals in beam.items()]
    best = max(score for score, _ in scored)
    if best == NEVER:  # what the frames allow, the words do not
        return beam
    scored = [each for each in scored if each[0] >= best - pruning.margin and each[0] > NEVER]
    if len(scored) > pruning.beam:
        scored = nlargest(pruning.beam, scored, key=lambda each: each[0])
    return {key: beam[key] for _, key in scored}
