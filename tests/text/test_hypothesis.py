"""Words of tokens, their frames, and their shares of a list of hypotheses."""

import numpy as np
import pytest

from tests.text.paths import distributions
from unbabble.base.errors import InputError
from unbabble.text import ctc
from unbabble.text.hypothesis import Hypothesis, Word, place, ranked, shares, spell, transcript

PIECES = ("▁a", "b", "▁")


@pytest.mark.parametrize(
    ("tokens", "words", "lengths"),
    [
        ([], (), ()),
        ([1, 2, 1], ("ab", "a"), (2, 1)),
        ([2, 1], ("b", "a"), (1, 1)),
        ([3, 2, 3, 3, 2], ("b", "b"), (2, 3)),
        ([1, 3], ("a",), (2,)),
        ([3], (), ()),
    ],
)
def test_pieces_spell_words(tokens, words, lengths):
    assert spell(tokens, PIECES) == (words, lengths)


def test_words_have_the_frames_of_their_tokens():
    rng = np.random.default_rng(0)
    log_probs, tokens = distributions(rng, 40, 6), (1, 1, 2, 5, 3, 3)
    spans = ctc.align(log_probs, tokens).spans
    words = place(log_probs, Hypothesis(tokens, ("one", "two"), (2, 4), posteriors=(0.9, 0.4)))
    assert [(word.start, word.end) for word in words] == [
        (spans[0][0], spans[1][1]),
        (spans[2][0], spans[5][1]),
    ]
    assert [word.tokens for word in words] == [(1, 1), (2, 5, 3, 3)]
    best = [log_probs[start:end, token].max() for token, (start, end) in zip(tokens, spans, strict=True)]
    assert [word.evidence for word in words] == pytest.approx([np.mean(best[:2]), np.mean(best[2:])])
    assert [word.weakest for word in words] == pytest.approx([min(best[:2]), min(best[2:])])
    assert [word.posterior for word in words] == [0.9, 0.4]


def test_no_words_need_no_frames():
    assert place(np.zeros((0, 4), np.float32), Hypothesis(())) == ()


def test_words_that_do_not_fit():
    with pytest.raises(InputError):
        place(np.zeros((1, 4), np.float32), Hypothesis((1, 2), ("a",), (2,)))


def test_a_transcript_is_in_seconds():
    found = transcript([Word("a", (1,), 10, 15, 0.7, -0.1, -0.1)], 0.04, -3.0)
    assert found.words[0].start == pytest.approx(0.4)
    assert found.words[0].end == pytest.approx(0.6)
    assert (found.text, found.words[0].score, found.score) == ("a", 0.7, -3.0)


def hypotheses(**scores: float) -> list[Hypothesis]:
    return [Hypothesis((), tuple(text.split("_")), (), score) for text, score in scores.items()]


def test_the_share_of_a_word_is_the_weight_of_those_that_have_it():
    many = hypotheses(a_b_c=np.log(0.5), a_x_c=np.log(0.3), b_c=np.log(0.2))
    assert shares(many) == pytest.approx((0.8, 0.7, 1.0))
    assert shares(many, scale=0.0) == pytest.approx((2 / 3, 2 / 3, 1.0))


def test_the_best_of_a_ranking_has_its_shares():
    best, other = ranked([(np.log(0.6), (1, 2)), (np.log(0.2), (1, 1))], PIECES)
    assert (best.words, other.words) == (("ab",), ("a", "a"))
    assert best.posteriors == pytest.approx((0.75,))
    assert ranked([(-np.inf, (1,))], PIECES)[0].posteriors == (0.0,)


def test_what_is_far_less_probable_has_no_share():
    assert shares(hypotheses(a=-1000.0, b=-2000.0)) == (1.0,)
