"""Pieces of words as BERT reads them: the longest piece that fits, again and again.

    Y. Wu et al., "Google's neural machine translation system", arXiv:1609.08144, 2016, section 4.1; J. Devlin et al.,
    "BERT: pre-training of deep bidirectional transformers for language understanding", NAACL 2019.

Texts are read without case and accents, and marks of punctuation stand alone.

>>> pieces = WordPieces(["rain", "##drop", "##s", "the", "[UNK]"])
>>> pieces.encode("The raindrops")
[3, 0, 1, 2]
"""

import unicodedata
from collections.abc import Iterator, Sequence

from unbabble.base.errors import InputError

INSIDE = "##"
"""Stands before a piece that goes on with a word."""
LONGEST_WORD = 100
"""Letters; nothing is read of a longer one."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class WordPieces:
    """An inventory of pieces.

    Args:
        inventory: pieces; ``##`` stands before those that go on with a word.
    """

    def __init__(self, inventory: Sequence[str]) -> None:
        self.inventory = tuple(inventory)
        self.numbers = {piece: number for number, piece in enumerate(self.inventory)}

    def written(self) -> bytes:
        """The inventory as bytes, which ``read`` takes."""
        return "\n".join(self.inventory).encode()

    @classmethod
    def read(cls, written: bytes) -> "WordPieces":
        """What ``written`` wrote."""
        return cls(written.decode(errors="replace").split("\n"))

    def encode(self, text: str) -> list[int]:
        """Numbers of the pieces of a text; words that cannot be read are left out.

        Raises:
            InputError: nothing of it can be read.
        """
        numbers = [number for word in _words(text) for number in self._pieces(word)]
        if not numbers:
            raise InputError(f"Nothing of '{text}' can be read: this model reads words in Latin letters.")
        return numbers

    def _pieces(self, word: str) -> list[int]:
        row, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            prefix = INSIDE if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.numbers), None)
            if end is None:
                return []
            row.append(self.numbers[prefix + word[start:end]])
            start = end
        return row


def _words(text: str) -> Iterator[str]:
    """Words and marks of a text, in small letters without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    word = ""
    for letter in plain:
        alone = _is_mark(letter)
        if alone or letter.isspace():
            if word:
                yield word
            word = ""
            if alone:
                yield letter
        elif unicodedata.category(letter) != "Cc":
            word += letter
    if word:
        yield word


def _is_mark(letter: str) -> bool:
    """Whether it is a mark of punctuation, or of another kind that ASCII has."""
    return unicodedata.category(letter).startswith("P") or (letter.isascii() and letter.isprintable() and
        not letter.isalnum() and letter != " ")  # fmt: skip
