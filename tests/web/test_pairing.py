"""Sentences are handed out evenly, as first and as second, and nobody reads one twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbabble.base.errors import UsageError
from unbabble.web.collect.pairing import plan
from unbabble.web.collect.prompts import english, sentences


@st.composite
def histories(draw):
    sentence_count = draw(st.integers(2, 30))
    each = st.integers(1, sentence_count // 2)
    return sentence_count, draw(st.lists(st.tuples(each, st.integers(0, 1 << 32)), max_size=40))


@given(histories())
def test_uses_differ_by_one_at_most_at_any_time(history):
    sentence_count, contributors = history
    uses = [[0, 0] for _ in range(sentence_count)]
    for pairs, seed in contributors:
        for first, second in plan([tuple(each) for each in uses], pairs, seed):
            uses[first][0] += 1
            uses[second][1] += 1
        totals = [sum(each) for each in uses]
        assert max(totals) - min(totals) <= 1
        assert max(abs(first - second) for first, second in uses) <= 1


use = st.tuples(st.integers(0, 5), st.integers(0, 5))


@given(st.lists(use, min_size=2, max_size=40), st.data())
def test_nobody_reads_a_sentence_twice_and_the_rarest_come_first_whatever_was_before(uses, data):
    pairs = data.draw(st.integers(1, len(uses) // 2))
    seed = data.draw(st.integers(0, 1 << 32))
    planned = plan(uses, pairs, seed)
    assert planned == plan(uses, pairs, seed)
    read = [number for pair in planned for number in pair]
    assert len(planned) == pairs
    assert len(set(read)) == 2 * pairs
    left = [sum(each) for number, each in enumerate(uses) if number not in read]
    assert max(sum(uses[number]) for number in read) <= min(left, default=1000)


def test_who_meets_whom_depends_on_the_seed():
    plans = {tuple(plan([(0, 0)] * 20, 5, seed)) for seed in range(10)}
    assert len(plans) == 10


def test_too_few_sentences_are_an_error():
    with pytest.raises(ValueError, match="4 sentences"):
        plan([(0, 0)] * 3, 2, 0)


def test_the_packaged_sentences_can_be_read_in_a_breath_and_hold_every_letter():
    texts = english()
    assert len(texts) >= 120
    assert all(9 <= len(each.split()) <= 13 for each in texts)
    assert set("abcdefghijklmnopqrstuvwxyz") <= set("".join(texts).lower())


def test_a_list_of_sentences_is_taken_by_lines():
    assert sentences(
        "# a comment\nThe first one here.\n\n  The  second one here.  \nThe first one here.\n"
    ) == (
        "The first one here.",
        "The second one here.",
    )
    for text in ("One alone is here.", "Too short\nAlso short", "a " * 200 + "\nThe second one here."):
        with pytest.raises(UsageError):
            sentences(text)
