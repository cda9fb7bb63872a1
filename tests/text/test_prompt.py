"""What was said against a prompt: against all alignments, with pronunciations to choose from."""

from functools import cache

import numpy as np
import pytest

from unbabble.text.phones import PHONES
from unbabble.text.prompt import GAP, _cost, align_prompt


def cost(row) -> float:
    return sum(GAP if None in (each.expected, each.said) else _cost(each.expected, each.said) for each in row)


def least(expected, said) -> float:
    @cache
    def rest(i, j):
        if i == len(expected):
            return GAP * (len(said) - j)
        if j == len(said):
            return GAP * (len(expected) - i)
        return min(
            _cost(expected[i], said[j]) + rest(i + 1, j + 1), GAP + rest(i + 1, j), GAP + rest(i, j + 1)
        )

    return rest(0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_no_alignment_in_any_pronunciation_is_cheaper(seed):
    rng = np.random.default_rng(seed)

    def drawn(most):
        return tuple(rng.choice(PHONES[:8], rng.integers(1, most)))

    prompt = [[drawn(4) for _ in range(rng.integers(1, 4))] for _ in range(3)]
    said = list(drawn(9))
    row = align_prompt(prompt, said)
    spoken = [()]
    for variants in prompt:
        spoken = [begun + variant for begun in spoken for variant in variants]
    assert cost(row) == pytest.approx(min(least(each, tuple(said)) for each in spoken))
    assert [each.said for each in row if each.said] == said
    assert tuple(each.expected for each in row if each.expected) in spoken
    assert [each.place for each in row if each.place is not None] == list(range(len(said)))


def test_nothing_said_is_all_missing_and_too_much_is_inserted():
    assert [each.said for each in align_prompt([[("K", "AE", "T")]], [])] == [None, None, None]
    row = align_prompt([[("K", "AE", "T")]], ["M", "K", "AE", "T", "S"])
    assert [(each.word, each.expected, each.said) for each in row if not each.right] == [
        (-1, None, "M"),
        (0, None, "S"),
    ]


def test_a_lisp_is_a_substitution_by_the_phone_nearby():
    row = align_prompt([[("S", "IH", "T")], [("S", "AO")]], ["TH", "IH", "T", "TH", "AO"])
    assert [(each.expected, each.said) for each in row if not each.right] == [("S", "TH"), ("S", "TH")]
