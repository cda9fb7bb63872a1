"""Corpora as people have them on disk: one reader a layout, each giving the entries of a manifest for every part.

A part is one split of one condition (and, where a corpus has several, of one rate and length):

>>> sorted(LAYOUTS)[:6]
['cryceleb', 'dns', 'folder', 'fsd50k', 'libri2mix', 'libri3mix']

A reader lists what is there; it opens no recording (``manifest.check`` does).
"""

from collections import Counter
from pathlib import Path

from unbabble.base.errors import InputError, UsageError
from unbabble.base.words import did_you_mean
from unbabble.data.layouts import cries, enhancement, own, parallel, real_m, utterances
from unbabble.data.layouts.part import Layout, Part

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *parallel.LAYOUTS,
        *utterances.LAYOUTS,
        *enhancement.LAYOUTS,
        cries.LAYOUT,
        real_m.LAYOUT,
        own.FOLDER,
    )
}

__all__ = ["LAYOUTS", "Layout", "Part", "find", "get"]


def get(name: str) -> Layout:
    """The layout called ``name``.

    Raises:
        UsageError: there is none; says which is nearest.
    """
    layout = LAYOUTS.get(name.lower())
    if layout is None:
        hint = did_you_mean(name.lower(), LAYOUTS)
        raise UsageError(f"There is no layout '{name}'.{hint} `unbabble prepare` lists them.")
    return layout


def find(name: str, folder: Path) -> list[Part]:
    """Every part of the corpus in ``folder``.

    Raises:
        UsageError: no such layout.
        InputError: the folder does not look like this; says what was looked for, and what it looks like instead.
    """
    layout = get(name)
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.")
    parts = layout.find(folder)
    if not parts:
        others = [other for other in LAYOUTS.values() if other is not layout and other.name != "folder"]
        like = [other.name for other in others if other.find(folder)]
        hint = f" It looks like {' and '.join(like)}." if like else ""
        raise InputError(f"'{folder}' does not look like {name}: looked for {layout.wanted}.{hint}")
    names = Counter(part.name for part in parts)
    if twice := next((name for name, count in names.items() if count > 1), None):
        raise InputError(f"'{folder}' holds several of {name}'s {twice}: name the folder of one of them.")
    return parts
