"""Hotwords: one bonus for a whole phrase, nothing for less."""

from itertools import product

import pytest

from unbabble.base.errors import InputError
from unbabble.text.hotwords import Hotwords


def total(phrases: Hotwords, words: list[str]) -> float:
    state, result = phrases.start(), 0.0
    for word in words:
        added, state = phrases.score(state, word)
        result += added
    return result + phrases.end(state)


def phrases_said(phrases: list[str], words: list[str]) -> int:
    """How many, from left to right, without overlap."""
    count = first = 0
    for end in range(1, len(words) + 1):
        if any(words[max(first, end - len(row)) : end] == row for row in map(str.split, phrases)):
            count, first = count + 1, end
    return count


@pytest.mark.parametrize(
    "phrases", [["a b c"], ["a b", "b c"], ["a a b", "a b c"], ["a b a b c", "b a"], ["a", "a b"]]
)
def test_a_hypothesis_has_one_bonus_for_each_phrase(phrases):
    hotwords = Hotwords(phrases, bonus=3.0)
    for length in range(7):
        for words in product("abc", repeat=length):
            assert total(hotwords, list(words)) == pytest.approx(3.0 * phrases_said(phrases, list(words)))


def test_credit_grows_and_is_taken_back():
    hotwords = Hotwords(["new york city"], bonus=6.0)
    state, credits = hotwords.start(), []
    for word in ["new", "york", "times"]:
        added, state = hotwords.score(state, word)
        credits.append(added)
    assert credits == [2.0, 2.0, -4.0]


def test_the_share_of_a_word_is_the_most_it_can_be_credited_with():
    hotwords = Hotwords(["new york city", "york"], bonus=6.0)
    assert hotwords.share("york") == 6.0
    assert hotwords.share("city") == 2.0
    assert hotwords.share("paris") == 0.0


@pytest.mark.parametrize(("phrases", "bonus"), [(["a", " "], 1.0), (["a"], 0.0), (["a"], float("nan"))])
def test_what_is_no_hotword_is_said(phrases, bonus):
    with pytest.raises(InputError):
        Hotwords(phrases, bonus)
