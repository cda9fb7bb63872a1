"""Texts of all kinds become words that a recogniser can write."""

import sys

import pytest

from unbabble.base.errors import MissingExtraError, UsageError
from unbabble.text.normalise import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Don’t,” said Mrs. Bennet—“don't!”", "don't said missus bennet don't"),
        ("'Tis the boys' room; give 'em O'Brien's.", "'tis the boys room give 'em o'brien's"),
        (
            "A well-known, half_empty café; naïve Æsop & co.",
            "a well known half empty cafe naive aesop and co",
        ),
        ("AT&T’s AT&T's", "at and t's at and t's"),
        ("soft\u00adhyphen, zero\u200bwidth", "softhyphen zerowidth"),
        ("'''", ""),
        ("", ""),
    ],
)
def test_english(text, expected):
    assert " ".join(words(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In 1984 I paid $5.50", "in nineteen eighty four i paid five dollars fifty cents"),
        (
            "the 21st, 1,500 men, 3.5%",
            "the twenty first one thousand five hundred men three point five percent",
        ),
        ("at 10:30, room 007", "at ten thirty room zero zero seven"),
        ("the 1990s", "the nineteen nineties"),
        ("1300%", "one thousand three hundred percent"),
        ("1" * 5000, " ".join(["one"] * 5000)),
        ("x²", "x two"),
    ],
)
def test_numbers(text, expected):
    pytest.importorskip("num2words")
    assert " ".join(word for word in words(text) if word != "and") == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Straße, die HÄUSER!", "de", ["straße", "die", "häuser"]),
        ("L’été & l'hiver", "fr", ["l'été", "l'hiver"]),
        ("Привет, мир!", "ru", ["привет", "мир"]),
        ("हिन्दी में।", "hi", ["हिन्दी", "में"]),
        ("ভাষা", "bn", ["ভাষা"]),
        ("مرحبا، بك", "ar", ["مرحبا", "بك"]),
    ],
)
def test_letters_of_any_script_are_kept_with_their_marks(text, language, expected):
    assert words(text, language) == expected


def test_numbers_of_another_language():
    pytest.importorskip("num2words")
    assert words("21 Tage", "de") == ["einundzwanzig", "tage"]
    with pytest.raises(UsageError, match="language 'xx'"):
        words("21", "xx")


def test_without_the_extra_digits_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "num2words", None)
    assert words("no digits") == ["no", "digits"]
    with pytest.raises(MissingExtraError, match=r"unbabble\[text\]"):
        words("in 1821")


def test_what_it_returns_stays_as_it_is():
    text = "Mr. O’Neill’s 2nd café, 'tis said — “won't” do"
    assert words(" ".join(words(text))) == words(text)
