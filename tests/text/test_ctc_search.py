"""Searches that give up nothing find what is greatest of all rows."""

import numpy as np
import pytest

from tests.text.models import Bigrams
from tests.text.paths import distributions, impossible, rows
from unbabble.text.ctc_search import EXACT, greedy, prefix_beam
from unbabble.text.hypothesis import spell
from unbabble.text.lexicon import Lexicon
from unbabble.text.word_scores import PieceScores, WordScores

PIECES = ("▁a", "b", "▁b")


def test_greedy_takes_the_best_path():
    log_probs = np.log(
        np.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], np.float32)
    )
    found = greedy(log_probs, ["▁a", "b"])
    assert found.tokens == (1, 1)
    assert found.words == ("a", "a")
    assert found.score == pytest.approx(np.log(0.8 * 0.7 * 0.6 * 0.8))


@pytest.mark.parametrize("seed", range(10))
def test_prefixes_without_words_are_rows_with_their_probabilities(seed):
    rng = np.random.default_rng(seed)
    log_probs = distributions(rng, 5, 4, 0.5)
    if seed % 2:
        log_probs = impossible(log_probs, rng)
    expected = {row: score for row, score in rows(log_probs).items() if score > -np.inf}
    found = prefix_beam(log_probs, pruning=EXACT, best=1000)
    scores = {each.tokens: each.score for each in found if each.score > -np.inf}
    assert scores == pytest.approx(expected, abs=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_prefixes_with_words_are_the_greatest_of_all(seed):
    log_probs = distributions(np.random.default_rng(seed), 5, 4, 0.7)
    model = Bigrams(("a", "ab", "b", "bb", "abb"), seed)
    words = WordScores(model, 0.8, 0.3)
    letters = Lexicon({word: [word] for word in ("a", "ab", "b")}, "ab", lambda word: words.alone(word, -1.0))
    spelling = PieceScores(words, PIECES, letters, "ab", unknown_letter=0.0)
    expected = {}
    for row, score in rows(log_probs).items():
        sentence = spell(row, PIECES)[0]
        expected[row] = score + 0.8 * model.total(sentence) + 0.3 * len(sentence)
    found = prefix_beam(log_probs, PIECES, words=spelling, pruning=EXACT)[0]
    assert found.tokens == max(expected, key=expected.__getitem__)
    assert found.score == pytest.approx(expected[found.tokens], abs=1e-5)
    assert (found.words, found.lengths) == spell(found.tokens, PIECES)


@pytest.mark.parametrize("frames", [0, 1])
def test_next_to_no_sound(frames):
    log_probs = np.log(np.full((frames, 4), 0.25, np.float32))
    assert greedy(log_probs).tokens in ((), (1,))
    assert prefix_beam(log_probs)[0].score <= 0
