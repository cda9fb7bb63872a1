"""Diarization error rates: closed forms, and equality with pyannote.metrics on random turns."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from unbabble.base.spans import Span
from unbabble.signal.diarization import TurnErrors, compare, overlap_share

PEER = json.loads((Path(__file__).parent.parent / "fixtures" / "turns.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-9
REFERENCE = [Span(0, 4, speaker="anna"), Span(3, 6, speaker="ben"), Span(7, 9, speaker="anna")]


def spans(rows):
    return [Span(start, end, speaker=name) for start, end, name in rows]


def renamed(turns, names):
    return [Span(turn.start, turn.end, speaker=names[turn.speaker]) for turn in turns]


@pytest.mark.parametrize("case", PEER, ids=range(len(PEER)))
def test_equal_to_pyannote_metrics(case):
    found = compare(
        spans(case["reference"]),
        spans(case["hypothesis"]),
        [Span(*each) for each in case["within"]],
        collar=case["collar_width"] / 2,
    )
    for name in ("speech", "missed", "false_alarm", "confusion"):
        assert getattr(found.errors, name) == pytest.approx(case[name], abs=TOLERANCE)
    if case["speech"]:  # pyannote.metrics caps what is infinite at 1
        assert found.errors.rate == pytest.approx(case["der"], abs=TOLERANCE)
    assert len(found.jaccard) == case["speakers"]
    if case["jaccard"] is not None:  # else two mappings are equally good
        assert sum(found.jaccard.values()) == pytest.approx(case["jaccard"], abs=TOLERANCE)


def test_the_cases_of_the_peer_have_every_kind_of_error():
    for name in ("missed", "false_alarm", "confusion", "collar_width"):
        assert sum(case[name] > 0 for case in PEER) > 20
    assert sum(case["jaccard"] is not None for case in PEER) > 90


def test_names_mean_nothing():
    found = compare(REFERENCE, renamed(REFERENCE, {"anna": "ben", "ben": "anna"}))
    assert found.errors == TurnErrors(speech=9.0)
    assert found.speakers == {"anna": "ben", "ben": "anna"}
    assert found.jaccard == {"anna": 0.0, "ben": 0.0}


def test_a_boundary_that_is_late_costs_as_long():
    late = [Span(0.5, 4, speaker="a"), *renamed(REFERENCE[1:], {"anna": "a", "ben": "b"})]
    assert compare(REFERENCE, late).errors == TurnErrors(speech=9.0, missed=0.5)
    early = [Span(0, 4, speaker="a"), Span(2.75, 6, speaker="b"), Span(7, 9.25, speaker="a")]
    assert compare(REFERENCE, early).errors == TurnErrors(speech=9.0, false_alarm=0.5)
    assert compare(REFERENCE, early, collar=0.25).errors == TurnErrors(speech=6.5)
    shifted = compare(REFERENCE, early, collar=0.125).errors
    assert shifted == TurnErrors(speech=7.75, false_alarm=0.25)


def test_one_talker_for_everything_confuses_all_others():
    found = compare(REFERENCE, [Span(0, 6, speaker="x"), Span(7, 9, speaker="x")])
    assert found.errors == TurnErrors(speech=9.0, missed=1.0, confusion=2.0)
    assert found.speakers == {"anna": "x"}
    assert found.jaccard == {"anna": pytest.approx(2 / 8), "ben": 1.0}


def test_nobody_and_nothing():
    assert compare([], []).errors.rate == 0
    assert compare(REFERENCE, []).errors == TurnErrors(speech=9.0, missed=9.0)
    only_wrong = compare([], REFERENCE).errors
    assert only_wrong == TurnErrors(false_alarm=9.0)
    assert only_wrong.rate == float("inf")


def test_turns_of_one_talker_that_overlap_are_one():
    parts = [Span(0, 3, speaker="a"), Span(2, 4, speaker="a"), Span(4, 5, speaker="a")]
    whole = [Span(0, 5, speaker="a")]
    assert compare(whole, parts).errors == TurnErrors(speech=5.0)
    assert compare(parts, whole, collar=0.5).errors == TurnErrors(speech=4.0)
    assert overlap_share(parts) == 0


def test_errors_add_up():
    cases = [compare(spans(case["reference"]), spans(case["hypothesis"])).errors for case in PEER[:10]]
    for one, other in pairwise(cases):
        both = one + other
        assert both.seconds == pytest.approx(one.seconds + other.seconds)
        assert both.speech == one.speech + other.speech


def test_a_turn_needs_a_speaker():
    with pytest.raises(ValueError, match="no speaker"):
        compare([Span(0, 1)], [])
    with pytest.raises(ValueError, match="collar"):
        compare(REFERENCE, REFERENCE, collar=-1)
