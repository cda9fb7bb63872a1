"""The phones of English as CMUdict writes them, what they are made with, and how far apart two of them are.

Consonants are described by place, manner and voicing, vowels by where the tongue is (height, backness), by rounded lips
and, for diphthongs, by where the tongue goes. ``distance`` weighs these, so that an alignment of what should have been
said with what was said pairs a *w* with the *r* that it replaces rather than with a vowel beside it.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Consonant:
    """How a consonant is made.

    Attributes:
        place: where, a key of ``PLACES``.
        manner: how, a key of ``MANNERS``.
        voiced: whether the vocal folds vibrate.
    """

    place: str
    manner: str
    voiced: bool


@dataclass(frozen=True)
class Vowel:
    """How a vowel is made.

    Attributes:
        height: of the tongue, from 0 (open, as in *father*) to 1 (close, as in *see*).
        backness: of the tongue, from 0 (front, as in *see*) to 1 (back, as in *two*).
        rounded: whether the lips are.
        to: of a diphthong, the vowel that it ends near; empty for others.
        rhotic: coloured by an *r*, as in *bird*.
    """

    height: float
    backness: float
    rounded: bool = False
    to: str = ""
    rhotic: bool = False


PLACES = {
    "labial": 0.0,
    "labiodental": 0.1,
    "dental": 0.25,
    "alveolar": 0.4,
    "postalveolar": 0.55,
    "palatal": 0.7,
    "velar": 0.85,
    "glottal": 1.0,
}
"""From the lips, 0, to the larynx, 1."""

MANNERS: dict[str, frozenset[str]] = {
    "stop": frozenset(),
    "affricate": frozenset({"released into a fricative", "sibilant"}),
    "fricative": frozenset({"released into a fricative", "continuant"}),
    "sibilant": frozenset({"released into a fricative", "continuant", "sibilant"}),
    "nasal": frozenset({"sonorant", "nasal"}),
    "lateral": frozenset({"sonorant", "continuant", "lateral"}),
    "approximant": frozenset({"sonorant", "continuant"}),
}
"""Each manner by its properties: the more of them two manners do not share, the further apart they are."""

CONSONANTS = {
    "P": Consonant("labial", "stop", False),
    "B": Consonant("labial", "stop", True),
    "T": Consonant("alveolar", "stop", False),
    "D": Consonant("alveolar", "stop", True),
    "K": Consonant("velar", "stop", False),
    "G": Consonant("velar", "stop", True),
    "CH": Consonant("postalveolar", "affricate", False),
    "JH": Consonant("postalveolar", "affricate", True),
    "F": Consonant("labiodental", "fricative", False),
    "V": Consonant("labiodental", "fricative", True),
    "TH": Consonant("dental", "fricative", False),
    "DH": Consonant("dental", "fricative", True),
    "S": Consonant("alveolar", "sibilant", False),
    "Z": Consonant("alveolar", "sibilant", True),
    "SH": Consonant("postalveolar", "sibilant", False),
    "ZH": Consonant("postalveolar", "sibilant", True),
    "HH": Consonant("glottal", "fricative", False),
    "M": Consonant("labial", "nasal", True),
    "N": Consonant("alveolar", "nasal", True),
    "NG": Consonant("velar", "nasal", True),
    "L": Consonant("alveolar", "lateral", True),
    "R": Consonant("postalveolar", "approximant", True),
    "W": Consonant("labial", "approximant", True),
    "Y": Consonant("palatal", "approximant", True),
}

VOWELS = {
    "IY": Vowel(1.0, 0.0),
    "IH": Vowel(0.8, 0.15),
    "EH": Vowel(0.45, 0.1),
    "AE": Vowel(0.15, 0.1),
    "AA": Vowel(0.0, 0.8),
    "AO": Vowel(0.3, 1.0, rounded=True),
    "AH": Vowel(0.4, 0.6),
    "UH": Vowel(0.8, 0.85, rounded=True),
    "UW": Vowel(1.0, 1.0, rounded=True),
    "ER": Vowel(0.5, 0.5, rhotic=True),
    "EY": Vowel(0.6, 0.1, to="IH"),
    "AY": Vowel(0.05, 0.5, to="IH"),
    "OY": Vowel(0.35, 0.95, rounded=True, to="IH"),
    "AW": Vowel(0.05, 0.5, to="UH"),
    "OW": Vowel(0.6, 0.95, rounded=True, to="UH"),
}

GLIDES = {"W": "UW", "Y": "IY", "R": "ER"}
"""Consonants, each with the vowel that it would be if it lasted."""

PHONES: tuple[str, ...] = tuple(sorted({*CONSONANTS, *VOWELS}))
"""The 39 phones of CMUdict without stress, AA to ZH."""

MANNER_WEIGHT, PLACE_WEIGHT, VOICING_WEIGHT = 0.5, 0.35, 0.15
HEIGHT_WEIGHT, BACKNESS_WEIGHT, ROUNDED_WEIGHT, GLIDE_WEIGHT, RHOTIC_WEIGHT = 0.35, 0.25, 0.1, 0.2, 0.1
MOST_PROPERTIES = 4
"""Manners that differ in so many properties, or more, are as far apart as can be."""


@cache
def distance(one: str, other: str) -> float:
    """How far apart two phones are: 0 the same, 1 a consonant and a vowel.

    >>> distance("P", "B") < distance("P", "K") < distance("P", "Z") < distance("P", "AA")
    True

    Raises:
        KeyError: not one of ``PHONES``.
    """
    if one == other and one in PHONES:
        return 0.0
    if one in CONSONANTS and other in CONSONANTS:
        return _between_consonants(CONSONANTS[one], CONSONANTS[other])
    if one in VOWELS and other in VOWELS:
        return _between_vowels(VOWELS[one], VOWELS[other])
    consonant, vowel = (one, other) if one in CONSONANTS else (other, one)
    if consonant not in CONSONANTS or vowel not in VOWELS:
        raise KeyError(f"{one} {other}")
    if consonant in GLIDES:
        return 0.5 + 0.5 * _between_vowels(VOWELS[GLIDES[consonant]], VOWELS[vowel])
    return 1.0


def _between_consonants(one: Consonant, other: Consonant) -> float:
    properties = len(MANNERS[one.manner] ^ MANNERS[other.manner])
    return (
        MANNER_WEIGHT * min(1.0, properties / MOST_PROPERTIES)
        + PLACE_WEIGHT * abs(PLACES[one.place] - PLACES[other.place])
        + VOICING_WEIGHT * (one.voiced != other.voiced)
    )


def _between_vowels(one: Vowel, other: Vowel) -> float:
    ends = [VOWELS[each.to] if each.to else each for each in (one, other)]
    return (
        HEIGHT_WEIGHT * abs(one.height - other.height)
        + BACKNESS_WEIGHT * abs(one.backness - other.backness)
        + ROUNDED_WEIGHT * (one.rounded != other.rounded)
        + GLIDE_WEIGHT * (abs(ends[0].height - ends[1].height) + abs(ends[0].backness - ends[1].backness)) / 2
        + RHOTIC_WEIGHT * (one.rhotic != other.rhotic)
    )
