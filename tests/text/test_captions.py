"""Captions: their shape on random words, whisper's formats to the letter, what is written is read again."""

import json
import math
import re
import zlib
from itertools import pairwise

import numpy as np
import pytest

from unbabble.base.errors import InputError
from unbabble.base.spans import Span
from unbabble.text.captions import FORMATS, captions, read, segments, written


def said(text, start=0.0, seconds=0.3, pause=0.05, speaker=None, score=None):
    """Each word so long, with so much between two."""
    step = seconds + pause
    return [
        Span(start + k * step, start + k * step + seconds, word, speaker, score)
        for k, word in enumerate(text.split())
    ]


def random_words(seed, count=120, speakers=(None,)):
    generator = np.random.default_rng(seed)
    words = []
    for speaker in speakers:
        start = 0.0
        for _ in range(count):
            start += float(
                generator.choice([-0.02, 0.0, 0.1, 0.4, 1.0, 4.0], p=[0.1, 0.5, 0.2, 0.1, 0.06, 0.04])
            )
            start, seconds = max(start, 0.0), float(generator.uniform(0.02, 0.6))
            text = "abcdefghijklmnop"[: generator.integers(1, 16)] + str(
                generator.choice(["", "", "", ",", ".", "?"])
            )
            words.append(Span(start, start + seconds, text, speaker, float(generator.uniform())))
            start += seconds
    return words


@pytest.mark.parametrize("speakers", [(None,), ("speaker1", "speaker2")])
@pytest.mark.parametrize("words_per_caption", [None, 1, 3])
def test_captions_of_random_words(speakers, words_per_caption):
    for seed in range(6):
        words = random_words(seed, speakers=speakers)
        shown = captions(words, words_per_caption)
        assert all(each.start < each.end for each in shown)
        assert [each.start for each in shown] == sorted(each.start for each in shown)
        for speaker in speakers:
            own = [each for each in shown if each.speaker == speaker]
            assert all(each.end <= following.start for each, following in pairwise(own)), "one at a time"
            for each, following in pairwise(own):
                reading = max(1000, 50 * len(" ".join(each.lines)))
                assert each.end - each.start >= min(reading, following.start - each.start), (
                    "while there is time"
                )
        for each in shown:
            assert 1 <= len(each.lines) <= 2
            marked = len(f"[{each.speaker}]: ") if each.speaker else 0
            assert marked + len(each.lines[0]) <= 42
            assert all(len(line) <= 42 for line in each.lines)
            if words_per_caption:
                assert len(" ".join(each.lines).split()) <= words_per_caption
        for speaker in speakers:
            text = " ".join(" ".join(each.lines) for each in shown if each.speaker == speaker)
            assert text.split() == [word.text for word in words if word.speaker == speaker], "no word is lost"


def test_captions_are_long_enough_to_read_where_there_is_time():
    shown = captions([Span(1.0, 1.1, "yes"), Span(4.0, 4.1, "no"), Span(4.7, 4.8, "or")])
    assert [(each.start, each.end) for each in shown] == [(1000, 2000), (4000, 4700), (4700, 5700)]
    (fast,) = captions(said("as quickly as nobody else can say it", seconds=0.05, pause=0.0))
    assert (fast.start, fast.end) == (0, 1800), "36 characters"


def test_a_pause_or_a_sentence_ends_a_caption_and_a_short_pause_does_not():
    words = [*said("good morning. how are you"), *said("fine thanks", 3.0), *said("and you", 4.1)]
    assert [" ".join(each.lines) for each in captions(words)] == [
        "good morning.",
        "how are you",
        "fine thanks and you",
    ]


def test_lines_are_balanced():
    (shown,) = captions(said("one two three four five six seven eight nine ten", seconds=0.2))
    assert shown.lines == ("one two three four five", "six seven eight nine ten")


def test_long_sentences_are_shared_out_at_clauses():
    text = "when the weather is fine we like to walk along the river, and when it rains all of us stay at home instead"
    shown = captions(said(text, seconds=0.2))
    assert [each.lines[-1].split()[-1] for each in shown] == ["river,", "instead"]


def test_a_word_longer_than_a_line_has_one_by_itself():
    long = "x" * 60
    assert [each.lines for each in captions(said(f"see {long} there"))] == [("see", long), ("there",)]


def test_talkers_at_once_are_shown_at_once():
    words = [
        word for who in "abc" for word in said("yes I think so" if who == "a" else "no", 1.0, speaker=who)
    ]
    times = [(each.speaker, each.start, each.end) for each in captions(words)]
    assert times == [("a", 1000, 2350), ("b", 1000, 2000), ("c", 1000, 2000)]


def test_segments_are_in_the_order_of_time_and_of_one_talker_each():
    words = [*said("a b", 5.0, speaker="1"), *said("c d", 1.0, speaker="2"), *said("e", 2.0, speaker="1")]
    words.sort(key=lambda word: (word.speaker, word.start))
    assert [(part.speaker, part.text) for part in segments(words)] == [("2", "c d"), ("1", "e"), ("1", "a b")]


def test_files_are_those_of_whisper():
    """Its writers' output, to the letter."""
    words = [*said("good morning", 1.0, score=0.9), *said("how are you", 3661.0, score=0.5)]
    assert written(words, "txt") == "good morning\nhow are you\n"
    assert (
        written(words, "tsv") == "start\tend\ttext\n1000\t1650\tgood morning\n3661000\t3662000\thow are you\n"
    )
    assert written(words, "srt") == (
        "1\n00:00:01,000 --> 00:00:02,000\ngood morning\n\n2\n01:01:01,000 --> 01:01:02,000\nhow are you\n\n"
    )
    assert written(words, "vtt") == (
        "WEBVTT\n\n00:01.000 --> 00:02.000\ngood morning\n\n01:01:01.000 --> 01:01:02.000\nhow are you\n\n"
    )


def test_json_has_the_keys_of_whisper():
    content = json.loads(
        written(said("good morning", 1.0, score=0.5), "json", language="en", word_times=True)
    )
    assert list(content) == ["text", "segments", "language"]
    assert (content["text"], content["language"]) == (" good morning", "en")
    (segment,) = content["segments"]
    keys = "id seek start end text tokens temperature avg_logprob compression_ratio no_speech_prob words"
    assert list(segment) == keys.split()
    assert segment["avg_logprob"] == pytest.approx(math.log(0.5))
    assert segment["no_speech_prob"] == 0.25
    assert segment["compression_ratio"] == 12 / len(zlib.compress(b"good morning"))
    assert segment["words"][1] == {"word": " morning", "start": 1.35, "end": 1.65, "probability": 0.5}
    assert "words" not in json.loads(written(said("good morning"), "json"))["segments"][0]


def test_nothing_said_is_a_valid_file():
    assert {format: written([], format) for format in FORMATS if format != "json"} == {
        "txt": "",
        "srt": "",
        "vtt": "WEBVTT\n\n",
        "tsv": "start\tend\ttext\n",
    }
    assert json.loads(written([], "json")) == {"text": "", "segments": [], "language": None}
    assert [read(written([], format), format) for format in FORMATS] == [[]] * len(FORMATS)


NASTY = "a --> b & <i>c</i> d\te\n\nf &amp; <v x> 1:2"


@pytest.mark.parametrize("format", FORMATS)
def test_what_would_break_a_format_does_not(format):
    words = [Span(0.0, 1.0, NASTY), Span(2.0, 3.0, "next")]
    first, second = read(written(words, format, word_times=True), format)
    expected = " ".join(NASTY.replace("-->", "->").split())
    if format == "srt":
        expected = expected.replace("<i>", "").replace("</i>", "")  # there they are italics
    assert (first.text, second.text) == (expected, "next")


@pytest.mark.parametrize(
    ("format", "called"),
    [
        ("txt", "(Ann)-> & <b>x</b>): y>"),
        ("srt", "(Ann)-> & x): y>"),
        ("vtt", "[Ann]-> & <b>x</b>]: y>"),
        ("tsv", "[Ann]-> & <b>x</b>]: y>"),
        ("json", "[Ann]--> & <b>x</b>]: y>"),
    ],
)
def test_whatever_a_talker_is_called_is_read_again(format, called):
    (found,) = read(written([Span(0.0, 1.0, "good morning", "[Ann]--> & <b>x</b>]: y>")], format), format)
    assert (found.speaker, found.text) == (called, "good morning")


@pytest.mark.parametrize("speakers", [(None,), ("speaker1", "Ann & Bob")])
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_again(format, speakers):
    words = random_words(3, 80, speakers)
    found = read(written(words, format), format)
    for speaker in speakers:
        text = " ".join(each.text for each in found if each.speaker == speaker)
        assert text.split() == [word.text for word in words if word.speaker == speaker]
    if format in ("srt", "vtt"):
        times = [(round(1000 * each.start), round(1000 * each.end)) for each in found]
        assert times == [(each.start, each.end) for each in captions(words)]
    elif format != "txt":
        parts = segments(words)
        assert [each.start for each in found] == pytest.approx([part.start for part in parts], abs=6e-4)
        assert [each.end for each in found] == pytest.approx([part.end for part in parts], abs=6e-4)


def test_words_are_read_again_with_times_and_confidence():
    words = random_words(4, 50, ("a", "b"))
    found = read(written(words, "json", word_times=True), "json")
    for word, expected in zip(
        sorted(found, key=lambda each: (each.speaker, each.start)),
        sorted(words, key=lambda each: (each.speaker, each.start)),
        strict=True,
    ):
        assert (word.text, word.speaker, word.score) == (expected.text, expected.speaker, expected.score)
        assert (word.start, word.end) == pytest.approx((expected.start, expected.end), abs=6e-4)


def test_files_of_others():
    webvtt = (
        "\ufeffWEBVTT - a title\r\n\r\nSTYLE\r\n::cue {}\r\n\r\nNOTE --> nothing\r\n\r\nintro\r\n"
        "1:00:01.5 --> 1:00:02.500 align:start\r\n<v.loud Ann Lee>Good <c.x>morning</c>,\r\n<i>all</i></v>\r\n"
    )
    assert read(webvtt, "vtt") == [Span(3601.5, 3602.5, "Good morning, all", "Ann Lee")]
    whisperx = {
        "segments": [
            {
                "start": 1, "end": 2, "text": " in 2014", "speaker": "SPEAKER_01",
                "words": [{"word": "in", "start": 1, "end": 1.2, "score": 0.5}, {"word": "2014"}],
            }
        ]
    }  # fmt: skip
    assert read(json.dumps(whisperx), "json") == [Span(1.0, 2.0, "in 2014", "SPEAKER_01")], "no word is lost"


@pytest.mark.parametrize(
    ("text", "format", "reason"),
    [
        ("1\n00:00:01,000 --> soon\nhello\n", "srt", "without times"),
        ("00:01.000 --> 00:02.000\nhello\n", "vtt", "WEBVTT"),
        ("file\ttext\na\tb\n", "tsv", "columns"),
        ("start\tend\ttext\nx\ty\tz\n", "tsv", "no table"),
        ("[]", "json", "no JSON"),
        ('{"segments": [{"start": "soon"}]}', "json", "no JSON"),
        ("{", "json", "no JSON"),
    ],
)
def test_what_is_no_transcript_is_said(text, format, reason):
    with pytest.raises(InputError, match=re.escape(reason)):
        read(text, format)
