"""Distances between phones: a scale from 0 to 1 on which likely substitutions are near."""

from itertools import combinations

import pytest

from unbabble.text.phones import CONSONANTS, PHONES, VOWELS, distance


def test_the_phones_are_those_of_cmudict():
    assert len(PHONES) == 39
    assert (PHONES[0], PHONES[-1]) == ("AA", "ZH")
    assert set(CONSONANTS) | set(VOWELS) == set(PHONES)


def test_distance_is_symmetric_and_between_0_and_1():
    assert all(distance(phone, phone) == 0 for phone in PHONES)
    for one, other in combinations(PHONES, 2):
        assert 0 < distance(one, other) == distance(other, one) <= 1, (one, other)


@pytest.mark.parametrize(
    ("said", "near", "far"),
    [
        ("W", "R", "K"),  # rabbit, wabbit
        ("F", "TH", "N"),  # three, free
        ("S", "SH", "M"),
        ("T", "K", "L"),  # cat, tat
        ("W", "L", "S"),
        ("D", "DH", "SH"),
        ("B", "P", "S"),
        ("N", "NG", "F"),
        ("IH", "IY", "AO"),
        ("EH", "AE", "UW"),
        ("AH", "ER", "IY"),
        ("OW", "AO", "IY"),
        ("ER", "R", "T"),
        ("UW", "W", "B"),
    ],
)
def test_what_is_often_said_in_its_place_is_nearer(said, near, far):
    assert distance(said, near) < distance(said, far)
    assert distance(said, near) <= 0.5


def test_consonants_and_vowels_are_far_apart_but_for_glides():
    assert distance("T", "AA") == 1
    assert 0.5 <= distance("Y", "IY") < distance("Y", "AA") < 1


def test_what_is_no_phone_has_no_distance():
    with pytest.raises(KeyError):
        distance("AH0", "AH")
    with pytest.raises(KeyError):
        distance("XX", "XX")
