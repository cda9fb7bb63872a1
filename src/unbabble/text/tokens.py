"""Inventories of tokens, and texts as rows of their numbers.

Token ``i`` of an inventory has the number ``i + 1``: 0 is the blank of CTC, and the end (and the beginning) of what
decoders and language models write.

    R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with subword units", ACL 2016: of the
    characters of words, the pair of neighbours that is most frequent becomes a token, again and again; a word is
    encoded by the same merges in the same order.

>>> tokens = Pieces(byte_pairs(["low lower low"], 8))
>>> tokens.inventory
('e', 'l', 'o', 'r', 'w', '▁', 'lo', 'low')
>>> tokens.encode("lower low")
[6, 8, 1, 4, 6, 8]
>>> tokens.decode([6, 8, 1, 4, 6, 8])
'lower low'
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from unbabble.base.errors import InputError

WORD_START = "▁"
"""Stands before each word, as sentencepiece has it."""
BLANK = 0
"""Of CTC; the end, and the beginning, of a decoder's."""
ENGLISH = f"{WORD_START}'abcdefghijklmnopqrstuvwxyz"
"""Characters of English transcripts."""


class Pieces:
    """Characters or pieces of words.

    Args:
        inventory: of characters, ``WORD_START`` among them, and of pieces in the order in which they are merged.
    """

    def __init__(self, inventory: Sequence[str]) -> None:
        self.inventory = tuple(inventory)
        self._numbers = {token: number for number, token in enumerate(self.inventory, 1)}
        self._encode_word = lru_cache(maxsize=65536)(self._merged)

    def __len__(self) -> int:
        return len(self.inventory)

    def encode(self, text: str) -> list[int]:
        """Numbers of the tokens of a text, whose words are separated by spaces.

        Raises:
            InputError: a character that is not in the inventory.
        """
        return [number for word in text.split() for number in self._encode_word(word)]

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of a row of numbers."""
        joined = "".join(self.inventory[number - 1] for number in numbers if number != BLANK)
        return joined.replace(WORD_START, " ").strip()

    def _merged(self, word: str) -> tuple[int, ...]:
        row = [WORD_START, *word]
        if unknown := sorted({token for token in row if token not in self._numbers}):
            raise InputError(
                f"'{word}' cannot be written with these tokens: there is no {' and no '.join(unknown)}."
            )
        last = len(self.inventory) + 1
        while len(row) > 1:
            ranks = [self._numbers.get(one + other, last) for one, other in pairwise(row)]
            best = min(ranks)
            if best == last:
                break
            at = ranks.index(best)
            row[at : at + 2] = [row[at] + row[at + 1]]
        return tuple(self._numbers[token] for token in row)

    def __getstate__(self) -> dict[str, object]:
        return {"inventory": self.inventory}

    def __setstate__(self, state: dict[str, Sequence[str]]) -> None:
        self.__init__(state["inventory"])


class Symbols:
    """Tokens that texts have one after another, spaces between them, as phones.

    Args:
        inventory: of the symbols.

    >>> Symbols(["AA", "B"]).encode("B AA B")
    [2, 1, 2]
    """

    def __init__(self, inventory: Sequence[str]) -> None:
        self.inventory = tuple(inventory)
        self._numbers = {token: number for number, token in enumerate(self.inventory, 1)}

    def __len__(self) -> int:
        return len(self.inventory)

    def encode(self, text: str) -> list[int]:
        """Numbers of the symbols of a text.

        Raises:
            InputError: a symbol that is not in the inventory.
        """
        try:
            return [self._numbers[symbol] for symbol in text.split()]
        except KeyError as error:
            raise InputError(f"There is no symbol {error} among {' '.join(self.inventory)}.") from None

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of a row of numbers."""
        return " ".join(self.inventory[number - 1] for number in numbers if number != BLANK)


def characters(texts: Iterable[str]) -> list[str]:
    """All characters of texts, and the beginning of words."""
    return sorted(
        {character for text in texts for character in text if not character.isspace()} | {WORD_START}
    )


def byte_pairs(texts: Iterable[str], count: int) -> list[str]:
    """An inventory of so many tokens: all characters, and the pieces that the words of texts are most often made of.

    Args:
        texts: whose words are separated by spaces.
        count: tokens; where there are more characters than that, these alone.
    """
    texts = list(texts)
    inventory = characters(texts)
    rows = {word: [WORD_START, *word] for text in texts for word in text.split()}
    frequency = Counter(word for text in texts for word in text.split())
    pairs: Counter[tuple[str, str]] = Counter()
    words_of: dict[tuple[str, str], set[str]] = {}
    for word, row in rows.items():
        for pair in pairwise(row):
            pairs[pair] += frequency[word]
            words_of.setdefault(pair, set()).add(word)
    while len(inventory) < count and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        inventory.append("".join(best))
        for word in sorted(words_of[best]):
            row = rows[word]
            for pair in pairwise(row):
                pairs[pair] -= frequency[word]
            at = 0
            while at < len(row) - 1:
                if (row[at], row[at + 1]) == best:
                    row[at : at + 2] = ["".join(best)]
                at += 1
            for pair in pairwise(row):
                pairs[pair] += frequency[word]
                words_of.setdefault(pair, set()).add(word)
        pairs = +pairs
    return inventory
