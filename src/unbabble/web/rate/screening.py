"""Which listeners' votes count: the screening of ITU-T P.808's practice and of ITU-R BS.1534-3, as pure functions.

Crowds: the hearing and environment checks, the trapping clips, the golds within 1, everything played, some variance
(P.808; the open implementation of Naderi and Cutler, Interspeech 2020, has these thresholds), then single votes
further than 3.29 standard deviations from the mean of their system. MUSHRA: the hidden reference below 90 in more than
15 % of the trials (BS.1534-3, section 4.1.2). Nobody is asked to trust them: the results page names who is left out and
why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev, variance

from unbabble.base.words import counted

LEAST_VARIANCE = 0.1
"""Of a listener's votes on a five-point scale: less is pressing one button. Golds and trapping clips do not count."""
LEAST_VOTES = 4
"""Fewer say nothing about their variance."""
GOLD_TOLERANCE = 1
MOST_Z = 3.29
"""Two-sided p = .001. It takes 12 votes for one of them to be that far off."""
LEAST_REFERENCE, MOST_REFERENCE_MISSES = 90, 0.15


@dataclass(frozen=True)
class Answer:
    """One vote. ``role``: ``rate``, ``gold`` or ``trap``; ``expected`` is known for the latter two.

    ``value`` and ``expected`` are numbers, or of a pair's gold the names of systems. ``played`` is the least share of
    any clip of its trial that was heard. ``stimulus`` and ``clip`` say what it is about.
    """

    role: str
    value: int | str
    system: str = ""
    trial: str = ""
    clip: str = ""
    expected: int | str | None = None
    played: float = 1.0
    reference: bool = False


@dataclass(frozen=True)
class Record:
    """All that is known of one listener. ``headphones`` is None where that was not asked."""

    listener: str
    finished: bool
    answers: Sequence[Answer]
    headphones: bool | None = None
    hearing: bool = True
    quiet: bool = True


@dataclass(frozen=True)
class Screened:
    """Who stays, who does not and why, and which of the votes that stay are outliers (by listener and position)."""

    kept: list[Record]
    left_out: list[tuple[Record, list[str]]] = field(default_factory=list)


def screen(records: Sequence[Record], kind: str) -> Screened:
    """Apply all rules of this kind of study."""
    kept, left_out = [], []
    for record in records:
        reasons = [reason for rule in RULES[kind] if (reason := rule(record))]
        if reasons:
            left_out.append((record, reasons))
        else:
            kept.append(record)
    return Screened(kept, left_out)


def finished(record: Record) -> str | None:
    """Every trial was answered."""
    return None if record.finished else "did not finish"


def environment(record: Record) -> str | None:
    """Hears normally, in a quiet place, by their own word."""
    wrong = [
        word for word, fine in (("hearing", record.hearing), ("a quiet place", record.quiet)) if not fine
    ]
    return f"said no to: {', '.join(wrong)}" if wrong else None


def headphones(record: Record) -> str | None:
    """Passed the headphone check, where there is one."""
    return "failed the headphone check" if record.headphones is False else None


def trapped(record: Record) -> str | None:
    """Every trapping clip was answered as it asked."""
    wrong = sum(each.value != each.expected for each in record.answers if each.role == "trap")
    return f"missed a trapping clip ({_times(wrong)})" if wrong else None


def gold(record: Record) -> str | None:
    """Every known answer was met, within 1 on a scale."""
    wrong = sum(not _near(each) for each in record.answers if each.role == "gold")
    return f"missed a known answer ({_times(wrong)})" if wrong else None


def played(record: Record, least: float = 0.95) -> str | None:
    """Everything was heard to its end."""
    short = {each.trial for each in record.answers if each.played < least}
    return f"did not listen to everything ({counted(len(short), 'trial')})" if short else None


def varied(record: Record) -> str | None:
    """Not the same vote again and again."""
    values = [each.value for each in record.answers if each.role == "rate" and isinstance(each.value, int)]
    if len(values) < LEAST_VOTES or (spread := variance(values)) >= LEAST_VARIANCE:
        return None
    return f"voted nearly the same every time (variance {spread:.2f})"


def hidden_reference(record: Record) -> str | None:
    """Recognised the hidden reference: 90 or more, but for 15 % of the trials."""
    values = [each.value for each in record.answers if each.reference and isinstance(each.value, int)]
    missed = sum(value < LEAST_REFERENCE for value in values)
    if not values or missed <= MOST_REFERENCE_MISSES * len(values):
        return None
    return (
        f"rated the hidden reference below {LEAST_REFERENCE} in {missed} of {counted(len(values), 'trial')}"
    )


CROWD = (finished, environment, headphones, played, trapped, gold)
RULES = {
    "realm": (*CROWD, varied),
    "acr": (*CROWD, varied),
    "ab": CROWD,
    "mushra": (*CROWD, hidden_reference),
}


def outliers(values: Sequence[float], most: float = MOST_Z) -> list[bool]:
    """Which votes on one condition are too far from the mean, in standard deviations of all of them."""
    if len(values) < 2 or (spread := pstdev(values)) == 0:
        return [False] * len(values)
    mean = fmean(values)
    return [abs(value - mean) / spread > most for value in values]


def _near(answer: Answer) -> bool:
    if isinstance(answer.value, int) and isinstance(answer.expected, int):
        return abs(answer.value - answer.expected) <= GOLD_TOLERANCE
    return answer.value == answer.expected


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
