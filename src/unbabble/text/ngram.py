"""An n-gram language model as a tree of histories: how probable a word is after the words before it.

Every n-gram that the model knows is a node; its children are the words that were seen after it. The root is the empty
history, its children are all words. A word that is no child of a history has the probability that it has after the
shorter history, times the back-off weight of the longer one:

    p(w | h) = p of the node (h, w) where there is one, else b(h) p(w | h')        h' is h without its first word

Nodes of all orders have one numbering, order by order, and the children of a node are neighbours, sorted by their
words. So the whole model is a few arrays, and a look-up is a bisection of the children of a few nodes. What a search
remembers is one number: the node of the longest history that can still make a difference.

Words are numbers from 1 on, the most frequent first; the last is the unknown word. 0 is the end of a sentence where it
is predicted, and its beginning where it is a history.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from unbabble.base.errors import InputError

ROOT = 0
"""The node of the empty history."""
BOUNDARY = 0
"""The word that ends a sentence, and that comes before its first."""
UNKNOWN = "<unk>"
END = "</s>"
"""How texts write the end of a sentence."""

Pronunciations: TypeAlias = Mapping[str, Sequence[tuple[str, ...]]]


@dataclass(frozen=True, eq=False)
class Level:
    """All n-grams of one order, sorted by their history and then by their word.

    Attributes:
        parents: the history of each: its place in the level before, ascending; zeros in the first.
        words: the last word of each.
        log_probs: natural log-probability of that word after that history.
        back_offs: natural log of what the probability of a word that never followed is multiplied with.
    """

    parents: Int[np.ndarray, " ngram"]
    words: Int[np.ndarray, " ngram"]
    log_probs: Float[np.ndarray, " ngram"]
    back_offs: Float[np.ndarray, " ngram"]

    def __len__(self) -> int:
        return len(self.words)


class NgramModel:
    """An n-gram model of words.

    Args:
        words: those it knows, the last is ``<unk>``; their numbers begin with 1.
        levels: n-grams by order; the first has the end of a sentence and every word, in the order of their numbers. The
            history of each n-gram is one, too.
        pronunciations: of its words, for a recogniser; may be empty.

    Attributes:
        order: words of the longest n-grams.
        first: (node + 1,) the first child of each node.
        nodes: (node,) the last word of each.
        log_probs: (node,) natural logs; 0 for the root.
        back_offs: (node,) natural logs.
        shorter: (node,) the longest history that is a node and an end of this one.
        following: (node,) what a search that has reached this n-gram goes on from: the longest end of it that has
            children or a back-off weight.

    Raises:
        InputError: an n-gram whose history is none, or words that are not those of the first level.
    """

    def __init__(
        self, words: Sequence[str], levels: Sequence[Level], pronunciations: Pronunciations | None = None
    ) -> None:
        whole = bool(words) and words[-1] == UNKNOWN and len(set(words)) == len(words)
        if not whole or not levels or not np.array_equal(levels[0].words, np.arange(len(words) + 1)):
            raise InputError("An n-gram model has one unigram for the end of a sentence and for each word.")
        self.words = tuple(words)
        self.pronunciations: Pronunciations = pronunciations or {}
        self.order = len(levels)
        self.counts = tuple(len(level) for level in levels)
        self._numbers = {word: number for number, word in enumerate(self.words, 1)}
        self._unknown = len(self.words)
        self._join(levels)

    def _join(self, levels: Sequence[Level]) -> None:
        """Number the nodes, find the shorter history of each, and lay out for bisection what look-ups read."""
        offsets = np.cumsum([0, 1, *self.counts])  # the root is a level of its own
        size = int(offsets[-1])
        self.nodes = np.concatenate([[0], *(level.words for level in levels)]).astype(np.int32)
        self.log_probs = np.concatenate([[0], *(level.log_probs for level in levels)]).astype(np.float32)
        self.back_offs = np.concatenate([[0], *(level.back_offs for level in levels)]).astype(np.float32)
        parents = np.concatenate(
            [[-1], *(level.parents + offsets[order] for order, level in enumerate(levels))]
        ).astype(np.int64)
        keys = parents * (len(self.words) + 1) + self.nodes
        if (np.diff(keys) <= 0).any():
            raise InputError("The n-grams of a model are sorted by their histories and words.")
        self.first = np.searchsorted(parents[1:], np.arange(size + 1)).astype(np.int32) + 1
        self.shorter = np.zeros(size, np.int32)
        for level in range(2, self.order + 1):
            here = slice(int(offsets[level]), int(offsets[level + 1]))
            self.shorter[here] = self._ends(keys, self.shorter[parents[here]], self.nodes[here])
        self.following = np.arange(size, dtype=np.int32)
        open_ended = (np.diff(self.first) > 0) | (self.back_offs != 0)
        for level in range(1, self.order + 1):  # the shorter ones are ready before the longer ones
            here = np.arange(offsets[level], offsets[level + 1])
            closed = here[~open_ended[here]] if level < self.order else here
            self.following[closed] = self.following[self.shorter[closed]]
        self._first, self._nodes = array("i", self.first.tobytes()), array("i", self.nodes.tobytes())
        self._log_probs, self._back_offs = (
            array("f", each.tobytes()) for each in (self.log_probs, self.back_offs)
        )
        self._shorter, self._following = (
            array("i", each.tobytes()) for each in (self.shorter, self.following)
        )

    def _ends(
        self,
        keys: Int[np.ndarray, " node"],
        histories: Int[np.ndarray, " some"],
        words: Int[np.ndarray, " some"],
    ) -> Int[np.ndarray, " some"]:
        """The node of each word after its history, or after the longest end of it that has that word."""
        histories, wanted = histories.astype(np.int64), words.astype(np.int64)
        found = wanted + 1  # of the empty history
        missing = histories.nonzero()[0]
        while len(missing):
            key = histories[missing] * (len(self.words) + 1) + wanted[missing]
            place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            hit = keys[place] == key
            found[missing[hit]] = place[hit]
            missing = missing[~hit]
            histories[missing] = self.shorter[histories[missing]]
            missing = missing[histories[missing] > 0]
        return found

    @property
    def size(self) -> int:
        """How many n-grams it has."""
        return sum(self.counts)

    def number(self, word: str) -> int:
        """The number of a word, that of the unknown word where it is none of them; 0 for ``</s>``."""
        return BOUNDARY if word == END else self._numbers.get(word, self._unknown)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers and word != UNKNOWN

    def start(self) -> int:
        """The state at the beginning of a sentence."""
        return self._following[1 + BOUNDARY]

    def score(self, state: int, word: str) -> tuple[float, int]:
        """Natural log-probability of a word after a state, ``</s>`` for the end, and the state after it.

        States that are equal go on alike.
        """
        return self.step(state, self.number(word))

    def step(self, state: int, number: int) -> tuple[float, int]:
        """As ``score``, for the number of a word."""
        nodes, first, total = self._nodes, self._first, 0.0
        while state:
            end = first[state + 1]
            child = bisect_left(nodes, number, first[state], end)
            if child < end and nodes[child] == number:
                return total + self._log_probs[child], self._following[child]
            total += self._back_offs[state]
            state = self._shorter[state]
        child = number + 1
        return total + self._log_probs[child], self._following[child]

    def log_prob(self, history: Sequence[int], number: int) -> float:
        """Natural log-probability of the word with a number after those with other numbers, the last of them last."""
        return self.step(self.state(history), number)[0]

    def state(self, history: Sequence[int]) -> int:
        """The state after the words with these numbers; 0, the beginning of a sentence, only as the first."""
        state = ROOT
        for number in history:
            state = self.step(state, number)[1]
        return state

    def distribution(self, state: int) -> Float[np.ndarray, " word"]:
        """Natural log-probabilities of the end, which is the first, and of all words after a state."""
        chain = []
        while state:
            chain.append(state)
            state = int(self.shorter[state])
        logs = self.log_probs[1 : len(self.words) + 2].astype(np.float64)
        for node in reversed(chain):
            logs += self.back_offs[node]
            children = slice(self.first[node], self.first[node + 1])
            logs[self.nodes[children]] = self.log_probs[children]
        return logs

    def levels(self) -> list[Level]:
        """Its n-grams by order."""
        parents = np.repeat(np.arange(len(self.nodes)), np.diff(self.first))
        offsets = np.cumsum([0, 1, *self.counts])
        levels = []
        for order in range(self.order):
            here = slice(int(offsets[order + 1]), int(offsets[order + 2]))
            above = parents[here.start - 1 : here.stop - 1] - offsets[order]
            levels.append(Level(above, self.nodes[here], self.log_probs[here], self.back_offs[here]))
        return levels


@dataclass(frozen=True)
class Fit:
    """How well a model predicts a text.

    Attributes:
        perplexity: of the words that it knows and the ends of sentences.
        words: how many words the text has.
        unknown: share of them that the model does not know.
    """

    perplexity: float
    words: int
    unknown: float


def fit(model: NgramModel, sentences: Iterable[Sequence[str]]) -> Fit:
    """How well a model predicts sentences.

    Unknown words are predicted by nobody: they are counted apart, and are part of histories only.

    Raises:
        InputError: there is nothing to predict.
    """
    total, predicted, words, unknown = 0.0, 0, 0, 0
    for sentence in sentences:
        state = model.start()
        for word in (*sentence, END):
            log_prob, state = model.score(state, word)
            known = word == END or word in model
            words, unknown = words + (word != END), unknown + (not known)
            if known:
                total, predicted = total + log_prob, predicted + 1
    if not words:
        raise InputError("There are no words in the text.")
    return Fit(exp(-total / predicted), words, unknown / words)
