"""RTTM, NIST's rows of who speaks when, and UEM, its rows of what is scored.

    SPEAKER meeting 1 4.304 2.448 <NA> <NA> anna <NA> <NA>

is a turn in the recording "meeting": where it begins and how long it lasts, in seconds, and whose it is. The last
field but one may hold how sure that is. Rows of other kinds (``LEXEME``, ``SPKR-INFO`` ...) describe no turns.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from unbabble.base.errors import InputError
from unbabble.base.spans import Span

SUFFIX = ".rttm"
TURN, UNKNOWN, COMMENT = "SPEAKER", "<NA>", ";;"
OTHERS = frozenset(
    {
        "NOSPEECH",
        "NO_RT_METADATA",
        "SEGMENT",
        "LEXEME",
        "NON-LEX",
        "NON-SPEECH",
        "FILLER",
        "EDIT",
        "IP",
        "SU",
        "CB",
    }
    | {"A/P", "SPKR-INFO"}
)
LEAST_FIELDS, MOST_FIELDS, UEM_FIELDS = 8, 10, 4
"""The last two fields, confidence and how far ahead a decision looked, are left out by some programs."""
DIGITS = 3
MOST_SECONDS = 1e7
"""About four months; a time beyond it is a slip, and no time of a recording."""


def name(called: str) -> str:
    """How a row calls a recording or a talker: fields end at spaces, and ``<NA>`` says that nothing is known.

    >>> name("Anna  Berg"), name(""), name("<NA>")
    ('Anna_Berg', '_', 'NA')
    """
    field = "_".join(called.split()) or "_"
    return field if field != UNKNOWN else UNKNOWN.strip("<>")


def read(text: str) -> dict[str, list[Span]]:
    """The turns in each recording, in the order of their beginnings.

    Args:
        text: the content of an RTTM file; there may be several recordings in it.

    Raises:
        InputError: it is no RTTM, in a sentence that goes on behind the name of the file: "has a duration ...".
    """
    turns: dict[str, list[Span]] = {}
    for place, fields in _rows(text):
        kind = fields[0]
        if kind in OTHERS:
            continue
        if kind != TURN:
            raise InputError(f"has a row of the kind '{kind}' {place}: RTTM knows no such kind.")
        if not LEAST_FIELDS <= len(fields) <= MOST_FIELDS:
            raise InputError(f"has {len(fields)} fields {place}: a turn in RTTM has {MOST_FIELDS}.")
        start = _seconds("begins at", fields[3], place)
        length = _seconds("lasts", fields[4], place)
        speaker = fields[7]
        if speaker == UNKNOWN:
            raise InputError(f"does not say whose turn it is {place}.")
        score = fields[8] if len(fields) > LEAST_FIELDS else UNKNOWN
        confidence = None if score == UNKNOWN else _confidence(score, place)
        turns.setdefault(fields[1], []).append(Span(start, start + length, "", speaker, confidence))
    return {recording: sorted(spans, key=_order) for recording, spans in turns.items()}


def written(turns: Mapping[str, Sequence[Span]]) -> str:
    """The content of a file.

    Args:
        turns: of each recording; each turn has a speaker. Names are written as ``name`` has them.

    Raises:
        ValueError: a turn without a speaker.
    """
    rows = []
    for recording, spans in turns.items():
        for span in sorted(spans, key=_order):
            if span.speaker is None:
                raise ValueError(f"the turn at {span.start} s has no speaker")
            score = UNKNOWN if span.score is None else f"{span.score:.{DIGITS}f}"
            # both ends are rounded, so that turns that touch still do
            start, end = round(span.start, DIGITS), round(span.end, DIGITS)
            times = f"{start:.{DIGITS}f} {end - start:.{DIGITS}f}"
            names = name(recording), name(span.speaker)
            rows.append(f"{TURN} {names[0]} 1 {times} {UNKNOWN} {UNKNOWN} {names[1]} {score} {UNKNOWN}\n")
    return "".join(rows)


def read_uem(text: str) -> dict[str, list[Span]]:
    """The stretches of each recording that are scored.

    Args:
        text: the content of a UEM file: recording, channel, begin and end in seconds on each line.

    Raises:
        InputError: it is no UEM, in a sentence that goes on behind the name of the file.
    """
    stretches: dict[str, list[Span]] = {}
    for place, fields in _rows(text):
        if len(fields) != UEM_FIELDS:
            raise InputError(f"has {len(fields)} fields {place}: UEM has {UEM_FIELDS}.")
        start, end = _seconds("begins at", fields[2], place), _seconds("ends at", fields[3], place)
        if end < start:
            raise InputError(f"has a stretch that ends before it begins {place}.")
        stretches.setdefault(fields[0], []).append(Span(start, end))
    return stretches


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(COMMENT):
            yield f"in line {number}", line.split()


def _order(span: Span) -> tuple[float, float, str]:
    return span.start, span.end, span.speaker or ""


def _seconds(what: str, field: str, place: str) -> float:
    value = _number(field)
    if value is None or not 0 <= value < math.inf:
        raise InputError(f"has a row that {what} '{field}' {place}: that is no number of seconds.")
    if value > MOST_SECONDS:
        raise InputError(f"has a row that {what} '{field}' {place}: no recording is as long as that.")
    return value


def _confidence(field: str, place: str) -> float:
    value = _number(field)
    if value is None or not 0 <= value <= 1:
        raise InputError(f"has a confidence of '{field}' {place}: it lies between 0 and 1.")
    return value


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None
