"""How English words are spoken: a dictionary where it has them, else rules; no word is ever dropped.

A word that the dictionary lacks is made of words that it has (``brown's``, ``unkindly``, ``birdsong``, ``colour``) or,
failing that, is read letter by letter (``text.spelling``); numbers are read out.
"""

import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice, product
from pathlib import Path
from typing import TypeAlias

from unbabble.base.errors import InputError
from unbabble.text.normalise import words
from unbabble.text.phones import PHONES
from unbabble.text.spelling import read

Pronunciation: TypeAlias = tuple[str, ...]

MOST_VARIANTS = 4
"""Pronunciations of a word that is made of several words."""
LEAST_STEM, LEAST_PART = 3, 4
"""Letters of what a suffix is put to, and of each part of a compound: shorter ones are there by chance."""
SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
VOICELESS = frozenset({"P", "T", "K", "F", "TH"}) | {"S", "SH", "CH"}

CONTRACTIONS = {"'ll": "AH L", "'ve": "AH V", "'re": "ER", "'d": "D", "'m": "AH M", "n't": "AH N T"}
SUFFIXES = {
    "ing": "IH NG",
    "er": "ER",
    "ers": "ER Z",
    "est": "AH S T",
    "ly": "L IY",
    "ness": "N AH S",
    "less": "L AH S",
    "ful": "F AH L",
    "ment": "M AH N T",
    "able": "AH B AH L",
    "ably": "AH B L IY",
    "ish": "IH SH",
    "like": "L AY K",
    "ship": "SH IH P",
    "hood": "HH UH D",
    "ward": "W ER D",
    "wards": "W ER D Z",
    "y": "IY",
}
PREFIXES = {
    "un": "AH N",
    "re": "R IY",
    "in": "IH N",
    "non": "N AA N",
    "mis": "M IH S",
    "dis": "D IH S",
    "over": "OW V ER",
    "under": "AH N D ER",
    "fore": "F AO R",
    "out": "AW T",
    "inter": "IH N T ER",
    "counter": "K AW N T ER",
}
RESPELLED = tuple(
    (re.compile(british), american)
    for british, american in (
        ("our", "or"),
        ("(?<=[iy])s(?=[aei])", "z"),
        ("ll(?=e|i|o|m)", "l"),
        ("[ao]e", "e"),
        ("(?<=[bht])re", "er"),
        ("ence", "ense"),
        ("gramme", "gram"),
    )
)
"""British spellings, each with the American one that CMUdict has."""


def read_dictionary(path: str | os.PathLike[str]) -> dict[str, list[Pronunciation]]:
    """Read a dictionary in the format of CMUdict.

    Lines are ``word PHONE PHONE ...``; further pronunciations follow as ``word(2)``. Stress digits, comments (``;;;``
    or ``#``) and duplicates are left out.

    Returns:
        Words in lower case, each with its pronunciations, the usual one first.

    Raises:
        InputError: it cannot be read, is empty, or has a line without phones or with one that English has not.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the dictionary '{path}': {error.strerror or error}.") from None
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = content.decode("latin-1").splitlines()
    known = set(PHONES)
    entries: dict[str, list[Pronunciation]] = {}
    for number, line in enumerate(lines, 1):
        if line.startswith(";;;"):
            continue
        word, *phones = line.split(" #")[0].split() or [""]
        if not word or word.startswith("#"):
            continue
        said = tuple(phone.rstrip("012").upper() for phone in phones)
        if not said or not known.issuperset(said):
            strange = next((phone for phone in said if phone not in known), "")
            why = (
                f"has '{strange}', which is no phone of CMUdict's" if strange else "has a word without phones"
            )
            raise InputError(f"Line {number} of the dictionary '{name}' {why}.")
        variants = entries.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), [])
        if said not in variants:
            variants.append(said)
    if not entries:
        raise InputError(f"The dictionary '{name}' is empty.")
    return entries


class Pronouncer:
    """Pronunciations of any English word.

    Args:
        dictionary: words in lower case, each with its pronunciations, the usual one first.
    """

    def __init__(self, dictionary: Mapping[str, list[Pronunciation]]) -> None:
        self.dictionary = dictionary

    def of(self, word: str) -> list[Pronunciation]:
        """All pronunciations of a word, the usual one first.

        >>> Pronouncer({"kind": [("K", "AY", "N", "D")]}).of("unkindly")
        [('AH', 'N', 'K', 'AY', 'N', 'D', 'L', 'IY')]

        Raises:
            InputError: it has nothing to pronounce: neither a letter of English nor a digit.
        """
        word = word.lower()
        if known := self.dictionary.get(word):
            return list(known)
        parts = words(word)
        if not parts or any(not re.fullmatch("[a-z']+", part) for part in parts):
            raise InputError(f"'{word}' cannot be pronounced: it is not written in letters of English.")
        if parts == [word]:
            return self._derived(word) or self._compound(word) or [read(re.sub("[^a-z]", "", word))]
        return _joined([self.of(part) for part in parts])

    def _derived(self, word: str) -> list[Pronunciation]:
        """Those that follow from one word of the dictionary; none where nothing follows."""
        if known := self.dictionary.get(word):
            return list(known)
        if "'" in word:
            return self._with_apostrophe(word)
        for way in (self._inflected, self._with_suffix, self._respelled, self._with_prefix):
            if variants := way(word):
                return variants
        return []

    def _with_apostrophe(self, word: str) -> list[Pronunciation]:
        """Possessives and contractions; any other apostrophe is silent."""
        if word.endswith("'s"):
            return [each + _plural(each) for each in self.of(word.removesuffix("'s"))]
        for end, phones in CONTRACTIONS.items():
            if word.endswith(end) and len(word) > len(end):
                return [each + tuple(phones.split()) for each in self.of(word.removesuffix(end))]
        return self.of(word.replace("'", ""))

    def _inflected(self, word: str) -> list[Pronunciation]:
        """Plurals, pasts, and "goin" for "going"."""
        bases: list[str] = []
        if word.endswith("s") and not word.endswith("ss"):
            bases = [word[:-1], *([word[:-3] + "y"] if word.endswith("ies") else [])]
            bases += [word[:-2]] if word.endswith("es") else []
            if variants := self._first(bases):
                return [each + _plural(each) for each in variants]
        if word.endswith("ed") and (variants := self._first(_stems(word, "ed"))):
            return [each + _past(each) for each in variants]
        if word.endswith("in"):
            return [(*each[:-1], "N") for each in self.dictionary.get(word + "g", []) if each[-1] == "NG"]
        return []

    def _with_suffix(self, word: str) -> list[Pronunciation]:
        for suffix, phones in SUFFIXES.items():
            if word.endswith(suffix) and (variants := self._first(_stems(word, suffix))):
                return [each + tuple(phones.split()) for each in variants]
        return []

    def _with_prefix(self, word: str) -> list[Pronunciation]:
        for prefix, phones in PREFIXES.items():
            rest = word.removeprefix(prefix)
            if rest != word and (variants := self._first([rest])):
                return [tuple(phones.split()) + each for each in variants]
        return []

    def _respelled(self, word: str) -> list[Pronunciation]:
        for british, american in RESPELLED:
            for place in british.finditer(word, 1):
                respelled = word[: place.start()] + american + word[place.end() :]
                if known := self.dictionary.get(respelled):
                    return list(known)
        return []

    def _compound(self, word: str) -> list[Pronunciation]:
        """Two words of the dictionary, as near to halves as there are."""
        places = range(LEAST_PART, len(word) - LEAST_PART + 1)
        for place in sorted(places, key=lambda place: abs(2 * place - len(word))):
            first, second = (self.dictionary.get(part) for part in (word[:place], word[place:]))
            if first and second:
                return _joined([list(first), list(second)])
        return []

    def _first(self, bases: Iterable[str]) -> list[Pronunciation]:
        """Those of the first of several words that the dictionary has, else that follows from one that it has."""
        bases = [base for base in bases if len(base) >= LEAST_STEM]
        for look_up in (self.dictionary.get, self._derived):
            for base in bases:
                if variants := look_up(base):
                    return list(variants)
        return []


def _stems(word: str, suffix: str) -> list[str]:
    """What a suffix may have been put to: as it stands, without a doubled consonant, with e, with y."""
    stem = word.removesuffix(suffix)
    stems = [stem] if suffix not in ("er", "ed", "ing", "y", "able") else [stem + "e", stem]
    if len(stem) > LEAST_STEM and stem[-1] == stem[-2]:
        stems.append(stem[:-1])
    if stem.endswith("i"):
        stems.append(stem[:-1] + "y")
    return stems


def _plural(base: Pronunciation) -> Pronunciation:
    """What -s says behind a word."""
    if base[-1] in SIBILANTS:
        return ("AH", "Z")
    return ("S",) if base[-1] in VOICELESS else ("Z",)


def _past(base: Pronunciation) -> Pronunciation:
    """What -ed says behind a word."""
    if base[-1] in ("T", "D"):
        return ("AH", "D")
    return ("T",) if base[-1] in VOICELESS else ("D",)


def _joined(parts: list[list[Pronunciation]]) -> list[Pronunciation]:
    """One behind the other, the usual pronunciations of all first."""
    several = islice(product(*parts), MOST_VARIANTS)
    return list(dict.fromkeys(tuple(phone for part in each for phone in part) for each in several))
