"""Texts: what language models learn from, a sentence an item."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import read_card
from unbabble.data.sets import Data, data
from unbabble.text.normalise import sentences
from unbabble.text.tokens import byte_pairs, characters

ENGLISH = "en"
LOOKED_AT = 100_000
"""Characters of a text that decide whether it is running prose."""
HELD_OUT_EVERY = 200
"""One sentence of so many is held out."""
MOST_COUNTED = 50_000
"""Sentences of a long text, evenly spaced, that pieces of words are counted in."""


class Sentence(NamedTuple):
    """A sentence: words, lower case, between spaces."""

    text: str


@data("text")
@dataclass(frozen=True)
class Texts(Data):
    """Sentences of texts, each once an epoch, those of about one length together.

    Args:
        texts: files in UTF-8, or folders of ``.txt`` files: running prose, or lines without any marks.
        held_out: of every 200 sentences one alone (true), all others (false), or all of them.
        language: of the texts, a code of two letters; of English, sentences with letters of other scripts are left out.
        characters: bounds of a sentence; what is shorter or longer is left out.
        batch_characters: of a batch, padding included.
        tokens: what texts are written with: characters, or so many pieces of words.
        tokens_of: weights of a recogniser, whose tokens are taken in place of these: a language model for its search.

    Raises:
        UsageError: bounds that make no sense.
    """

    texts: tuple[Path, ...]
    held_out: bool | None = None
    language: str = "en"
    characters: tuple[int, int] = (1, 300)
    batch_characters: int = 8000
    tokens: Literal["characters"] | int = "characters"
    tokens_of: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.characters[0] <= self.characters[1] <= self.batch_characters:
            raise UsageError(
                "Texts: the bounds of characters rise, from 1 on, and a batch holds the longest."
            )

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """None: texts have no sound."""
        return 0

    @cached_property
    def sentences(self) -> list[str]:
        """Those that are neither too short nor too long, nor held out.

        Raises:
            InputError: a text that cannot be read, or none that has any.
        """
        least, most = self.characters
        kept = [
            text
            for number, words in enumerate(read_texts(self.texts, self.language))
            if self.held_out is None or (number % HELD_OUT_EVERY == 0) == self.held_out
            if least <= len(text := " ".join(words)) <= most
            if self.language != ENGLISH or text.isascii()
        ]
        if not kept:
            names = ", ".join(f"'{path}'" for path in self.texts)
            raise InputError(f"No sentence of {least} to {most} characters is in {names}.")
        return kept

    def decides(self) -> dict[str, Any]:
        """The tokens of a network that learns from them.

        Raises:
            InputError: a recogniser that cannot be read, or has none.
        """
        if self.tokens_of is not None:
            tokens = read_card(self.tokens_of).options.get("tokens")
            if not tokens:
                raise InputError(f"'{self.tokens_of}' does not say what tokens it writes with.")
            return {"tokens": list(tokens)}
        letters = characters(self.sentences)
        if self.tokens == "characters":
            return {"tokens": letters}
        spaced = self.sentences[:: 1 + len(self.sentences) // MOST_COUNTED]
        return {"tokens": byte_pairs([*spaced, " ".join(letters)], self.tokens)}

    def open(self, seed: int) -> "SentenceItems":
        """All of them."""
        return SentenceItems(self)


class SentenceItems:
    """``items[i]``: sentence ``i`` modulo their number."""

    def __init__(self, described: Texts) -> None:
        self.sentences, self.batch_length = described.sentences, described.batch_characters
        self.lengths = [len(text) for text in self.sentences]

    def __getitem__(self, number: int) -> Sentence:
        return Sentence(self.sentences[number % len(self.sentences)])

    def written(self) -> Iterator[dict[str, str]]:
        """Each different word."""
        return ({"text": word} for word in sorted({word for text in self.sentences for word in text.split()}))


def read_texts(paths: Sequence[Path], language: str) -> Iterator[list[str]]:
    """The sentences of text files, as words; of folders, those of their ``.txt`` files.

    Raises:
        InputError: a file that cannot be read, or is no text.
        MissingExtraError: there are digits, and what writes them in words is not installed.
    """
    for path in paths:
        if path.is_dir():
            yield from read_texts(sorted(path.glob("*.txt")), language)
            continue
        try:
            with path.open(encoding="utf-8-sig") as file:
                running = bool(re.search(r"[.?!]", file.read(LOOKED_AT)))
                file.seek(0)
                yield from sentences(file, language, running)
        except OSError as error:
            raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from None
        except UnicodeDecodeError:
            raise InputError(f"'{path}' is no text in UTF-8.") from None
