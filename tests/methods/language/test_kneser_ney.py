"""Modified Kneser-Ney against a slow reference that is written from the formulas, and what must hold for any text."""

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
import torch

from unbabble.base.contracts import LanguageModel
from unbabble.base.errors import InputError, UsageError
from unbabble.methods.language.kneser_ney import (
    FALLBACK,
    KneserNey,
    KneserNeyEstimate,
    count,
    discounts,
    read,
)
from unbabble.text.ngram import END, UNKNOWN, NgramModel, fit


def sentences(seed: int = 0, number: int = 60, words: str = "abcdefg") -> list[list[str]]:
    """Rows of words of which some follow others more often than not."""
    rng = np.random.default_rng(seed)
    follow = rng.dirichlet(np.full(len(words), 0.4), len(words))
    rows = []
    for _ in range(number):
        row = [int(rng.integers(len(words)))]
        while rng.random() < 0.8:
            row.append(int(rng.choice(len(words), p=follow[row[-1]])))
        rows.append([words[each] for each in row])
    return rows


class Slow:
    """p(w | h) by dictionaries and recursion, of texts without unknown words."""

    def __init__(self, text: list[list[str]], order: int) -> None:
        rows = [["<s>", *row, END] for row in text]
        self.words = {word for row in text for word in row} | {END, UNKNOWN}
        counts = [
            Counter(tuple(row[at : at + n]) for row in rows for at in range(len(row) - n + 1))
            for n in range(1, order + 1)
        ]
        self.weights: list[dict[tuple[str, ...], int]] = []
        for n in range(1, order + 1):
            grams = {gram: number for gram, number in counts[n - 1].items() if gram != ("<s>",)}
            if n < order:
                before = defaultdict(set)
                for gram in counts[n]:
                    before[gram[1:]].add(gram[0])
                grams = {
                    gram: number if gram[0] == "<s>" else len(before[gram]) for gram, number in grams.items()
                }
            self.weights.append(grams)
        self.discounts = []
        for grams in self.weights:
            n1, n2, n3, n4 = (sum(number == each for number in grams.values()) for each in (1, 2, 3, 4))
            if not (n1 and n2 and n3 and n4):
                self.discounts.append((0, *FALLBACK))
                continue
            y = n1 / (n1 + 2 * n2)
            exact = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            self.discounts.append(
                (
                    0,
                    *(
                        d if 0 < d <= most else f
                        for d, most, f in zip(exact, (1, 2, 3), FALLBACK, strict=True)
                    ),
                )
            )

    def prob(self, word: str, history: tuple[str, ...]) -> float:
        grams, off = self.weights[len(history)], self.discounts[len(history)]
        after = {gram: number for gram, number in grams.items() if gram[:-1] == history}
        below = self.prob(word, history[1:]) if history else 1 / len(self.words)
        total = sum(after.values())
        if not total:
            return below
        number = after.get((*history, word), 0)
        left = sum(off[min(each, 3)] for each in after.values()) / total
        return (number - off[min(number, 3)]) / total + left * below


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_the_formulas(order, seed):
    text = sentences(seed)
    slow = Slow(text, order)
    model = KneserNeyEstimate(read(text, 100), order, singletons=True).model()
    letters = sorted(slow.words - {END, UNKNOWN})
    starts = [("<s>", *rest) for rest in product(letters, repeat=max(0, order - 2))]
    histories = [*product(letters, repeat=order - 1), *(starts if order > 1 else [])]
    for history in histories[::7]:
        numbers = [0 if word == "<s>" else model.number(word) for word in history]
        for word in slow.words:
            expected = math.log(slow.prob(word, history))
            assert model.log_prob(numbers, model.number(word)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("singletons", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_all_words_together_have_probability_one(order, singletons, share):
    estimate = KneserNeyEstimate(read(sentences(2), 5), order, singletons)
    if share < 1:
        words = len(estimate.words) + 1
        most = words + int(share * (estimate.size - words))
        estimate.prune(most)
        assert words <= estimate.size <= max(most, words)
    model = estimate.model()
    numbers = range(len(model.words) + 1)
    for history in [
        [],
        [0],
        *([a] for a in numbers),
        *product(numbers, numbers[1:]),
        [1, 2, 3],
        [0, 3, 2],
        [5, 5, 5],
    ]:
        total = sum(math.exp(model.log_prob(history, word)) for word in numbers)
        assert total == pytest.approx(1, abs=1e-6), history
        logs = model.distribution(model.state(history))
        assert logs == pytest.approx([model.log_prob(history, word) for word in numbers], abs=1e-6)


def test_pruning_leaves_what_matters_and_can_be_taken_back():
    text, other = sentences(3, 400), sentences(3, 800)[400:]
    estimate = KneserNeyEstimate(read(text, 10), 3, singletons=True)
    whole = fit(estimate.model(), other).perplexity
    sizes, perplexities = [estimate.size], [whole]
    for most in (150, 60, 30, 9):
        estimate.prune(most)
        sizes.append(estimate.size)
        perplexities.append(fit(estimate.model(), other).perplexity)
    assert sizes == sorted(sizes, reverse=True)
    assert perplexities[2] < perplexities[-1], "unigrams alone are worse"
    assert perplexities[1] < 1.03 * whole, sizes
    estimate.prune(sizes[0])
    assert fit(estimate.model(), other).perplexity == pytest.approx(whole)


def test_a_better_order_predicts_better():
    text, other = sentences(4, 500), sentences(4, 900)[500:]
    one, two = (fit(KneserNeyEstimate(read(text, 10), order).model(), other).perplexity for order in (1, 2))
    assert two < 0.8 * one


def test_rare_words_are_the_unknown_word():
    text = read([["a", "b", "a"], ["a", "c"], []], 1)
    assert text.words == ("a", UNKNOWN)
    assert text.numbers.tolist() == [0, 1, 2, 1, 0, 1, 2, 0]
    assert read([["a", "b"], ["b"]], 5, lambda word: word != "b").words == ("a", UNKNOWN)
    model = KneserNeyEstimate(text, 2, singletons=True).model()
    assert "b" not in model
    measured = fit(model, [["a", "b"]])
    assert (measured.words, measured.unknown) == (2, 0.5)
    assert fit(model, [["a", UNKNOWN]]).unknown == 0.5


def test_no_sentence_runs_into_the_next():
    text = read([["a", "b"], ["c"]], 5)
    grams = count(text, 3)
    a, b, c = (text.words.index(word) + 1 for word in "abc")
    pairs = {(int(grams[0].words[p]), int(w)) for p, w in zip(grams[1].parents, grams[1].words, strict=True)}
    assert pairs == {(0, a), (a, b), (b, 0), (0, c), (c, 0)}
    assert len(grams[2].words) == 3, "<s> a b, a b </s>, <s> c </s>"


def test_discounts_of_texts_that_cannot_tell():
    assert discounts(np.array([1, 1, 1])).tolist() == [0, *FALLBACK]
    many = np.repeat([1, 2, 3, 4], [80, 40, 20, 10])
    assert discounts(many) == pytest.approx([0, 0.5, 1.25, 2.0])


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(InputError, match="no words"):
        read([[], []], 10)
    with pytest.raises(InputError, match="pronounced"):
        read([["a"]], 10, lambda word: False)
    for order in (0, 5):
        with pytest.raises(UsageError, match="between 1 and 4"):
            KneserNeyEstimate(read([["a"]], 10), order)


def test_one_word_alone():
    for order in (1, 2, 3, 4):
        model = KneserNeyEstimate(read([["a"]], 10), order).model()
        assert sum(math.exp(model.log_prob([0], word)) for word in range(3)) == pytest.approx(1)


@pytest.fixture(scope="module")
def method() -> KneserNey:
    return KneserNey(ngrams=KneserNeyEstimate(read(sentences(5), 100), 3).model())


def test_it_is_a_language_model(method):
    assert isinstance(method, LanguageModel)
    state = method.start(3)
    ngrams: NgramModel = method.ngrams
    rows = [[0, 1, 2, 1], [0, 3, 3, 5], [0, 2, 4, 4]]
    for at in range(4):
        logs, state = method.step(torch.tensor([row[at] for row in rows]), state)
        assert logs.shape == (3, len(method.tokens) + 1)
        assert logs.exp().sum(1) == pytest.approx([1, 1, 1], abs=1e-5)
        expected = [ngrams.log_prob(row[: at + 1], 2) for row in rows]
        assert logs[:, 2].tolist() == pytest.approx(expected, abs=1e-5)
    picked = {name: value[[2, 0]] for name, value in state.items()}
    again, _ = method.step(torch.tensor([1, 1]), picked)
    both, _ = method.step(torch.tensor([1, 1, 1]), state)
    assert torch.equal(again, both[[2, 0]])
