"""Pieces of words: as BERT reads them."""

import pytest

from unbabble.base.errors import InputError
from unbabble.text.wordpiece import WordPieces

PIECES = WordPieces(["a", "cafe", "rain", "##drop", "##s", "'", "!", "[UNK]"])


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("RAINDROPS", ["rain", "##drop", "##s"]),
        ("Café!", ["cafe", "!"]),
        ("rain's", ["rain", "'"]),
        ("a\txyz  rain", ["a", "rain"]),
    ],
)
def test_texts_are_read_without_case_accents_and_what_is_unknown(text, pieces):
    assert [PIECES.inventory[number] for number in PIECES.encode(text)] == pieces


@pytest.mark.parametrize("text", ["", "   ", "雨", "xyz", "rainx"])
def test_a_text_of_which_nothing_can_be_read_is_refused(text):
    with pytest.raises(InputError, match=f"Nothing of '{text}' can be read"):
        PIECES.encode(text)


def test_an_inventory_survives_being_written():
    assert WordPieces.read(PIECES.written()).inventory == PIECES.inventory
