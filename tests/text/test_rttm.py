"""RTTM and UEM: what is written is read again, rows of others, and what is no RTTM."""

import pytest

from unbabble.base.errors import InputError
from unbabble.base.spans import Span
from unbabble.text import rttm
from unbabble.text.rttm import read, read_uem, written

AMI = """;; from a corpus
SPKR-INFO dev01 1 <NA> <NA> <NA> unknown MEE012 <NA> <NA>
SPEAKER dev01 1 7.024 4.752 <NA> <NA> MÉO009 0.5 <NA>

SPEAKER dev01 1 4.304 2.448 <NA> <NA> MEE012 <NA>
SPEAKER\tdev02\t1\t0.000\t1.184\t<NA>\t<NA>\tMEE067
"""


def test_rows_of_others():
    turns = read(AMI)
    assert list(turns) == ["dev01", "dev02"]
    first, second = turns["dev01"]
    assert (first.start, first.speaker, first.score) == (4.304, "MEE012", None)
    assert (second.end, second.speaker, second.score) == (pytest.approx(11.776), "MÉO009", 0.5)
    assert turns["dev02"] == [Span(0.0, 1.184, speaker="MEE067")]


def test_what_is_written_is_read():
    turns = {
        "one": [Span(0.25, 1.5, "", "anna"), Span(1.5, 2.125, "", "ben", 0.75)],
        "two": [Span(3661.001, 3662.002, "", "anna")],
    }
    again = read(written(turns))
    assert again.keys() == turns.keys()
    for name, spans in turns.items():
        for span, other in zip(spans, again[name], strict=True):
            assert (span.speaker, span.score) == (other.speaker, other.score)
            assert (other.start, other.end) == pytest.approx((span.start, span.end), abs=1e-9)
    assert read(written(again)) == again


def test_turns_that_touch_still_touch_when_they_are_rounded():
    (first, second) = read(written({"a": [Span(0.00049, 1.00049, "", "x"), Span(1.00049, 2, "", "y")]}))["a"]
    assert first.end == second.start


def test_names_have_no_spaces():
    assert written({"a  meeting": [Span(0, 1, "", "Anna Berg")]}) == (
        "SPEAKER a_meeting 1 0.000 1.000 <NA> <NA> Anna_Berg <NA> <NA>\n"
    )
    with pytest.raises(ValueError, match="no speaker"):
        written({"a": [Span(0, 1)]})


@pytest.mark.parametrize("name", ["<NA>", ";;", "-->", '<b>&"x', "a\u2028b\x1cc", " ", "[x]: y"])
def test_whatever_somebody_is_called_is_read_again(name):
    (((turn,),),) = [read(written({name: [Span(0, 1, "", name)]})).values()]
    assert turn.speaker == rttm.name(name)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("SPEAKER a 1 0 1 <NA>", "has 6 fields in line 2: a turn in RTTM has 10."),
        ("SPEAKER a 1 0 1 <NA> <NA> x <NA> <NA> y", "has 11 fields in line 2: a turn in RTTM has 10."),
        ("TURN a 1 0 1 <NA> <NA> x", "has a row of the kind 'TURN' in line 2: RTTM knows no such kind."),
        ("SPEAKER a 1 x 1 <NA> <NA> x", "has a row that begins at 'x' in line 2: that is no number of seconds."),
        ("SPEAKER a 1 -1 1 <NA> <NA> x", "has a row that begins at '-1' in line 2: that is no number of seconds."),
        ("SPEAKER a 1 0 nan <NA> <NA> x", "has a row that lasts 'nan' in line 2: that is no number of seconds."),
        (
            "SPEAKER a 1 1e300 1 <NA> <NA> x",
            "has a row that begins at '1e300' in line 2: no recording is as long as that.",
        ),
        (
            "SPEAKER a 1 0 1e308 <NA> <NA> x",
            "has a row that lasts '1e308' in line 2: no recording is as long as that.",
        ),
        ("SPEAKER a 1 0 -2 <NA> <NA> x", "has a row that lasts '-2' in line 2: that is no number of seconds."),
        ("SPEAKER a 1 0 1 <NA> <NA> <NA>", "does not say whose turn it is in line 2."),
        ("SPEAKER a 1 0 1 <NA> <NA> x 3", "has a confidence of '3' in line 2: it lies between 0 and 1."),
    ],
)  # fmt: skip
def test_what_is_no_rttm(line, sentence):
    with pytest.raises(InputError) as caught:
        read(f"SPEAKER a 1 0 1 <NA> <NA> x\n{line}\n")
    assert str(caught.value) == sentence


def test_what_is_scored():
    assert read_uem("a 1 0 5.5\nb 1 0 1\na 1 6 7\n") == {
        "a": [Span(0.0, 5.5), Span(6.0, 7.0)],
        "b": [Span(0.0, 1.0)],
    }
    for line, sentence in (
        ("a 1 0", "has 3 fields in line 1: UEM has 4."),
        ("a 1 0 x", "has a row that ends at 'x' in line 1: that is no number of seconds."),
        ("a 1 2 1", "has a stretch that ends before it begins in line 1."),
    ):
        with pytest.raises(InputError) as caught:
            read_uem(line)
        assert str(caught.value) == sentence
