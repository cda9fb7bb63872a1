"""How many words are wrong: alignments, and the rates of error that are counted from them.

A rate of errors is (substitutions + deletions + insertions) / units of the reference: of words the word error rate
(WER), of characters CER, of phones PER. It can exceed 1. Rates of several recordings are never averaged: their errors
are added, and divided by all that was said (``Errors`` can be added; ``sum(each, Errors())``).

Where several talkers share a recording, each of them is a text of its own, and so is each voice that was recognised:
cpWER (concatenated minimum-permutation WER; S. Watanabe et al., "CHiME-6 challenge", CHiME 2020) gives each talker the
text with which there are fewest errors in all, and ORC-WER (optimal reference combination; I. Sklyar et al., ICASSP
2022) each utterance. Texts are aligned pair by pair and never as a whole: in a concatenation of all talkers edits would
cross from one to the next.

Units are whatever can be compared: words, characters, phones. How texts become words is not decided here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from unbabble.base.errors import InputError

CELLS_AT_ONCE = 1 << 22
"""Of the table of an alignment that is held in memory; longer texts are halved until their parts fit."""
COMBINATION_CELLS = 1 << 26
"""Of the table of ORC-WER, which has an axis for each text."""


@dataclass(frozen=True)
class Errors:
    """Errors of one text, or of many together.

    Attributes:
        hits: units of the reference that are right.
        substitutions: that came out as another.
        deletions: that are missing.
        insertions: units that nobody said.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def count(self) -> int:
        """Of all kinds together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference(self) -> int:
        """Units of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference; NaN where that is empty.

        >>> Errors(hits=8, substitutions=1, deletions=1, insertions=2).rate
        0.4
        """
        return self.count / self.reference if self.reference else float("nan")

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


class Step(NamedTuple):
    """A unit of the reference and what came out in its place.

    Attributes:
        reference: None where nobody said anything: an insertion.
        hypothesis: None where nothing came out: a deletion.
    """

    reference: str | None
    hypothesis: str | None


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Step]:
    """The alignment with fewest errors and, of those that have as few, most hits.

    So the number of each kind of error is unique, whatever alignment is taken. Time is proportional to the product of
    the lengths; memory is bounded, as parts are aligned by themselves (D. Hirschberg, CACM 1975).

    >>> align("the cat sat".split(), "the bat sat down".split())[1:]
    [Step(reference='cat', hypothesis='bat'), Step(reference='sat', hypothesis='sat'),
     Step(reference=None, hypothesis='down')]
    """
    said, recognised = _numbered([reference, hypothesis])
    weight = min(len(said), len(recognised)) + 1
    return [
        Step(None if i is None else str(reference[i]), None if j is None else str(hypothesis[j]))
        for i, j in _path(said, recognised, weight)
    ]


def errors(reference: Sequence[str], hypothesis: Sequence[str]) -> Errors:
    """Errors of a text.

    Args:
        reference: what was said, unit by unit.
        hypothesis: what was recognised.
    """
    count, hits = _cost(*_numbered([reference, hypothesis]))
    # insertions - deletions is the difference of lengths; what is neither a hit nor deleted is substituted
    unmatched = len(reference) - hits
    insertions = count - unmatched
    deletions = insertions - len(hypothesis) + len(reference)
    return Errors(hits, unmatched - deletions, deletions, insertions)


def word_errors(reference: str, hypothesis: str) -> Errors:
    """Errors of a text of words that are separated by blanks."""
    return errors(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> Errors:
    """Errors of the characters of a text; one blank stands between words, and counts."""
    return errors(" ".join(reference.split()), " ".join(hypothesis.split()))


class Assigned(NamedTuple):
    """Errors of several talkers, of whom each has been given one of the recognised texts.

    Attributes:
        errors: of all of them, surplus texts included.
        order: for each talker the number of the text, None where there was none left.
        each: errors of each talker.
        surplus: errors of the texts that belong to nobody.
    """

    errors: Errors
    order: tuple[int | None, ...]
    each: tuple[Errors, ...]
    surplus: Errors


def cp_errors(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> Assigned:
    """cpWER: each talker is given a text of his own, so that there are fewest errors in all.

    Args:
        references: of each talker all that was said, unit by unit, in the order of time.
        hypotheses: of each recognised voice, in any order. All that talkers without one said is deleted; all units of a
            text without a talker are insertions.
    """
    size = max(len(references), len(hypotheses))
    rows = [*references, *[()] * (size - len(references))]
    columns = [*hypotheses, *[()] * (size - len(hypotheses))]
    pairs = [[errors(row, column) for column in columns] for row in rows]
    # fewest errors first, and of equals most hits, as in an alignment
    weight = 1 + sum(map(len, references))
    costs = np.array([[weight * pair.count - pair.hits for pair in row] for row in pairs]).reshape(size, size)
    order = [int(column) for column in linear_sum_assignment(costs)[1]]
    each = [pairs[row][column] for row, column in enumerate(order)]
    talkers = len(references)
    return Assigned(
        sum(each, Errors()),
        tuple(column if column < len(hypotheses) else None for column in order[:talkers]),
        tuple(each[:talkers]),
        sum(each[talkers:], Errors()),
    )


def orc_errors(utterances: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> int:
    """ORC-WER's number of errors: each utterance, in the order of time, goes to the text that fits it best.

    For texts that follow no talker, as those of voices that change places, or the one text of a mixture.

    Args:
        utterances: what was said, in the order in which it began.
        hypotheses: the recognised texts.

    Raises:
        InputError: texts that are too long or too many for an exact answer.
    """
    numbers = _numbered([*utterances, *hypotheses])
    said, texts = numbers[: len(utterances)], numbers[len(utterances) :]
    if not texts:
        return sum(map(len, said))
    shape = [len(text) + 1 for text in texts]
    if float(np.prod([float(length) for length in shape])) > COMBINATION_CELLS:
        raise InputError("The texts are too long, or too many, for ORC-WER: score shorter recordings.")
    # least[p1, p2 ...]: errors of the utterances so far and the first p1, p2 ... units of the texts
    least = np.indices(shape).sum(0)
    for utterance in said:
        least = np.min([_through(least, axis, utterance, text) for axis, text in enumerate(texts)], axis=0)
    return int(least[(-1,) * len(texts)])


def _through(least: np.ndarray, axis: int, utterance: np.ndarray, text: np.ndarray) -> np.ndarray:
    """``least`` after an utterance that goes to the text of this axis."""
    row, places = np.moveaxis(least, axis, -1), np.arange(len(text) + 1)
    for unit in utterance:
        following = row + 1
        np.minimum(following[..., 1:], row[..., :-1] + (text != unit), out=following[..., 1:])
        row = np.minimum.accumulate(following - places, axis=-1) + places
    return np.moveaxis(row, -1, axis)


class UnitErrors(NamedTuple):
    """What became of one unit, a phone say.

    Attributes:
        said: how often it is in the references.
        right: how often it came out.
        substituted: how often what came out in its place, most frequent first.
        deleted: how often nothing came out.
        inserted: how often it came out where nothing was said.
    """

    said: int
    right: int
    substituted: dict[str, int]
    deleted: int
    inserted: int


def by_unit(alignments: Iterable[Sequence[Step]]) -> dict[str, UnitErrors]:
    """Of each unit what became of it in these alignments, by name: the confusions of phones."""
    counts = Counter(step for alignment in alignments for step in alignment)
    units = sorted({unit for step in counts for unit in step if unit is not None})
    return {unit: _unit_errors(unit, counts) for unit in units}


def _unit_errors(unit: str, counts: Counter[Step]) -> UnitErrors:
    said = sorted(
        ((step.hypothesis, number) for step, number in counts.items() if step.reference == unit),
        key=lambda pair: (-pair[1], pair[0] or ""),
    )
    substituted = {other: number for other, number in said if other not in (unit, None)}
    inserted = counts[Step(None, unit)]
    total = sum(number for _, number in said)
    return UnitErrors(total, counts[Step(unit, unit)], substituted, counts[Step(unit, None)], inserted)


def shown(alignment: Sequence[Step], width: int = 100) -> str:
    """Three lines: what was said, what came out, and S, D or I below each error; wrapped at ``width`` characters.

    >>> print(shown(align("a cat sat".split(), "a hat sat on".split())))
    a cat sat **
    a hat sat on
      S       I
    """
    blocks: list[list[list[str]]] = [[]]
    room = width
    for reference, hypothesis in alignment:
        size = max(len(reference or ""), len(hypothesis or ""))
        mark = "I" if reference is None else "D" if hypothesis is None else " S"[reference != hypothesis]
        if size > room and blocks[-1]:
            blocks.append([])
            room = width
        room -= size + 1
        cells = (reference or "*" * size, hypothesis or "*" * size, mark)
        blocks[-1].append([cell.ljust(size) for cell in cells])
    lines = [" ".join(cells).rstrip() for block in blocks for cells in zip(*block, strict=True)]
    return "\n".join(lines)


def _numbered(texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """The texts as whole numbers, the same for the same unit."""
    numbers: dict[str, int] = {}
    return [
        np.array([numbers.setdefault(unit, len(numbers)) for unit in text], dtype=np.int64) for text in texts
    ]


def _last_row(reference: np.ndarray, hypothesis: np.ndarray, weight: int) -> np.ndarray:
    """The cost of the best alignment of the reference with the first 0, 1 ... units of the hypothesis."""
    row = weight * np.arange(len(hypothesis) + 1)
    for row in _rows(reference, hypothesis, weight):  # noqa: B007 (the last one is wanted)
        pass
    return row


def _rows(reference: np.ndarray, hypothesis: np.ndarray, weight: int) -> Iterable[np.ndarray]:
    """Row by row of the table of costs: ``weight`` for an error, -1 for a hit, so that hits only break ties.

    An insertion depends on its left neighbour; the running minimum of what remains when insertions are taken off
    computes a row at once.
    """
    inserted = weight * np.arange(len(hypothesis) + 1)
    row = inserted
    yield row
    for unit in reference:
        following = row + weight
        np.minimum(following[1:], row[:-1] + np.where(hypothesis == unit, -1, weight), out=following[1:])
        row = np.minimum.accumulate(following - inserted) + inserted
        yield row


def _cost(reference: np.ndarray, hypothesis: np.ndarray) -> tuple[int, int]:
    """Number of errors and of hits of the best alignment."""
    weight = min(len(reference), len(hypothesis)) + 1
    cost = int(_last_row(reference, hypothesis, weight)[-1])
    count = -(-cost // weight)
    return count, count * weight - cost


def _path(
    reference: np.ndarray, hypothesis: np.ndarray, weight: int, row: int = 0, column: int = 0
) -> list[tuple[int | None, int | None]]:
    """Numbers of the aligned units, from ``row`` and ``column`` on; None for one that has no partner."""
    rows, columns = len(reference), len(hypothesis)
    if rows > 1 and (rows + 1) * (columns + 1) > CELLS_AT_ONCE:
        half = rows // 2
        before = _last_row(reference[:half], hypothesis, weight)
        after = _last_row(reference[half:][::-1], hypothesis[::-1], weight)[::-1]
        cut = int((before + after).argmin())
        return [
            *_path(reference[:half], hypothesis[:cut], weight, row, column),
            *_path(reference[half:], hypothesis[cut:], weight, row + half, column + cut),
        ]
    table = np.stack(list(_rows(reference, hypothesis, weight)))
    path: list[tuple[int | None, int | None]] = []
    i, j = rows, columns
    while i or j:
        same = -1 if i and j and reference[i - 1] == hypothesis[j - 1] else weight
        if i and j and table[i, j] == table[i - 1, j - 1] + same:
            i, j = i - 1, j - 1
            path.append((row + i, column + j))
        elif i and table[i, j] == table[i - 1, j] + weight:
            i -= 1
            path.append((row + i, None))
        else:
            j -= 1
            path.append((None, column + j))
    return path[::-1]
