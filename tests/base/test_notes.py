"""Warnings of one kind, whatever their numbers."""

import pytest

from unbabble.base import notes

CLIPPED = "{} % of the samples are clipped: separation suffers."
STREAMS = "2 sound streams; taking the first ({}); --stream 2 takes the other ({})."
SCALED = "Scaled by {} ({} dB), all alike, so that nothing clips; --format wav keeps the level."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CLIPPED.format("0.0123"), CLIPPED.format("1.2e-05")),
        (STREAMS.format("English", "German"), STREAMS.format("French", "Commentary, by the director")),
        (SCALED.format("0.5", "-6"), SCALED.format("1e-05", "-100")),
        ("Model 'a.8k' works at 8 kHz.", "Model 'b.16k' works at 16 kHz."),
    ],
)
def test_numbers_names_and_remarks_make_no_other_kind(one, other):
    said = [one]
    notes.add(said, [other, "The recording is silent."])
    assert said == [one, "The recording is silent."]


def test_several_warnings_of_one_recording_count_once():
    said = [("a", CLIPPED.format(1)), ("a", CLIPPED.format(2)), ("b", CLIPPED.format(3)), ("b", "Silent.")]
    assert notes.grouped(said) == [("a", CLIPPED.format(1), 1), ("b", "Silent.", 0)]
