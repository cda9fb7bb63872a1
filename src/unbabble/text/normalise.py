"""What a transcript is made of: lower case words and apostrophes; no punctuation, no digits.

Errors between two texts are counted in words that both write in one way, and a language model learns from the words
that a recogniser can write. English text also loses the abbreviations that are always spoken in full ("Mr." is
"mister"). Letters of any script are kept, so other languages need nothing but their code, for their numbers.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from unbabble.base.errors import UsageError
from unbabble.base.extras import missing_extra

APOSTROPHES = str.maketrans(dict.fromkeys("‘’ʼ`´＇", "'"))
"""What texts have where a keyboard has an apostrophe."""
ELISIONS = frozenset(
    ("'em", "'tis", "'twas", "'twere", "'twill", "'twould", "'til", "'cause", "'bout", "'round", "o'", "th'")
)
"""Words that begin or end with an apostrophe; elsewhere those are quotation marks, or silent ("the boys' room")."""
SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "&": "and"}
"""Abbreviations of English that nobody speaks as they are written."""
CURRENCIES = {"$": "USD", "£": "GBP", "€": "EUR"}
EARLIEST_YEAR, LATEST_YEAR = 1100, 2099
"""Four digits alone that lie between these are a year, which is spoken in pairs."""

LONGEST_NUMBER = 15
"""Longer rows of digits are read out one by one."""
LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "th", "þ": "th"})
"""How English writes these."""

_NUMBER = re.compile(
    r"(?P<currency>[$£€])?(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)"
    r"(?:(?P<ordinal>st|nd|rd|th)\b|(?P<plural>'?s)\b|(?P<percent>%))?"
)
_PAUSE = re.compile(
    r"""(?<![ .](?:mr|ms|dr|st))(?<![ .]mrs)[.?!;:]+(?=\s|$|["'”’)])|["“”„«»()\[\]{}]|--+|—|–(?=\s)""", re.I
)
_ASCII_WORD = re.compile(r"[a-z']+|&")


def words(text: str, language: str = "en") -> list[str]:
    """The words of a text, as transcripts have them.

    >>> words("“Mr. Brown’s well-known dog,” she said in 1984.")
    ['mister', "brown's", 'well', 'known', 'dog', 'she', 'said', 'in', 'nineteen', 'eighty', 'four']

    Args:
        text: any.
        language: code of two letters, by which numbers are written in words.

    Raises:
        MissingExtraError: there are digits, and what writes them in words is not installed.
        UsageError: there are digits, and numbers are not known in that language.
    """
    english = language == "en"
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES))
    text = text.lower()
    if any(letter.isdigit() for letter in text):
        text = _NUMBER.sub(lambda number: f" {_spoken(number, language)} ", text).lower()
    if not text.isascii():
        text = "".join(_letter(each, english) for each in text.translate(LETTERS if english else {}))
    written = _ASCII_WORD.findall(text) if text.isascii() else text.split()
    kept = [word if word in ELISIONS else word.strip("'") for word in written]
    return [SPOKEN.get(word, word) if english else word for word in kept if word and (english or word != "&")]


def sentences(lines: Iterable[str], language: str = "en", running: bool = True) -> Iterator[list[str]]:
    """The sentences of a text as rows of words, a paragraph at a time.

    Speech pauses at more marks than a full stop: clauses behind a semicolon, a colon or a dash, in brackets and in
    quotation marks are sentences of their own, as they are utterances in recordings.

    Args:
        lines: of the text.
        language: as for ``words``.
        running: paragraphs end at empty lines; else every line is a sentence, whatever marks are in it.

    Raises:
        MissingExtraError, UsageError: as ``words``.
    """
    if not running:
        yield from filter(None, (words(line, language) for line in lines))
        return
    paragraph: list[str] = []
    for line in chain(lines, [""]):
        if line.strip():
            paragraph.append(line.strip())
            continue
        for part in _PAUSE.split(" ".join(paragraph).translate(APOSTROPHES)):
            if found := words(part, language):
                yield found
        paragraph = []


def _letter(character: str, english: bool) -> str:
    """A letter or a mark on one as it is, in English without accents; nothing for marks of format; else a space."""
    if character == "'":
        return character
    if character == "&":
        return " & "
    kind = unicodedata.category(character)
    if kind[0] in "LM":
        plain = unicodedata.normalize("NFKD", character)[0] if english else character
        return plain if plain.isascii() else character
    return "" if kind == "Cf" else " "


def _spoken(number: re.Match[str], language: str) -> str:
    """A number in words."""
    digits = number["number"].replace(",", "")
    if digits.isdigit() and (len(digits) > LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1)):
        return " ".join(_in_words(int(digit), language) for digit in digits)
    value = float(digits) if "." in digits else int(digits)
    if number["currency"]:
        return _in_words(value, language, "currency", CURRENCIES[number["currency"]])
    if number["ordinal"] and isinstance(value, int):
        return _in_words(value, language, "ordinal")
    year = number["number"].isdigit() and EARLIEST_YEAR <= value <= LATEST_YEAR and not number["percent"]
    said = _in_words(value, language, "year" if year else "cardinal")
    if number["plural"]:
        return said.removesuffix("y") + ("ies" if said.endswith("y") else "s")
    return said + (" percent" if number["percent"] else "")


@lru_cache(maxsize=4096)
def _in_words(value: float, language: str, kind: str = "cardinal", currency: str = "") -> str:
    try:
        return _writer()(value, lang=language, to=kind, **({"currency": currency} if currency else {}))
    except NotImplementedError:
        if kind != "cardinal":
            return _in_words(value, language)
        raise UsageError(f"Numbers cannot be written in words in the language '{language}'.") from None


def _writer() -> Callable[..., str]:
    try:
        from num2words import num2words
    except ImportError as error:
        raise missing_extra("text") from error
    return num2words
