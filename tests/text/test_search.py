"""The joint search: with wide beams the greatest of all rows, whatever the weights."""

from itertools import product

import numpy as np
import pytest

from tests.text.models import Bigrams, Tokens
from tests.text.paths import distributions, rows
from unbabble.base.errors import UsageError
from unbabble.text.hypothesis import spell
from unbabble.text.lexicon import Lexicon
from unbabble.text.search import joint_beam
from unbabble.text.word_scores import PieceScores, WordScores

PIECES = ("▁a", "b", "▁b")
FRAMES, TOKENS = 5, 4
WIDE = {"beam": 10_000, "pre_beam": TOKENS, "margin": float("inf")}


def spelling(model: Bigrams) -> PieceScores:
    words = WordScores(model, 0.7, 0.2)
    letters = Lexicon({word: [word] for word in ("a", "b", "ab")}, "ab", lambda word: words.alone(word, -1.0))
    return PieceScores(words, PIECES, letters, "ab", unknown_letter=0.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("attention_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("with_words", [False, True])
def test_a_wide_beam_returns_the_greatest_of_all(seed, attention_weight, with_words):
    log_probs = distributions(np.random.default_rng(seed), FRAMES, TOKENS)
    attention, tokens = Tokens(TOKENS, seed), Tokens(TOKENS, seed + 100)
    model = Bigrams(("a", "b", "ab", "bb"), seed)
    heard, expected = rows(log_probs), {}
    for length in range(FRAMES + 1):
        for row in product(range(1, TOKENS), repeat=length):
            score = attention_weight * attention.total(row) + 0.4 * tokens.total(row) + 0.1 * length
            if attention_weight < 1:
                score += (1 - attention_weight) * heard.get(row, -np.inf)
            if with_words:
                sentence = spell(row, PIECES)[0]
                score += 0.7 * model.total(sentence) + 0.2 * len(sentence)
            expected[row] = score
    found = joint_beam(
        attention,
        log_probs,
        PIECES,
        attention_weight=attention_weight,
        token_language_model=tokens,
        token_language_weight=0.4,
        token_bonus=0.1,
        words=spelling(model) if with_words else None,
        **WIDE,
    )
    order = sorted((score for score in expected.values() if score > -np.inf), reverse=True)
    assert [each.score for each in found] == pytest.approx(order, abs=1e-5)
    best = found[0]
    assert expected[best.tokens] == pytest.approx(order[0], abs=1e-5)
    assert (best.words, best.lengths) == spell(best.tokens, PIECES)


def test_a_narrow_beam_is_no_better_than_a_wide_one():
    for seed in range(5):
        log_probs = distributions(np.random.default_rng(seed), 12, 20, 0.3)
        attention = Tokens(20, seed)
        scores = [
            joint_beam(attention, log_probs, beam=beam, margin=float("inf"), longest=10)[0].score
            for beam in (1, 4, 400)
        ]
        assert scores[0] <= scores[2] + 1e-9
        assert scores[1] <= scores[2] + 1e-9


def test_without_one_of_the_two_the_other_counts_alone():
    log_probs, attention = distributions(np.random.default_rng(0), FRAMES, TOKENS), Tokens(TOKENS)
    alone = joint_beam(None, log_probs, **WIDE)[0]
    assert alone.score == pytest.approx(max(rows(log_probs).values()), abs=1e-5)
    written = joint_beam(attention, None, longest=4, **WIDE)[0]
    assert written.score == pytest.approx(attention.total(written.tokens))


def test_the_search_ends_when_what_is_open_is_hopeless():
    attention = Tokens(TOKENS)
    asked = []

    class Counted(Tokens):
        def step(self, x, state):
            asked.append(len(x))
            return super().step(x, state)

    attention = Counted(TOKENS)
    attention.table[:, :, :, 0] = np.log(0.97)
    attention.table[:, :, :, 1:] = np.log(0.01)
    found = joint_beam(attention, None, longest=11, margin=3.0)
    assert found[0].tokens == ()
    assert len(asked) < 4


def test_a_text_ends_where_the_end_is_probable_enough():
    attention = Tokens(TOKENS)
    attention.table[:, :, :, :] = np.log(0.1)
    attention.table[:, :, :, 2] = np.log(0.7)
    attention.table[0, :, :, 0] = np.log(0.4)
    attention.table[3, :, :, 0] = np.log(0.5)
    assert joint_beam(attention, None, longest=8)[0].tokens == ()
    assert joint_beam(attention, None, longest=8, end_threshold=2.0)[0].tokens == (2, 2, 2)


def test_ctc_keeps_attention_from_skipping():
    """A decoder that would end at once, and frames that say two tokens."""
    log_probs = np.log(np.full((6, TOKENS), 0.01, np.float32))
    for frame, symbol in enumerate([0, 1, 0, 0, 2, 0]):
        log_probs[frame, symbol] = np.log(0.97)
    attention = Tokens(TOKENS)
    attention.table[...] = np.log(0.1)
    attention.table[..., 0] = np.log(0.7)
    assert joint_beam(attention, log_probs, attention_weight=1.0)[0].tokens == ()
    assert joint_beam(attention, log_probs, attention_weight=0.5)[0].tokens == (1, 2)


@pytest.mark.parametrize("frames", [0, 1])
def test_next_to_no_sound(frames):
    log_probs = np.log(np.full((frames, TOKENS), 1 / TOKENS, np.float32))
    found = joint_beam(Tokens(TOKENS), log_probs, attention_weight=0.5, **WIDE)
    assert {len(each.tokens) for each in found} == ({0} if not frames else {0, 1})


def test_what_no_row_explains():
    log_probs = np.full((3, TOKENS), -np.inf, np.float32)
    assert joint_beam(Tokens(TOKENS), log_probs, attention_weight=0.5)[0].tokens == ()


@pytest.mark.parametrize("settings", [{"attention_weight": 1.2}, {"attention_weight": float("nan")}])
def test_weights_that_are_none(settings):
    with pytest.raises(UsageError, match="from 0 to 1"):
        joint_beam(Tokens(TOKENS), None, **settings)


def test_a_search_needs_something_to_search_by():
    with pytest.raises(UsageError, match="attention or CTC"):
        joint_beam(None, None)
