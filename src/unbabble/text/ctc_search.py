"""The searches of CTC alone, frame by frame: greedy, over prefixes, and over the words of a lexicon.

    A. Graves, N. Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", ICML 2014: prefixes.
    Y. Miao, M. Gowayyed, F. Metze, "EESEN: end-to-end speech recognition using deep RNN models and WFST-based
    decoding", ASRU 2015: words, and posteriors that are divided by priors.

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
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from heapq import nlargest
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbabble.text import ctc
from unbabble.text.hypothesis import Hypothesis, ranked, spell
from unbabble.text.lexicon import ROOT, Lexicon
from unbabble.text.tokens import BLANK
from unbabble.text.word_scores import PieceScores, WordScores

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


class _Paths:
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
        self.token[place] = _sum(before, score)
        return score > before and score > self.blank.get(place, NEVER)

    def keep(self, ahead: Callable[[int], float]) -> None:
        """Keep the best hypotheses, by their totals and what lies ahead of their places."""
        blank = self.blank
        total = {place: _sum(token, blank.get(place, NEVER)) for place, token in self.token.items()}
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
    paths = _Paths(BLANK, symbols, pruning)
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
        later: int = 16,
    ) -> None:
        self._lexicon, self._words, self._pruning, self._later = lexicon, words, pruning, later
        self._log_prior, self._share = log_prior, prior_share
        self._ahead = [0.0, *lexicon.best[1:]]  # between two words nothing is begun
        # A place is (history, node of the lexicon, last token); a history is the number of a state of the words.
        self._nodes, self._symbols = len(lexicon), lexicon.symbols + 1
        self._histories = [words.start()]
        self._numbers: dict[Hashable, int] = {self._histories[0]: 0}
        self._endings: dict[int, tuple[tuple[str, float, int], ...]] = {}  # words that end at (history, node)
        self._paths = _Paths(0, self._symbols, pruning)
        self._said: dict[int, _Said | None] = {0: None}
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
                self._paths.wait(frame)
            if self._frame % SEEN_EVERY == 0:
                total = self._paths.total
                said = [self._said[place] for place in total]
                self._seen.append(_Seen(self._frame, list(total.values()), said))
            self._frame += 1

    def fork(self) -> "LexiconSearch":
        """The same search once more: frames that one of the two is given later, the other does not get."""
        other = copy(self)  # what words cost, and where they lead, both may know
        other._paths, other._seen = copy(self._paths), [*self._seen]
        return other

    def hypotheses(self, best: int = 8) -> list[Hypothesis]:
        """What was said, if it ends here; the best first.

        What was begun last and is no word yet is left out, and only where no hypothesis ends with a word.
        """
        total = self._paths.total
        found: dict[tuple[str, ...], tuple[float, float, _Said | None]] = {}
        for place in [each for each in total if self._node(each) == ROOT] or total:
            history, said = place // self._symbols // self._nodes, self._said[place]
            score = total[place] + self._words.end(self._histories[history])
            row = tuple(each.word for each in _row(said))
            whole, greatest, before = found.get(row, (NEVER, NEVER, None))
            found[row] = _sum(whole, score), max(greatest, score), before if greatest > score else said
        totals, _, rows = zip(*found.values(), strict=True)
        seen = [*self._seen, _Seen(self._frame + self._later, totals, rows)]
        order = nlargest(best, range(len(totals)), key=totals.__getitem__)
        return [self._hypothesis(totals[number], _row(rows[number]), seen) for number in order]

    def settled(self) -> tuple[str, ...]:
        """The words with which every hypothesis begins: whatever comes, these stay."""
        rows = [[each.word for each in _row(self._said[place])] for place in self._paths.total]
        alike = takewhile(lambda words: len(set(words)) == 1, zip(*rows, strict=False))
        return tuple(words[0] for words in alike)

    def _node(self, place: int) -> int:
        return place // self._symbols % self._nodes

    def _extend(self, frame: Frame) -> None:
        """One frame: every hypothesis stays, or goes on in the tree."""
        nodes, symbols, ahead, children_of = self._nodes, self._symbols, self._ahead, self._lexicon.children
        paths, said, endings = (
            self._paths,
            {place: self._said[place] for place in self._paths.total},
            self._endings,
        )
        blanks = paths.blank
        paths.stay(frame)
        best = max(total + ahead[place // symbols % nodes] for place, total in paths.total.items())
        least = best + frame.blank - self._pruning.margin  # what arrives with less would not be kept
        for place, total in paths.total.items():
            at, last = divmod(place, symbols)
            history, node = divmod(at, nodes)
            children, before = children_of(node), said[place]
            for token, score in frame.tokens:
                child = children.get(token)
                if child is None:
                    continue
                arrived = (blanks[place] if token == last else total) + score
                if arrived == NEVER or arrived + ahead[child] < least:
                    continue
                at = history * nodes + child
                if children_of(child) and paths.arrive(at * symbols + token, arrived):
                    said[at * symbols + token] = before
                ending = endings.get(at)
                if ending is None:
                    ending = endings[at] = self._end(history, child)
                for word, added, after in ending:
                    longer = after * symbols + token
                    if paths.arrive(longer, arrived + added):
                        said[longer] = _Said(before, word, child, self._frame)
        paths.keep(lambda place: ahead[place // symbols % nodes])
        self._said = said

    def _end(self, history: int, node: int) -> tuple[tuple[str, float, int], ...]:
        """Words that end at a node after a history: the word, what it adds, and the root after the longer history."""
        result = []
        for word in self._lexicon.words(node):
            added, state = self._words.score(self._histories[history], word)
            number = self._numbers.setdefault(state, len(self._histories))
            if number == len(self._histories):
                self._histories.append(state)
            result.append((word, added, number * self._nodes + ROOT))
        return tuple(result)

    def _hypothesis(self, score: float, row: list["_Said"], seen: list["_Seen"]) -> Hypothesis:
        tokens = [self._lexicon.tokens(each.node) for each in row]
        joined = tuple(token for each in tokens for token in each)
        words = tuple(each.word for each in row)
        looks = [next(look for look in seen if look.frame >= each.frame + self._later) for each in row]
        posteriors = tuple(look.share(each) for look, each in zip(looks, row, strict=True))
        return Hypothesis(joined, words, tuple(map(len, tokens)), score, posteriors)


SEEN_EVERY = 5
"""Frames between two looks at the beam, for the posteriors of words."""
AS_LATE = 6
"""A word that ends so many frames earlier or later in another hypothesis is the same."""


class _Said(NamedTuple):
    """The last word of a hypothesis, and those before: a list that hypotheses share."""

    before: "_Said | None"
    word: str
    node: int
    frame: int


class _Seen(NamedTuple):
    """All hypotheses at some frame: totals and words."""

    frame: int
    totals: Sequence[float]
    said: Sequence[_Said | None]

    def share(self, word: _Said) -> float:
        """Of those that have a word at about the same time, from 0 to 1."""
        whole = within = NEVER
        for total, said in zip(self.totals, self.said, strict=True):
            whole = _sum(whole, total)
            while said and said.frame >= word.frame - AS_LATE:
                if said.word == word.word and said.frame <= word.frame + AS_LATE:
                    within = _sum(within, total)
                    break
                said = said.before
        return math.exp(min(within - whole, 0.0)) if whole > NEVER else 0.0


def _row(said: _Said | None) -> list[_Said]:
    row = []
    while said:
        row.append(said)
        said = said.before
    return row[::-1]


def _sum(one: float, other: float) -> float:
    """log(exp one + exp other)."""
    if one < other:
        one, other = other, one
    return one if other == NEVER else one + math.log1p(math.exp(other - one))
