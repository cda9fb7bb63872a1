"""Sentences to read, one a line, and how lists of them are taken from a form."""

from functools import cache
from pathlib import Path

from unbabble.base.errors import UsageError

HERE = Path(__file__).parent
LEAST_SENTENCES, MOST_SENTENCES = 2, 10_000
LEAST_WORDS, MOST_LETTERS = 3, 300
COMMENT = "#"


@cache
def english() -> tuple[str, ...]:
    """The sentences that come with the package."""
    return sentences((HERE / "english.txt").read_text(encoding="utf-8"))


def sentences(text: str) -> tuple[str, ...]:
    """The lines of ``text``, without empty ones, comments (``#``) and repetitions.

    Raises:
        UsageError: too few or too many, or one that nobody can read in a breath.
    """
    lines = (" ".join(line.split()) for line in text.splitlines())
    unique = tuple(dict.fromkeys(line for line in lines if line and not line.startswith(COMMENT)))
    if not LEAST_SENTENCES <= len(unique) <= MOST_SENTENCES:
        raise UsageError(
            f"A campaign has {LEAST_SENTENCES} to {MOST_SENTENCES} sentences, one a line, not {len(unique)}."
        )
    for line in unique:
        if len(line.split()) < LEAST_WORDS or len(line) > MOST_LETTERS:
            raise UsageError(
                f"'{line[:60]}' is no sentence of {LEAST_WORDS} words or more and {MOST_LETTERS} letters or fewer."
            )
    return unique
