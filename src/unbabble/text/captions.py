"""Words with their times as files: plain text, captions (SubRip and WebVTT), tables and JSON; and captions read back.

Names of columns and keys, numbers of digits and leading blanks are those of openai-whisper's files, so that programs
that read these read ours. Talkers, which it does not know, stand where each format has a place for them, elsewhere as
whisperX writes them: ``[speaker1]: good morning``.

Captions follow the habits of broadcasters: at most two lines of at most 42 characters, about equally long; a new one
after a pause and after a sentence; long enough to be read where there is time; never two of one talker at once.
Those of talkers who speak at once are shown at once.
"""

import html
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Any, Literal, get_args

from unbabble.base.errors import InputError
from unbabble.base.spans import Span

CaptionFormat = Literal["txt", "srt", "vtt", "tsv", "json"]
FORMATS: tuple[CaptionFormat, ...] = get_args(CaptionFormat)
BY_SUFFIX: dict[str, CaptionFormat] = {f".{format}": format for format in FORMATS}
LINE_CHARACTERS, LINES = 42, 2
PAUSE_SECONDS = 0.5
"""A longer one ends a segment, and a caption."""
LEAST_SECONDS, READ_CHARACTERS = 1.0, 20
"""A caption is shown for so long, and for a second for so many characters, if its talker says nothing else sooner."""
MOST_SECONDS = 7.0
SENTENCE_END = re.compile(r"[.?!…。？！]['\"”’)\]]*$")
CLAUSE_END = re.compile(r"[,;:–—]['\"”’)\]]*$")
TIMES = re.compile(r"\s*((?:\d+:)?\d+:\d+[.,]\d+)\s*-->\s*((?:\d+:)?\d+:\d+[.,]\d+)")
ROUND = str.maketrans("[]", "()")
"""Brackets in the name of a talker, which stands in brackets."""
SPEAKER = re.compile(r"\[([^\]\n]+)\]: ?")
VOICE = re.compile(r"<v(?:\.[^ \t>]*)?[ \t]+([^>\n]*)>")
TAGS = {
    "srt": re.compile(r"</?(?:[ibu]|font)\b[^>]*>"),
    "vtt": re.compile(r"</?(?:[ibuvc]|lang|ruby|rt)\b[^>]*>|<\d[\d:.]*>"),
}


@dataclass(frozen=True)
class Segment:
    """What one talker says without a pause, or the part of it that makes a caption.

    Attributes:
        words: at least one; each ``score`` is its confidence.
    """

    words: tuple[Span, ...]

    @property
    def start(self) -> float:
        """Seconds from the recording's beginning."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds."""
        return max(word.end for word in self.words)

    @property
    def speaker(self) -> str | None:
        """Who says it, if anybody asked."""
        return self.words[0].speaker

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(_clean(word.text) for word in self.words)


def segments(words: Sequence[Span]) -> list[Segment]:
    """Words by talkers, pauses and sentences; the segments in the order of their beginnings.

    Args:
        words: of each talker in the order in which they were said.
    """
    parts: list[Segment] = []
    for speaker in dict.fromkeys(word.speaker for word in words):
        own = [word for word in words if word.speaker == speaker and _clean(word.text)]
        starts = [0, *(k for k, pair in enumerate(pairwise(own), 1) if _parted(*pair)), len(own)]
        parts += [Segment(tuple(own[start:end])) for start, end in pairwise(starts) if end > start]
    return sorted(parts, key=lambda part: part.start)


def _parted(word: Span, following: Span) -> bool:
    return following.start - word.end > PAUSE_SECONDS or bool(SENTENCE_END.search(word.text))


@dataclass(frozen=True)
class Caption:
    """What is shown at once.

    Attributes:
        start: milliseconds, later than that of the talker's caption before.
        end: milliseconds, not later than the beginning of the talker's next caption.
        lines: one or two.
        speaker: who says it, if anybody asked.
    """

    start: int
    end: int
    lines: tuple[str, ...]
    speaker: str | None = None


def captions(words: Sequence[Span], words_per_caption: int | None = None) -> list[Caption]:
    """Captions in the order of their beginnings.

    Args:
        words: of each talker in the order in which they were said.
        words_per_caption: at most; as many as fit if not given.
    """
    shown: dict[str | None, list[Caption]] = {}
    for segment in segments(words):
        for some in _chunks(segment.words, words_per_caption):
            for part in map(Segment, _fitting(some)):
                own = shown.setdefault(part.speaker, [])
                own.append(_caption(part, after=own[-1].start if own else -1))
    ends = [
        replace(each, end=min(each.end, following.start)) if following else each
        for own in shown.values()
        for each, following in zip_longest(own, own[1:])
    ]
    return sorted(ends, key=lambda each: each.start)


def _caption(part: Segment, after: int) -> Caption:
    """A caption that nobody follows, and which begins later than ``after``, in milliseconds."""
    lines = _lines([_clean(word.text) for word in part.words], _indent(part.speaker))
    assert lines is not None
    start = max(round(1000 * part.start), after + 1)
    reading = max(LEAST_SECONDS, len(" ".join(lines)) / READ_CHARACTERS)
    return Caption(start, max(round(1000 * part.end), start + round(1000 * reading)), lines, part.speaker)


def _chunks(words: tuple[Span, ...], size: int | None) -> Iterator[tuple[Span, ...]]:
    size = size or len(words)
    yield from (words[start : start + size] for start in range(0, len(words), size))


def _fitting(words: tuple[Span, ...]) -> list[tuple[Span, ...]]:
    """Words shared out to captions: few and equally full ones that rather end with a clause or before a short pause."""
    texts, indent = [_clean(word.text) for word in words], _indent(words[0].speaker)
    full = LINES * LINE_CHARACTERS
    best, before = [0.0], [0]
    for end in range(1, len(words) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            fits = (
                _lines(texts[start:end], indent) and words[end - 1].end - words[start].start <= MOST_SECONDS
            )
            if not fits and start < end - 1:
                break
            slack = max(0, full - len(" ".join(texts[start:end]))) / full
            options.append((best[start] + slack**2 + _break_cost(words, start), start))
        cost, start = min(options)
        best.append(cost)
        before.append(start)
    cuts, end = [], len(words)
    while end:
        cuts.append(words[before[end] : end])
        end = before[end]
    return cuts[::-1]


def _break_cost(words: tuple[Span, ...], place: int) -> float:
    """From 0 to 1, how bad it is that a caption begins at ``place``."""
    if place == 0:
        return 0.0
    pause = (words[place].start - words[place - 1].end) / PAUSE_SECONDS
    return (1 - min(max(pause, 0), 1)) / (2 if CLAUSE_END.search(words[place - 1].text) else 1)


def _lines(texts: list[str], indent: int = 0) -> tuple[str, ...] | None:
    """The words in one line, or in two of nearly one length; None where they do not fit.

    A single word that is longer than a line has one by itself.

    Args:
        texts: the words.
        indent: characters of the first line that are taken.
    """
    text = " ".join(texts)
    if len(texts) == 1 or indent + len(text) <= LINE_CHARACTERS:
        return (text,)
    options = []
    for place in range(1, len(texts)):
        pair = " ".join(texts[:place]), " ".join(texts[place:])
        lengths = indent + len(pair[0]), len(pair[1])
        if all(
            length <= LINE_CHARACTERS or " " not in line for length, line in zip(lengths, pair, strict=True)
        ):
            options.append((abs(lengths[0] - lengths[1]), lengths[0] > lengths[1], pair))
    return min(options)[2] if options else None


def _indent(speaker: str | None) -> int:
    return len(_marked(speaker))


def _marked(speaker: str | None) -> str:
    """
    >>> _marked("Anna [guest]")
    '[Anna (guest)]: '
    """
    return f"[{_clean(speaker).translate(ROUND)}]: " if speaker else ""


def _clean(text: str) -> str:
    """In one line, without what formats take for the arrow between times."""
    return " ".join(text.replace("-->", "->").split())


def written(
    words: Sequence[Span],
    format: CaptionFormat,
    *,
    language: str | None = None,
    word_times: bool = False,
    words_per_caption: int | None = None,
) -> str:
    """The content of a file.

    Args:
        words: of each talker in the order in which they were said; none is an empty transcript, and a valid file.
        format: one of ``FORMATS``.
        language: for JSON, as "en".
        word_times: whether JSON also has each word by itself.
        words_per_caption: at most, in captions; as many as fit if not given.
    """
    if format == "json":
        return json.dumps(to_dict(words, language, word_times), ensure_ascii=False, indent=2) + "\n"
    if format in ("srt", "vtt"):
        return {"srt": _srt, "vtt": _vtt}[format](captions(words, words_per_caption))
    parts = segments(words)
    if format == "txt":
        return "".join(f"{_marked(part.speaker)}{part.text}\n" for part in parts)
    named = any(part.speaker for part in parts)
    rows = [("start", "end", "text", *(["speaker"] * named))]
    for part in parts:
        start, end = round(1000 * part.start), round(1000 * part.end)
        rows.append((str(start), str(end), part.text, *([_clean(part.speaker or "")] * named)))
    return "".join("\t".join(row) + "\n" for row in rows)


def _srt(parts: Sequence[Caption]) -> str:
    blocks = []
    for number, part in enumerate(parts, 1):
        times = f"{_stamp(part.start, ',', True)} --> {_stamp(part.end, ',', True)}"
        lines = "\n".join(part.lines)
        blocks.append(f"{number}\n{times}\n{_marked(part.speaker)}{lines}\n\n")
    return "".join(blocks)


def _vtt(parts: Sequence[Caption]) -> str:
    blocks = ["WEBVTT\n\n"]
    for part in parts:
        voice = f"<v {html.escape(_clean(part.speaker), quote=False)}>" if part.speaker else ""
        lines = html.escape("\n".join(part.lines), quote=False)
        blocks.append(f"{_stamp(part.start)} --> {_stamp(part.end)}\n{voice}{lines}\n\n")
    return "".join(blocks)


def _stamp(milliseconds: int, point: str = ".", hours: bool = False) -> str:
    """
    >>> _stamp(3_725_040), _stamp(65_040), _stamp(0, ",", hours=True)
    ('01:02:05.040', '01:05.040', '00:00:00,000')
    """
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hour, minutes = divmod(minutes, 60)
    before = f"{hour:02d}:" if hour or hours else ""
    return f"{before}{minutes:02d}:{seconds:02d}{point}{rest:03d}"


def to_dict(words: Sequence[Span], language: str | None = None, word_times: bool = False) -> dict[str, Any]:
    """Content for JSON, with whisper's keys.

    ``avg_logprob`` is the mean logarithm of the confidences of the words, ``no_speech_prob`` the probability that none
    of them was said; of words without confidence both are 0. ``seek`` is where the segment begins, in units of 10 ms.
    There are no ``tokens``: they would stand for whisper's vocabulary.
    """
    parts = [_segment(number, part, word_times) for number, part in enumerate(segments(words))]
    return {"text": "".join(part["text"] for part in parts), "segments": parts, "language": language}


def _segment(number: int, part: Segment, word_times: bool) -> dict[str, Any]:
    text = part.text.encode()
    scores = [min(max(word.score, 0.0), 1.0) for word in part.words if word.score is not None]
    content: dict[str, Any] = {
        "id": number,
        "seek": round(100 * part.start),
        "start": round(part.start, 3),
        "end": round(part.end, 3),
        "text": f" {part.text}",
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(math.log(max(score, 1e-6)) for score in scores) / max(1, len(scores)),
        "compression_ratio": len(text) / len(zlib.compress(text)),
        "no_speech_prob": math.prod(1 - score for score in scores) if scores else 0.0,
    }
    if part.speaker is not None:
        content["speaker"] = part.speaker
    if word_times:
        content["words"] = [_word(word) for word in part.words]
    return content


def _word(word: Span) -> dict[str, Any]:
    content = {"word": f" {_clean(word.text)}", "start": round(word.start, 3), "end": round(word.end, 3)}
    return content | ({} if word.score is None else {"probability": word.score})


def read(text: str, format: CaptionFormat) -> list[Span]:
    """The captions or segments of a file of ours, of whisper or of others; where JSON has words by themselves, these.

    Plain text has no times: what it has is a span from 0 to 0 for each line.

    Args:
        text: the content of the file.
        format: one of ``FORMATS``.

    Raises:
        InputError: it is no such file, in a sentence that goes on behind its name: "is no JSON of a transcript".
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if format == "json":
        return list(_from_json(text))
    if format == "tsv":
        return list(_from_tsv(text))
    if format in TAGS:
        return list(_from_captions(text, webvtt=format == "vtt"))
    return [_spoken(0.0, 0.0, line) for line in text.split("\n") if line.strip()]


def _spoken(start: float, end: float, text: str, speaker: str | None = None) -> Span:
    """A span whose talker may be named in its text."""
    text = text.strip()
    if speaker is None and (named := SPEAKER.match(text)):
        speaker, text = named[1], text[named.end() :]
    return Span(start, end, " ".join(text.split()), speaker)


def _from_captions(text: str, webvtt: bool) -> Iterator[Span]:
    if webvtt and not text.startswith("WEBVTT"):
        raise InputError("does not begin with WEBVTT, as WebVTT files do.")
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip("\n").split("\n")
        place = next((k for k, line in enumerate(lines) if "-->" in line), None)
        if place is None or lines[0].startswith("NOTE"):
            continue
        times = TIMES.match(lines[place])
        if times is None:
            raise InputError(f"has a caption without times: '{lines[place].strip()}'.")
        content, speaker = "\n".join(lines[place + 1 :]), None
        if webvtt and (voice := VOICE.search(content)):
            speaker = html.unescape(voice[1]).strip()
        content = TAGS["vtt" if webvtt else "srt"].sub("", content)
        yield _spoken(
            _seconds(times[1]), _seconds(times[2]), html.unescape(content) if webvtt else content, speaker
        )


def _seconds(stamp: str) -> float:
    """
    >>> _seconds("1:02:05,040"), _seconds("01:05.5")
    (3725.04, 65.5)
    """
    clock, fraction = re.split("[.,]", stamp)
    whole = 0
    for part in clock.split(":"):
        whole = 60 * whole + int(part)
    return whole + int(fraction) / 10 ** len(fraction)


def _from_tsv(text: str) -> Iterator[Span]:
    head, *rows = [line.split("\t") for line in text.split("\n") if line.strip()] or [[""]]
    if head[:3] != ["start", "end", "text"]:
        raise InputError("is no table of a transcript: its columns are not start, end, text.")
    for row in rows:
        try:
            start, end, said, *speaker = row
            yield Span(
                int(start) / 1000,
                int(end) / 1000,
                said.strip(),
                (speaker[0].strip() or None) if speaker else None,
            )
        except ValueError as error:
            raise InputError(f"is no table of a transcript: '{' '.join(row)}'.") from error


def _from_json(text: str) -> Iterator[Span]:
    try:
        parts = json.loads(text)["segments"]
        for part in parts:
            speaker, words = part.get("speaker"), part.get("words") or ()
            if not words or not all({"start", "end"} <= word.keys() for word in words):
                yield Span(float(part["start"]), float(part["end"]), part["text"].strip(), speaker)
                continue
            for word in words:  # whisperX has other names
                score, who = word.get("probability", word.get("score")), word.get("speaker", speaker)
                yield Span(float(word["start"]), float(word["end"]), word["word"].strip(), who, score)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "is no JSON of a transcript: it has no segments with start, end and text."
        ) from error
