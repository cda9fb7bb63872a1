"""Folders of mixtures and of what systems made of them: which file is what.

Two layouts are understood, both also one folder further down:

    ITEM/mixture.wav                 SYSTEM/ITEM/source1.wav, as `unbabble separate mixtures --out SYSTEM` writes it
    ITEM/reference1.wav ...          mixtures/ITEM.wav, or mixtures/ITEM/mixture.wav and reference1.wav ... as
    ITEM/SYSTEM/source1.wav ...      `unbabble simulate --out mixtures` does
    ITEM/gold1/source1.wav           references/ITEM/source1.wav ...

The system ``gold1`` ... ``gold5`` is none: its voices are known to deserve that number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unbabble.base.errors import InputError

SOUND = re.compile(r"\.(wav|flac|ogg|opus|mp3|m4a|aac|webm|aif|aiff)$", re.IGNORECASE)
NAME = re.compile(r"(mixture|reference|source)[_-]?(\d?)", re.IGNORECASE)
GOLD = re.compile(r"gold([1-5])", re.IGNORECASE)
MIXTURES, REFERENCES = "mixtures", "references"
AUTO = "auto"
"""The system of voices that lie beside their mixture."""


@dataclass(frozen=True, order=True)
class StudyFile:
    """One file. ``role``: ``mixture``, ``reference``, ``estimate`` or ``gold``; ``number`` is 0 for a mixture."""

    item: str
    role: str
    system: str
    number: int
    path: Path


def read_folder(folder: Path, files: Sequence[Path] | None = None) -> tuple[list[StudyFile], list[str]]:
    """What lies in ``folder``.

    Args:
        folder: of either layout.
        files: those in it, if that is known; else they are searched for, links left out.

    Returns:
        What was understood, in order; and the names of sound files that were not.

    Raises:
        InputError: nothing was understood, or two files are the same thing.
    """
    if files is None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = [path.relative_to(folder).as_posix() for path in files if SOUND.search(path.name)]
    tops = {PurePosixPath(name).parts[0] for name in names}
    prefix = ""
    if len(tops) == 1 and all(len(PurePosixPath(name).parts) > 1 for name in names):
        top = tops.pop()
        within = {PurePosixPath(name).parts[1].lower() for name in names}
        if not any(NAME.fullmatch(PurePosixPath(each).stem) for each in within) or MIXTURES in within:
            prefix = f"{top}/"
    inner = [name.removeprefix(prefix) for name in names]
    by_system = any(PurePosixPath(name).parts[0].lower() == MIXTURES for name in inner)
    by_meaning: dict[tuple[str, str, str, int], StudyFile] = {}
    left: list[str] = []
    for name in inner:
        meant = (_system_first if by_system else _item_first)(PurePosixPath(name))
        if meant is None:
            left.append(name)
            continue
        if meant in by_meaning:
            raise InputError(f"'{name}' is there twice, in two formats or under two names.")
        by_meaning[meant] = StudyFile(*meant, folder / f"{prefix}{name}")
    if not by_meaning:
        raise InputError(
            "Nothing here is laid out as ITEM/mixture.wav and ITEM/SYSTEM/source1.wav, or as mixtures/ITEM.wav and "
            "SYSTEM/ITEM/source1.wav."
        )
    return sorted(by_meaning.values()), left


def _item_first(name: PurePosixPath) -> tuple[str, str, str, int] | None:
    """ITEM/mixture.wav, ITEM/reference1.wav, ITEM/SYSTEM/source1.wav, ITEM/source1.wav."""
    kind, number = _kind(name)
    parts = name.parts[:-1]
    if len(parts) == 1:
        if kind == "mixture" and number == 0:
            return parts[0], "mixture", "", 0
        if kind == "reference":
            return parts[0], "reference", "", number or 1
        if kind == "source":
            return parts[0], "estimate", AUTO, number or 1
    if len(parts) == 2 and kind == "source":
        if gold := GOLD.fullmatch(parts[1]):
            return parts[0], "gold", f"gold {gold[1]}", number or 1
        return parts[0], "estimate", parts[1], number or 1
    return None


def _system_first(name: PurePosixPath) -> tuple[str, str, str, int] | None:
    """mixtures/ITEM.wav, mixtures/ITEM/mixture.wav, references/ITEM/source1.wav, SYSTEM/ITEM/source1.wav."""
    kind, number = _kind(name)
    top, parts = name.parts[0], name.parts[1:-1]
    if top.lower() == MIXTURES and not parts:
        return name.stem, "mixture", "", 0
    if parts and parts[-1].lower() == "mixture":  # what was separated was called mixture.wav
        parts = parts[:-1]
    if not parts or len(name.parts) < 3:
        return None
    item = " ".join(parts)
    if top.lower() == MIXTURES:
        if kind == "mixture" and number == 0:
            return item, "mixture", "", 0
        return (item, "reference", "", number or 1) if kind == "reference" else None
    if kind not in ("source", "reference"):
        return None
    if top.lower() == REFERENCES:
        return item, "reference", "", number or 1
    if gold := GOLD.fullmatch(top):
        return item, "gold", f"gold {gold[1]}", number or 1
    return (item, "estimate", top, number or 1) if kind == "source" else None


def _kind(name: PurePosixPath) -> tuple[str, int]:
    match = NAME.fullmatch(name.stem)
    return (match[1].lower(), int(match[2] or 0)) if match else ("", 0)
