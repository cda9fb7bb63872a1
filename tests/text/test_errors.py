"""Errors of words: closed forms, brute force over all alignments and assignments, jiwer, meeteval."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.text import errors as module
from unbabble.text.errors import (
    Errors,
    Step,
    align,
    by_unit,
    character_errors,
    cp_errors,
    errors,
    orc_errors,
    shown,
    word_errors,
)

PEERS = json.loads((Path(__file__).parent.parent / "fixtures" / "words.json").read_text(encoding="utf-8"))


def w(text):
    return text.split()


def draw(generator, most, units="abcd"):
    return "".join(generator.choice(list(units), generator.integers(0, most + 1)))


def all_alignments(reference, hypothesis):
    if not reference or not hypothesis:
        yield [Step(unit, None) for unit in reference] + [Step(None, unit) for unit in hypothesis]
        return
    for first, rest in (
        (Step(reference[0], hypothesis[0]), (reference[1:], hypothesis[1:])),
        (Step(reference[0], None), (reference[1:], hypothesis)),
        (Step(None, hypothesis[0]), (reference, hypothesis[1:])),
    ):
        yield from ([first, *others] for others in all_alignments(*rest))


def counted(alignment):
    return Errors(
        sum(step.reference == step.hypothesis for step in alignment),
        sum(None not in step and step.reference != step.hypothesis for step in alignment),
        sum(step.hypothesis is None for step in alignment),
        sum(step.reference is None for step in alignment),
    )


def test_of_all_alignments_the_one_with_fewest_errors_and_then_most_hits():
    generator = np.random.default_rng(0)
    for _ in range(60):
        reference, hypothesis = draw(generator, 5, "abc"), draw(generator, 5, "abc")
        best = min(
            map(counted, all_alignments(reference, hypothesis)), key=lambda each: (each.count, -each.hits)
        )
        assert errors(reference, hypothesis) == best
        alignment = align(reference, hypothesis)
        assert counted(alignment) == best
        assert "".join(step.reference or "" for step in alignment) == reference
        assert "".join(step.hypothesis or "" for step in alignment) == hypothesis


def test_the_order_of_two_words():
    assert word_errors("a b", "b a") == Errors(hits=1, deletions=1, insertions=1), "not two substitutions"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", Errors()),
        ("a b c", "", Errors(deletions=3)),
        ("", "a b c", Errors(insertions=3)),
        ("a b c", "a b c", Errors(hits=3)),
        ("a b c", "x y z", Errors(substitutions=3)),
    ],
)
def test_closed_forms(reference, hypothesis, expected):
    assert word_errors(reference, hypothesis) == expected


def test_rates():
    assert word_errors("a b", "c d e").rate == 1.5
    assert math.isnan(word_errors("", "a").rate), "there is nothing to count it by"
    assert character_errors("ab  cd", "abcd").rate == 1 / 5, "one blank counts, however many there are"
    pooled = sum((word_errors("a", "b"), word_errors("a b c", "a b c")), Errors())
    assert pooled.rate == 1 / 4, "errors per word, no mean over texts"


@pytest.mark.parametrize("case", PEERS["jiwer"], ids=lambda case: case["reference"])
def test_as_jiwer(case):
    texts = case["reference"], case["hypothesis"]
    assert word_errors(*texts).rate == pytest.approx(case["wer"], abs=1e-12)
    assert character_errors(*texts).rate == pytest.approx(case["cer"], abs=1e-12)


def test_pooled_as_jiwer():
    texts = [(case["reference"], case["hypothesis"]) for case in PEERS["jiwer"] if case["hypothesis"]]
    pooled = sum((word_errors(*pair) for pair in texts), Errors())
    assert pooled.rate == pytest.approx(PEERS["pooled_wer"], abs=1e-12)


def test_long_texts_are_aligned_in_parts(monkeypatch):
    generator = np.random.default_rng(1)
    for _ in range(40):
        reference, hypothesis = draw(generator, 40), draw(generator, 40)
        whole = errors(reference, hypothesis)
        monkeypatch.setattr(module, "CELLS_AT_ONCE", 30)
        alignment = align(reference, hypothesis)
        assert counted(alignment) == whole
        assert "".join(step.reference or "" for step in alignment) == reference
        assert "".join(step.hypothesis or "" for step in alignment) == hypothesis


@pytest.mark.parametrize("case", PEERS["cp"], ids=lambda case: " | ".join(case["references"]))
def test_as_meeteval_gives_talkers_their_texts(case):
    references, hypotheses = ([text.split() for text in case[side]] for side in ("references", "hypotheses"))
    assigned = cp_errors(references, hypotheses)
    assert assigned.errors.count == case["errors"]
    assert assigned.errors.reference == case["length"]


def test_the_order_of_voices_makes_no_difference():
    references = ["the cat sat", "a dog ran away", "nobody knows"]
    hypotheses = ["dog ran away", "nobody nose", "the cat sat on"]
    expected = cp_errors([each.split() for each in references], [each.split() for each in hypotheses])
    assert expected.order == (2, 0, 1)
    for order in itertools.permutations(range(3)):
        permuted = cp_errors(
            [each.split() for each in references], [hypotheses[number].split() for number in order]
        )
        assert permuted.errors == expected.errors
        assert [order[number] for number in permuted.order] == list(expected.order)
        assert permuted.each == expected.each


def test_edits_do_not_cross_from_talker_to_talker():
    """Of the concatenation no word would be wrong."""
    references, hypotheses = [w("a b c"), w("d e f")], [w("a b"), w("c d e f")]
    assert errors("abcdef", "abcdef").count == 0
    assert cp_errors(references, hypotheses).errors == Errors(hits=5, deletions=1, insertions=1)


def test_missing_voices_and_surplus_ones():
    talkers = [w("a b"), w("c")]
    alone = cp_errors(talkers, [w("c")])
    assert (alone.errors, alone.order) == (Errors(hits=1, deletions=2), (None, 0))
    surplus = cp_errors(talkers, [w("c"), w("a b"), w("x y z")])
    assert (surplus.errors, surplus.order) == (Errors(hits=3, insertions=3), (1, 0))
    assert surplus.surplus == Errors(insertions=3)
    assert cp_errors([], []).errors == Errors()


@pytest.mark.parametrize("case", PEERS["orc"], ids=lambda case: " | ".join(case["utterances"]))
def test_as_meeteval_gives_texts_their_utterances(case):
    utterances, hypotheses = ([text.split() for text in case[side]] for side in ("utterances", "hypotheses"))
    assert orc_errors(utterances, hypotheses) == case["errors"]


def test_one_text_has_all_utterances_and_none_has_none():
    utterances = [w("a b"), w("c")]
    assert orc_errors(utterances, [w("a x c")]) == errors("abc", "axc").count
    assert orc_errors(utterances, []) == 3


def test_too_much_for_orc_is_said(monkeypatch):
    monkeypatch.setattr(module, "COMBINATION_CELLS", 100)
    with pytest.raises(InputError, match="too long"):
        orc_errors([["a"]], [["a"] * 20, ["b"] * 20])


def test_confusions():
    found = by_unit([align(w("S AA T"), w("T AA T")), align(w("S IY"), w("IY D"))])
    assert found["S"] == (2, 0, {"T": 1}, 1, 0)
    assert found["T"] == (1, 1, {}, 0, 0)
    assert found["D"] == (0, 0, {}, 0, 1)
    assert list(found) == sorted(found)


def test_alignments_are_shown_in_columns_of_lines_that_are_not_too_long():
    assert shown([]) == ""
    alignment = align(w("one two three"), w("one too three four"))
    assert shown(alignment).split("\n") == ["one two three ****", "one too three four", "    S         I"]
    wrapped = shown(alignment, width=9).split("\n")
    assert wrapped == ["one two", "one too", "    S", "three", "three", "", "****", "four", "I"]
