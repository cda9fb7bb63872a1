"""The search of CTC over the words of a lexicon, for recordings that may come in parts.

    Y. Miao, M. Gowayyed, F. Metze, "EESEN: end-to-end speech recognition using deep RNN models and WFST-based
    decoding", ASRU 2015: words, and posteriors that are divided by priors.

How paths are summed frame by frame stands in ``ctc_search``. Here a hypothesis also has a node of the lexicon, the tree
of pronunciations, and the words that it has been through.
"""

import math
from collections.abc import Hashable, Sequence
from copy import copy
from heapq import nlargest
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unbabble.text.ctc_search import NEVER, Frame, Paths, Pruning, frames, log_sum, without_prior
from unbabble.text.hypothesis import Hypothesis
from unbabble.text.lexicon import ROOT, Lexicon
from unbabble.text.word_scores import WordScores


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
        self._paths = Paths(0, self._symbols, pruning)
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
            found[row] = log_sum(whole, score), max(greatest, score), before if greatest > score else said
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
            whole = log_sum(whole, total)
            while said and said.frame >= word.frame - AS_LATE:
                if said.word == word.word and said.frame <= word.frame + AS_LATE:
                    within = log_sum(within, total)
                    break
                said = said.before
        return math.exp(min(within - whole, 0.0)) if whole > NEVER else 0.0


def _row(said: _Said | None) -> list[_Said]:
    row = []
    while said:
        row.append(said)
        said = said.before
    return row[::-1]
