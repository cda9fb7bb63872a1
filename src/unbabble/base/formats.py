"""The kinds of file that results are written to, and what makes them fit."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from unbabble.base.errors import UsageError

Format: TypeAlias = Literal["wav", "wav16", "flac"]
"""``wav`` holds 32-bit floats, which nothing exceeds; ``wav16`` 16 bits, for other programs; ``flac`` 24 bits."""


@dataclass(frozen=True)
class FileKind:
    """A kind of audio file.

    Attributes:
        suffix: of its name.
        container: as libsndfile calls it.
        subtype: of samples, as libsndfile calls it.
        bits: of a sample.
        highest: largest magnitude that it holds, where full scale is 1.
    """

    suffix: str
    container: str
    subtype: str
    bits: int
    highest: float = math.inf


KINDS: dict[Format, FileKind] = {
    "wav": FileKind(".wav", "WAV", "FLOAT", 32),
    "wav16": FileKind(".wav", "WAV", "PCM_16", 16, 1 - 2.0**-15),
    "flac": FileKind(".flac", "FLAC", "PCM_24", 24, 1 - 2.0**-23),
}


def check_format(name: str) -> None:
    """Refuse a format that there is not.

    Raises:
        UsageError: it is none of ours.
    """
    if name not in KINDS:
        raise UsageError(f"The formats are {', '.join(KINDS)}, not '{name}'.")


def by_suffix(path: Path) -> Format:
    """The format that a file name asks for: ``.wav`` holds floats.

    Raises:
        UsageError: another suffix.
    """
    for name, kind in KINDS.items():
        if kind.suffix == path.suffix.lower():
            return name
    raise UsageError(f"Cannot write '{path}': the formats are wav and flac.")


def fitting_gain(peak: float, format: Format) -> float:
    """The gain that makes ``peak`` fit: 1 unless it would clip."""
    return min(1.0, KINDS[format].highest / peak) if peak > 0 else 1.0


def scaled(gain: float) -> str:
    """What the user should know of files that were made to fit.

    >>> scaled(1 / 2500)
    'Scaled by 0.0004 (-68 dB), all alike, so that nothing clips; --format wav keeps the level.'
    """
    return (
        f"Scaled by {gain:.3g} ({20 * math.log10(gain):.0f} dB), all alike, so that nothing clips; "
        "--format wav keeps the level."
    )
