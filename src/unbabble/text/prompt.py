"""What was said against what should have been: phones of a prompt, each as it came out.

Both are aligned so that like phones stand together (``phones.distance``), and of each word that pronunciation is taken
which fits best: who says *either* in one of two ways says it right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unbabble.text.phones import distance
from unbabble.text.pronounce import Pronunciation

GAP = 0.5
"""What a phone costs that is missing, or too many: two phones that have nothing in common are no pair."""
LEAST = 0.1
"""What a phone costs that is another one, however near."""


@dataclass(frozen=True)
class Said:
    """A phone of a prompt and what came out in its place.

    Attributes:
        word: number of the word in the prompt; of what was said too much, that of the word behind which it stands, -1
            before the first.
        expected: None where nothing was expected: an insertion.
        said: None where nothing came out: a deletion.
        place: number of the phone among those that were said; None for a deletion.
    """

    word: int
    expected: str | None
    said: str | None
    place: int | None

    @property
    def right(self) -> bool:
        """Whether it is what was expected."""
        return self.expected == self.said


def align_prompt(prompt: Sequence[Sequence[Pronunciation]], said: Sequence[str]) -> list[Said]:
    """The cheapest alignment of a prompt, in any of its pronunciations, with phones that were said.

    Args:
        prompt: of each word its pronunciations, one at least.
        said: phones.

    >>> row = align_prompt([[("IY", "DH", "ER"), ("AY", "DH", "ER")]], ["AY", "D", "ER"])
    >>> [(each.expected, each.said) for each in row]
    [('AY', 'AY'), ('DH', 'D'), ('ER', 'ER')]
    """
    column = GAP * np.arange(len(said) + 1)
    tables = []
    for variants in prompt:
        filled = [_filled(column, variant, said) for variant in variants]
        tables.append(filled)
        column = np.min([table[-1] for table in filled], axis=0)
    row: list[Said] = []
    place = len(said)
    for word in range(len(prompt) - 1, -1, -1):
        best = min(range(len(tables[word])), key=lambda number: tables[word][number][-1, place])
        table, variant = tables[word][best], prompt[word][best]
        phone = len(variant)
        while phone > 0:
            here = table[phone, place]
            if place and np.isclose(
                here, table[phone - 1, place - 1] + _cost(variant[phone - 1], said[place - 1])
            ):
                phone, place = phone - 1, place - 1
                row.append(Said(word, variant[phone], said[place], place))
            elif np.isclose(here, table[phone - 1, place] + GAP):
                phone -= 1
                row.append(Said(word, variant[phone], None, None))
            else:
                place -= 1
                row.append(Said(word, None, said[place], place))
    row += [Said(-1, None, said[number], number) for number in range(place - 1, -1, -1)]
    return row[::-1]


def _filled(column: np.ndarray, variant: Pronunciation, said: Sequence[str]) -> np.ndarray:
    """(phone, place): the least cost of all up to there, given that up to the word's beginning, (place,)."""
    table = np.empty((len(variant) + 1, len(column)))
    table[0] = column
    for number, phone in enumerate(variant, 1):
        above = table[number - 1]
        table[number, 0] = above[0] + GAP
        for place in range(1, len(column)):
            paired = above[place - 1] + _cost(phone, said[place - 1])
            table[number, place] = min(paired, above[place] + GAP, table[number, place - 1] + GAP)
    return table


def _cost(expected: str, said: str) -> float:
    return 0.0 if expected == said else LEAST + (1 - LEAST) * distance(expected, said)
