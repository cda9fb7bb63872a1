"""Texts that a second language model chooses among."""

import pytest

from tests.text.models import Bigrams
from unbabble.text.hypothesis import Hypothesis
from unbabble.text.rescoring import log_probability, rescored

FIRST, SECOND = Bigrams("ab", 0), Bigrams("ab", 1)
TEXTS = [("a", "b"), ("b",), ("b", "a", "a"), ("a",)]


def searched(weight: float) -> list[Hypothesis]:
    """Of texts what a search says: sound, which is the same for all, and the first language model."""
    found = [
        Hypothesis((1,) * len(each), each, (1,) * len(each), 2.0 + weight * FIRST.total(each))
        for each in TEXTS
    ]
    return sorted(found, key=lambda each: -each.score)


def second(texts):
    return [SECOND.total(text.split()) for text in texts]


def test_the_second_model_alone_orders_them_by_itself():
    found = rescored(searched(0.7), FIRST, second, weight=0.7, share=1.0)
    assert [each.words for each in found] == sorted(TEXTS, key=SECOND.total, reverse=True)
    expected = [2.0 + 0.7 * SECOND.total(each.words) for each in found]
    assert [each.score for each in found] == pytest.approx(expected)


def test_without_a_share_nothing_changes():
    assert rescored(searched(0.7), FIRST, second, weight=0.7, share=0.0) == searched(0.7)


def test_both_have_their_share():
    for each in rescored(searched(2.0), FIRST, second, weight=2.0, share=0.25):
        expected = 2.0 + 2.0 * (0.75 * FIRST.total(each.words) + 0.25 * SECOND.total(each.words))
        assert each.score == pytest.approx(expected)


def test_a_sentence_has_an_end():
    assert log_probability(FIRST, ("a", "b")) == FIRST.total("ab")
