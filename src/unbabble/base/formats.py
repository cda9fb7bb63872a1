"""The kinds of file that results are written to, and what makes them fit."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from unbabble.base.errors import UsageError

LEAST_STEPS = 16
"""Of whole numbers, that the loudest sample should have: with fewer, rounding is less than 20 dB below speech."""
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


def fitting_notes(peak: float, format: Format) -> list[str]:
    """What the user should know of files of a ``format``, the loudest sample of which has the magnitude ``peak``.

    >>> fitting_notes(2500, "wav16")
    ['Scaled by 0.0004 (-68 dB), all alike, so that nothing clips; --format wav keeps the level.']
    >>> fitting_notes(1e-6, "wav16")
    ['So soft (-120 dB) that 16 bits round it to silence; --format wav keeps it.']
    >>> fitting_notes(1e-4, "wav16")
    ['So soft (-80 dB) that rounding to 16 bits is heard; --format wav keeps it as it is.']
    """
    kind, gain = KINDS[format], fitting_gain(peak, format)
    if gain < 1:
        return [
            f"Scaled by {gain:.3g} ({20 * math.log10(gain):.0f} dB), all alike, so that nothing clips; "
            "--format wav keeps the level."
        ]
    steps = peak * 2.0 ** (kind.bits - 1)
    if kind.highest == math.inf or not 0 < steps < LEAST_STEPS:
        return []
    soft = f"So soft ({20 * math.log10(peak):.0f} dB) that"
    if steps <= 0.5:
        return [f"{soft} {kind.bits} bits round it to silence; --format wav keeps it."]
    return [f"{soft} rounding to {kind.bits} bits is heard; --format wav keeps it as it is."]
