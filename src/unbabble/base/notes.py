"""What users should know of recordings: sentences, of which each kind is said once."""

import re
from collections.abc import Iterable

_PARTICULARS = re.compile(r"'[^']*'|\([^)]*\)|[+-]?\d[\d.,:e+-]*")
"""Names in quotes, remarks in brackets, and numbers."""


def kind(warning: str) -> str:
    """What two warnings have in common that say the same of different recordings, or of parts of one.

    >>> kind("1.5 % of the samples are clipped.") == kind("12 % of the samples are clipped.")
    True
    """
    return _PARTICULARS.sub("#", warning)


def without_options(warning: str) -> str:
    """A warning for somebody who cannot give the options that it ends with.

    >>> without_options("2 sound streams; taking the first; --stream 2 takes the other.")
    '2 sound streams; taking the first.'
    """
    sentence, hint, _ = warning.partition("; --")
    return f"{sentence}." if hint else warning


def add(warnings: list[str], new: Iterable[str]) -> None:
    """Append those of ``new`` whose kind is not among ``warnings``."""
    known = {kind(each) for each in warnings}
    for warning in new:
        if kind(warning) not in known:
            known.add(kind(warning))
            warnings.append(warning)


def grouped(said: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Of each kind the first warning, who it is about, and how many others it is about.

    >>> grouped([("a.wav", "2 % are clipped."), ("b.wav", "Silent."), ("c.wav", "3 % are clipped.")])
    [('a.wav', '2 % are clipped.', 1), ('b.wav', 'Silent.', 0)]
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, warning in said:
        groups.setdefault(kind(warning), []).append((name, warning))
    return [(*group[0], len({name for name, _ in group}) - 1) for group in groups.values()]
