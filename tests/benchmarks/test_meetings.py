"""What the claims on conversations make of turns and windows."""

import numpy as np
import pytest

from benchmarks.kit.conversations import labelled, one_at_a_time, speech_of, windows
from benchmarks.meetings import diarization, meeting_words
from unbabble.base.spans import Span
from unbabble.signal.diarization import TurnErrors, compare

TURNS = [
    Span(0.0, 4.0, speaker="ann"),
    Span(3.0, 5.0, speaker="ben"),
    Span(3.5, 4.5, speaker="cat"),
    Span(6.0, 6.5, speaker="ann"),
]


def test_one_at_a_time_misses_what_overlaps_and_nothing_else():
    assert speech_of(TURNS) == [Span(0.0, 5.0), Span(6.0, 6.5)]
    assert compare(TURNS, one_at_a_time(TURNS)).errors == TurnErrors(speech=7.5, missed=2.0)


def test_windows_cover_speech_and_nothing_else():
    speech = speech_of(TURNS)
    parts = windows(speech)
    assert parts[-1] == Span(6.0, 6.5), "what is shorter than a window is one"
    assert parts[-2].end == 5.0
    assert all(part.seconds == pytest.approx(1.6) for part in parts[:-1])
    whole = labelled(speech, parts, [0] * len(parts))
    assert [(turn.start, turn.end) for turn in whole] == [(0.0, 5.0), (6.0, 6.5)]


def test_the_nearest_window_says_whose_speech_is():
    turns = labelled([Span(0.0, 2.0)], [Span(0.0, 1.0), Span(1.0, 2.0)], [3, 1])
    assert [turn.speaker for turn in turns] == ["3", "1"]
    assert turns[0].end == turns[1].start == pytest.approx(1.0, abs=0.1)


def test_a_line_of_the_table_adds_up_seconds():
    rows = {"0%": {"0": [10.0, 1.0, 0.0, 0.0, 2, 2]}, "long turns": {"0": [10.0, 0.0, 0.0, 5.0, 2, 3]}}
    line = diarization.summary("way", rows)
    assert (line["all"], line["missed"], line["right"], line["off"]) == (10.0, 10.0, "1 of 2", 0.5)
    assert line["long turns"] == 50.0
    rows["0%"]["1"] = [30.0, 0.0, 0.0, 11.0, 2, 2]
    assert diarization.summary("way", rows)["0%"][0] == pytest.approx(30.0), (
        "of all seconds, no mean of rates"
    )


def test_turns_are_cut_from_the_sound_of_their_talker():
    sounds = {name: np.full(100, k) for k, name in enumerate(("ann", "ben", "cat"))}
    pieces = meeting_words.cut(sounds, TURNS, 10)
    assert [(name, len(sound), sound[0]) for name, sound in pieces] == [
        ("ann", 40, 0), ("ben", 20, 1), ("cat", 10, 2), ("ann", 5, 0),
    ]  # fmt: skip


def test_where_several_speak_at_once_and_who():
    assert meeting_words.overlaps(TURNS) == [
        (3.0, 3.5, ["ann", "ben"]),
        (3.5, 4.0, ["ann", "ben", "cat"]),
        (4.0, 4.5, ["ben", "cat"]),
    ]
