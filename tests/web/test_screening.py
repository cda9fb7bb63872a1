"""Who is left out of a listening study, and why."""

from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unbabble.web.rate.screening import Answer, Record, outliers, screen


def honest(**changes) -> Record:
    """Somebody whose votes count in a study of voices."""
    answers = [Answer("rate", value, "a", f"t{k}") for k, value in enumerate((1, 3, 5, 4, 2))]
    answers += [Answer("gold", 2, "gold", "t5", expected=1), Answer("trap", 4, "trap", "t6", expected=4)]
    return Record(**({"listener": "0", "finished": True, "answers": answers, "headphones": True} | changes))


def test_an_honest_listener_stays():
    assert screen([honest()], "realm").kept == [honest()]
    assert screen([honest(headphones=None)], "acr").left_out == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finished": False}, "did not finish"),
        ({"hearing": False}, "hearing"),
        ({"quiet": False}, "a quiet place"),
        ({"headphones": False}, "headphone check"),
    ],
)
def test_what_is_known_of_a_listener_decides(changes, reason):
    ((_, why),) = screen([honest(**changes)], "realm").left_out
    assert len(why) == 1
    assert reason in why[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("trap", 3, expected=4), "trapping clip (once)"),
        (Answer("gold", 3, expected=1), "known answer (once)"),
        (Answer("gold", 3, expected=5), "known answer (once)"),
        (Answer("rate", 3, trial="x", played=0.94), "listen to everything (1 trial)"),
    ],
)
def test_one_bad_answer_is_enough(answer, reason):
    bad = honest(answers=[*honest().answers, answer])
    ((_, why),) = screen([bad], "acr").left_out
    assert len(why) == 1
    assert reason in why[0]


def test_known_answers_are_met_within_one_and_trapping_clips_exactly():
    near = [Answer("gold", value, expected=4) for value in (3, 4, 5)]
    assert not screen([honest(answers=[*honest().answers, *near])], "realm").left_out
    assert screen([honest(answers=[Answer("trap", 3, expected=4)])], "realm").left_out


def test_pressing_one_button_has_no_variance():
    # sample variance of four 3s and one 4: .2; of nine 3s and one 4: .1; of ten 3s and one 4: .0909
    def with_votes(*values):
        return honest(answers=[Answer("rate", value) for value in values])

    assert screen([with_votes(3, 3, 3, 3)], "acr").left_out
    assert not screen([with_votes(3, 3, 3)], "acr").left_out, "three votes say nothing"
    assert not screen([with_votes(*[3] * 9, 4)], "acr").left_out
    assert screen([with_votes(*[3] * 10, 4)], "acr").left_out
    varied_checks = [*[Answer("rate", 3)] * 6, Answer("gold", 1, expected=1), Answer("trap", 5, expected=5)]
    assert screen([honest(answers=varied_checks)], "acr").left_out, "checks do not count as votes"


def test_of_a_pair_the_better_side_is_the_known_answer():
    good = [
        Answer("gold", "made: as it is", expected="made: as it is"),
        Answer("rate", 1),
        Answer("trap", 2, expected=2),
    ]
    assert not screen([honest(answers=good)], "ab").left_out
    for value in ("made: under noise", ""):
        assert screen([honest(answers=[Answer("gold", value, expected="made: as it is")])], "ab").left_out


@pytest.mark.parametrize(
    ("missed", "trials", "stays"), [(1, 7, True), (3, 20, True), (4, 20, False), (1, 6, False)]
)
def test_the_hidden_reference_may_be_missed_in_15_percent_of_the_trials(missed, trials, stays):
    answers = [Answer("rate", 89 if k < missed else 90, reference=True) for k in range(trials)]
    answers += [Answer("rate", 10, "a")] * trials
    assert bool(screen([honest(answers=answers)], "mushra").kept) == stays


def test_outliers_are_beyond_3_29_standard_deviations():
    values = [3.0] * 20 + [100.0]
    assert (100 - fmean(values)) / pstdev(values) > 3.29
    assert outliers(values) == [False] * 20 + [True]
    assert outliers([1, 5]) == [False, False]
    assert outliers([4]) == [False]
    assert outliers([2, 2, 2]) == [False] * 3


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=11))
def test_eleven_votes_have_no_outlier(values):
    # the largest possible z among n values is sqrt(n - 1)
    assert not any(outliers(values))
