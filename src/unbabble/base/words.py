"""How sentences are put: how many of what, and which name was meant."""

from collections.abc import Iterable
from difflib import get_close_matches

LEAST_LIKENESS = 0.6
"""Of two names, from 0 to 1, of which one may be a slip of the other."""


def counted(count: float, noun: str, plural: str = "") -> str:
    """How many of what.

    >>> counted(1, "voice"), counted(3, "voice"), counted(0, "box", "boxes"), counted(1.5, "minute")
    ('1 voice', '3 voices', '0 boxes', '1.5 minutes')
    """
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun if count == 1 else plural or noun + 's'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` of which ``name`` may be a slip; dashes before options say nothing.

    >>> nearest("--sorces", ["--sources", "--out"]), nearest("--bogus", ["--sources", "--out"])
    ('--sources', None)
    """
    by_name = {each.lstrip("-"): each for each in known}
    close = get_close_matches(name.lstrip("-"), by_name, n=1, cutoff=LEAST_LIKENESS)
    return by_name[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question, with a space before it, that stands behind a sentence about an unknown ``name``; or nothing.

    >>> did_you_mean("iteratons", ["iterations", "update"])
    " Did you mean 'iterations'?"
    """
    near = nearest(name, known)
    return f" Did you mean {near if near.startswith('-') else repr(near)}?" if near else ""
