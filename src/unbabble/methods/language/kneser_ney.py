"""Interpolated modified Kneser-Ney: how probable words are after one another, from counts, in one pass.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling", Harvard TR-10-98, 1998, section 3,
after Kneser and Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995. Pruning: Stolcke, "Entropy-based
pruning of backoff language models", DARPA Broadcast News Transcription and Understanding Workshop 1998.

    p(w | h) = (c(hw) - D(c(hw))) / sum_w c(hw) + gamma(h) p(w | h')
    D(1) = 1 - 2 Y n2 / n1,  D(2) = 2 - 3 Y n3 / n2,  D(3 and more) = 3 - 4 Y n4 / n3,  Y = n1 / (n1 + 2 n2)
    gamma(h) = what is missing to one

| paper | here |
|-|-|
| h, h' | history, and the history without its first word |
| c(hw) | ``weights``: of the longest n-grams how often they occur; of shorter ones how many words come before |
| n1 ... n4 | how many n-grams of an order have the weight 1 ... 4 |
| D | ``discounts`` |
| gamma | ``left``: what discounts, and n-grams that are left out, leave to the shorter history |

The shortest history is empty: what is left there goes to all words alike. N-grams at the beginning of a sentence have
no word before them, and keep their counts. Those that are pruned are those without which the model's predictions change
least, weighted by how often their histories occur.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.base.registry import register
from unbabble.text import packed_ngram
from unbabble.text.ngram import BOUNDARY, ROOT, UNKNOWN, Level, NgramModel, Pronunciations

MOST_ORDER = 4
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of texts that are too small to tell: where no n-gram occurs once, or twice, and so on."""
LEAST_LEFT = 1e-6
"""So much is always left to what never followed a history."""


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers.

    Attributes:
        words: by their numbers less one, the most frequent first, ``<unk>`` last.
        numbers: of all words, with 0 before, between and behind the sentences.
    """

    words: tuple[str, ...]
    numbers: Int[np.ndarray, " place"]


def read(
    sentences: Iterable[Sequence[str]], most_words: int, allowed: Callable[[str], bool] = lambda word: True
) -> Text:
    """Number the words of a text, which is read once and not kept.

    Args:
        sentences: of words.
        most_words: the most frequent so many are words of their own, all others are the unknown word.
        allowed: whether a word may be one of its own.

    Raises:
        InputError: there are no words, or none is allowed.
    """
    places: dict[str, int] = {}
    row = array("i", [BOUNDARY])
    for sentence in sentences:
        if sentence:
            row.extend([places.setdefault(word, len(places) + 1) for word in sentence])
            row.append(BOUNDARY)
    if not places:
        raise InputError("There are no words in the text.")
    numbers = np.frombuffer(row, np.int32)
    counts = np.bincount(numbers, minlength=len(places) + 1)[1:].tolist()
    frequent = sorted(places, key=lambda word: (-counts[places[word] - 1], word))
    known = islice((word for word in frequent if word != UNKNOWN and allowed(word)), most_words)
    words = (*known, UNKNOWN)
    if len(words) == 1:
        raise InputError("No word of the text can be pronounced.")
    renumbered = np.full(len(counts) + 1, len(words), np.int32)
    renumbered[BOUNDARY] = BOUNDARY
    renumbered[[places[word] for word in words[:-1]]] = np.arange(1, len(words))
    return Text(words, renumbered[numbers])


@dataclass(eq=False)
class Grams:
    """All n-grams of one order, sorted by their histories and then by their words.

    Attributes:
        parents: place of the history among the n-grams of the order below.
        ends: place of the n-gram without its first word, there, too.
        words: the last word.
        counts: how often each occurs.
        starts: whether it begins a sentence.
        weights: what it counts for (above).
        kept: whether it is in the model.
        probs: of the word after the history.
    """

    parents: Int[np.ndarray, " ngram"]
    ends: Int[np.ndarray, " ngram"]
    words: Int[np.ndarray, " ngram"]
    counts: Int[np.ndarray, " ngram"]
    starts: Bool[np.ndarray, " ngram"]
    weights: Int[np.ndarray, " ngram"]
    kept: Bool[np.ndarray, " ngram"]
    probs: Float[np.ndarray, " ngram"]

    def sums(self, values: Float[np.ndarray, " ngram"], histories: int) -> Float[np.ndarray, " history"]:
        """Of each history, the sum over what is kept after it."""
        return np.bincount(self.parents, np.where(self.kept, values, 0), histories)


class KneserNeyEstimate:
    """The probabilities of all n-grams of a text.

    Args:
        text: to be counted.
        order: words of the longest n-grams, 1 to 4.
        singletons: keep the longest n-grams that occur once; they are most of all, and help little.

    Raises:
        UsageError: an order that is none.
    """

    def __init__(self, text: Text, order: int = 3, singletons: bool = False) -> None:
        if not 1 <= order <= MOST_ORDER:
            raise UsageError(f"The order of an n-gram model lies between 1 and {MOST_ORDER}.")
        self.words = text.words
        self.levels = count(text, order)
        if order > 1 and not singletons:
            longest = self.levels[-1]
            longest.kept = longest.counts > 1
        self._whole = [level.kept for level in self.levels]
        self._interpolate()

    def _interpolate(self) -> None:
        """Probabilities from the empty history on."""
        shorter: np.ndarray | None = None
        for level in self.levels:
            histories = 1 if shorter is None else len(shorter)
            total = np.bincount(level.parents, level.weights, histories)
            share = (level.weights - discounts(level.weights)[np.minimum(level.weights, 3)]) / total[
                level.parents
            ]
            left = 1 - level.sums(share, histories)
            below = 1 / len(level.words) if shorter is None else shorter[level.ends]
            level.probs = share + left[level.parents] * below
            shorter = level.probs

    def back_offs(self) -> list[Float[np.ndarray, " history"]]:
        """By order, weights of the probabilities after shorter histories, so that all add up to one."""
        weights = []
        known = self.levels[0].probs
        for above, level in zip(self.levels, self.levels[1:], strict=False):
            explicit = np.maximum(1 - level.sums(level.probs, len(above.words)), LEAST_LEFT)
            implied = np.maximum(1 - level.sums(known[level.ends], len(above.words)), LEAST_LEFT)
            weights.append(explicit / implied)
            known = np.where(level.kept, level.probs, weights[-1][level.parents] * known[level.ends])
        return [*weights, np.ones(len(self.levels[-1].words))]

    def losses(self) -> list[Float[np.ndarray, " ngram"]]:
        """By order from the second on, what it costs to leave an n-gram out, in nats for each word of the text."""
        costs = []
        known = self.levels[0].probs
        words = sum(self.levels[0].counts)
        for above, level, weights in zip(self.levels, self.levels[1:], self.back_offs(), strict=False):
            below, parents = known[level.ends], level.parents
            explicit = np.maximum(1 - level.sums(level.probs, len(above.words)), LEAST_LEFT)[parents]
            implied = np.maximum(1 - level.sums(below, len(above.words)), LEAST_LEFT)[parents]
            without = (explicit + level.probs) / (implied + below)
            change = level.probs * np.log(below * without / level.probs)
            change += explicit * np.log(without / weights[parents])
            costs.append(-above.counts[parents] / words * change)
            known = np.where(level.kept, level.probs, weights[parents] * below)
        return costs

    def prune(self, most: int) -> None:
        """Leave out n-grams of two words and more that cost least, until at most so many n-grams are left.

        Those that begin longer ones stay as long as these do. What was left out by an earlier call may come back.
        """
        for level, kept in zip(self.levels, self._whole, strict=True):
            level.kept = kept
        if len(self.levels) == 1:
            return
        costs = self.losses()
        candidates = np.concatenate(
            [cost[level.kept] for cost, level in zip(costs, self.levels[1:], strict=True)]
        )
        candidates.sort()
        low, high = 0, len(candidates)  # how many of them are cheap enough to go
        while low < high:
            middle = (low + high) // 2
            masks = self._without(costs, candidates[middle])
            low, high = (middle + 1, high) if sum(int(mask.sum()) for mask in masks) > most else (low, middle)
        if low < len(candidates):
            masks = self._without(costs, candidates[low])
        else:
            masks = [self.levels[0].kept, *(np.zeros_like(level.kept) for level in self.levels[1:])]
        for level, mask in zip(self.levels, masks, strict=True):
            level.kept = mask

    def _without(
        self, costs: list[Float[np.ndarray, " ngram"]], least: float
    ) -> list[Bool[np.ndarray, " ngram"]]:
        """By order, which n-grams are left when those that cost less have gone."""
        needed = np.zeros(len(self.levels[-1].words), bool)
        masks = []
        for below, level, cost in zip(self.levels[-2::-1], self.levels[:0:-1], costs[::-1], strict=True):
            masks.append(level.kept & ((cost >= least) | needed))
            needed = np.bincount(level.parents, masks[-1], len(below.words)) > 0
        return [self.levels[0].kept, *masks[::-1]]

    @property
    def size(self) -> int:
        """How many n-grams are kept."""
        return sum(int(level.kept.sum()) for level in self.levels)

    def model(self, pronunciations: Pronunciations | None = None) -> NgramModel:
        """What is kept.

        Args:
            pronunciations: of the words, for a recogniser.
        """
        levels, places = [], np.zeros(1, np.int64)
        for level, weights in zip(self.levels, self.back_offs(), strict=True):
            kept = level.kept
            log_probs, back_offs = np.log(level.probs[kept]), np.log(weights[kept])
            levels.append(Level(places[level.parents[kept]], level.words[kept], log_probs, back_offs))
            places = np.cumsum(kept) - 1
        return NgramModel(self.words, levels, pronunciations)


def count(text: Text, order: int) -> list[Grams]:
    """All n-grams of a text up to an order, with their weights; of the first order all words, occur they or not."""
    numbers, size = text.numbers.astype(np.int64), len(text.words) + 1
    places = numbers  # of the n-gram that ends at each word, among those of its order
    valid = np.ones(len(numbers), bool)
    everything = np.arange(size)
    counts = np.bincount(
        numbers[1:], minlength=size
    )  # nobody predicts the boundary before the first sentence
    zeros = np.zeros(size, np.int64)
    levels = [_grams(zeros, zeros, everything, counts, np.zeros(size, bool))]
    starts = everything == BOUNDARY
    for length in range(2, order + 1):
        # Whether a whole n-gram ends at a word: no sentence ends within it.
        ending = np.zeros(len(numbers), bool)
        ending[1:] = (valid[:-1] & (numbers[:-1] != BOUNDARY)) if length > 2 else True
        here = ending.nonzero()[0]
        keys, first, inverse, counts = np.unique(
            places[here - 1] * size + numbers[here],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        parents = keys // size
        ends = places[here[first]]
        level = _grams(parents, ends, keys % size, counts, starts[parents])
        below = levels[-1]
        before = np.bincount(ends, minlength=len(below.words))
        below.weights = np.where(below.starts, below.counts, before)
        levels.append(level)
        starts = level.starts
        places = np.zeros(len(numbers), np.int64)
        places[here] = inverse
        valid = ending
    return levels


def _grams(
    parents: np.ndarray, ends: np.ndarray, words: np.ndarray, counts: np.ndarray, starts: np.ndarray
) -> Grams:
    return Grams(
        parents, ends, words, counts, starts, counts, np.ones(len(words), bool), np.zeros(len(words))
    )


def discounts(weights: Int[np.ndarray, " ngram"]) -> Float[np.ndarray, "4"]:
    """What is taken off n-grams of weight 0, 1, 2, and 3 or more."""
    n1, n2, n3, n4 = (int((weights == each).sum()) for each in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0, *FALLBACK])
    y = n1 / (n1 + 2 * n2)
    found = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    inside = (found[1:] > 0) & (found[1:] <= [1, 2, 3])
    return np.array([0, *np.where(inside, found[1:], FALLBACK)])


@register(
    name="kneser_ney",
    contract="language model",
    summary="Which words are likely after one another, from counts: interpolated modified Kneser-Ney n-grams.",
    citation="Chen, Goodman: An empirical study of smoothing techniques for language modeling, Harvard TR-10-98, 1998",
    counted=True,
)
class KneserNey:
    """An n-gram model of words as a language model among others; a search over words takes ``ngrams`` itself.

    Args:
        ngrams: what was counted.
    """

    def __init__(self, *, ngrams: NgramModel) -> None:
        self.ngrams = ngrams
        self.tokens = ngrams.words

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "KneserNey":
        """The model in a file of weights.

        Raises:
            InputError: it cannot be read, or is damaged.
        """
        return cls(ngrams=packed_ngram.load(path))

    def start(self, batch: int) -> dict[str, Tensor]:
        """The state of so many texts before their first word."""
        return {"node": torch.full((batch,), ROOT)}

    def step(
        self, x: Int[Tensor, " batch"], state: dict[str, Tensor]
    ) -> tuple[Float[Tensor, "batch token"], dict[str, Tensor]]:
        """Natural log-probabilities of the end, then of each word, behind the words ``x``, and the state then."""
        pairs = zip(state["node"].tolist(), x.tolist(), strict=True)
        nodes = [self.ngrams.step(node, word)[1] for node, word in pairs]
        logs = np.stack([self.ngrams.distribution(node) for node in nodes])
        return torch.from_numpy(logs).float(), {"node": torch.tensor(nodes)}
