"""What is heard when: windows of one word become one event."""

import numpy as np

from unbabble.pipelines.label import joined
from unbabble.pipelines.sounds import Windows

WORDS = ("rain", "siren")


def events(starts, best, seconds):
    shares = np.array([[0.9, 0.1] if each == "rain" else [0.2, 0.8] for each in best])
    windows = Windows(np.array(starts, np.float32), np.zeros((len(starts), 1)))
    return [(e.start, e.end, e.text, round(e.score, 3)) for e in joined(windows, shares, WORDS, 2.0, seconds)]


def test_neighbours_of_one_word_are_one_event():
    assert events([0, 1, 2], ["rain"] * 3, 4.0) == [(0, 4, "rain", 0.9)]


def test_another_word_begins_in_the_middle_of_what_two_windows_share():
    assert events([0, 1, 2, 3], ["rain", "rain", "siren", "siren"], 5.0) == [
        (0, 2.5, "rain", 0.9),
        (2.5, 5, "siren", 0.8),
    ]


def test_silence_parts_events():
    assert events([0, 6], ["rain", "rain"], 8.0) == [(0, 2, "rain", 0.9), (6, 8, "rain", 0.9)]


def test_a_short_recording_is_one_event():
    assert events([0], ["siren"], 0.7) == [(0, 0.7, "siren", 0.8)]
