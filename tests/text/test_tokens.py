"""Inventories and their numbers: what is encoded is decoded, merges are sentencepiece's, and pickling keeps them."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbabble.base.errors import InputError
from unbabble.text.tokens import BLANK, ENGLISH, WORD_START, Pieces, Symbols, byte_pairs, characters

PEER = json.loads((Path(__file__).parents[1] / "fixtures" / "sentencepiece_bpe.json").read_text("utf-8"))
TEXTS = st.lists(st.text("abcdé'", min_size=1, max_size=8), max_size=12).map(" ".join)


def peers_inventory() -> list[str]:
    """Characters first, then its merges, in its order; without its token for what is unknown."""
    return sorted(PEER["pieces"][1:], key=lambda piece: len(piece) > 1)


def test_a_text_is_written_as_sentencepiece_writes_it():
    tokens = Pieces(peers_inventory())
    for text, expected in zip(PEER["probe"], PEER["encoded"], strict=True):
        assert [tokens.inventory[number - 1] for number in tokens.encode(text)] == expected


def test_pieces_are_those_that_sentencepiece_learns():
    """All but the last, as two pairs are equally frequent there; so the order is not compared either."""
    expected = peers_inventory()
    found = byte_pairs(PEER["texts"], len(expected))
    assert (len(found), len(set(found))) == (len(expected), len(expected))
    assert set(found[:-1]) == set(expected[:-1])


@given(TEXTS, st.integers(0, 40), TEXTS)
def test_what_is_encoded_is_decoded(learnt, count, text):
    tokens = Pieces(byte_pairs([learnt, "abcdé'"], count))
    numbers = tokens.encode(text)
    assert tokens.decode(numbers) == text
    assert all(BLANK < number <= len(tokens) for number in numbers)
    assert tokens.decode([BLANK, *(each for number in numbers for each in (number, BLANK))]) == text
    again = pickle.loads(pickle.dumps(tokens))
    assert again.inventory == tokens.inventory
    assert again.encode(text) == numbers


@given(TEXTS, st.integers(0, 40))
def test_a_piece_more_never_makes_a_text_longer(text, count):
    fewer, more = (byte_pairs([text, "a"], number) for number in (count, count + 1))
    assert more[: len(fewer)] == fewer
    assert len(Pieces(more).encode(text)) <= len(Pieces(fewer).encode(text))
    assert len(fewer) <= max(count, len(characters([text, "a"])))


def test_the_most_frequent_pair_comes_first():
    assert byte_pairs(["low lower low"], 8)[-2:] == ["lo", "low"]
    assert byte_pairs(["aaaa aaaa"], 5) == ["a", WORD_START, "aa", "aaaa", f"{WORD_START}aaaa"]
    assert byte_pairs(["ab"], 100) == ["a", "b", WORD_START, "ab", f"{WORD_START}ab"], "there are no more"


def test_characters_are_enough_for_any_english_transcript():
    tokens = Pieces(ENGLISH)
    assert tokens.decode(tokens.encode("don't go")) == "don't go"
    assert len(tokens.encode("don't go")) == 9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Pieces(ENGLISH).encode("café"), "no é"),
        (lambda: Pieces("ab").encode("b"), f"no {WORD_START}"),
        (lambda: Symbols(["AA", "B"]).encode("AA K"), "no symbol 'K'"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


def test_symbols_there_and_back():
    phones = Symbols(["AA", "B", "K"])
    assert phones.decode(phones.encode("K AA K")) == "K AA K"
    assert phones.decode([BLANK, 2, BLANK]) == "B"
    assert pickle.loads(pickle.dumps(phones)).encode("B") == [2]
