"""How long a wav file says it is, and how long it is: they differ where its writer or a copy was interrupted."""

import io
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

PIPED = 0x7FFF0000
"""A header says this length or more (SoX; FFmpeg all ones) where the file was written to a pipe, which is no fault."""
NEVER_WRITTEN = (0, 2**64 - 1)
"""Lengths in the header of a recorder that was switched off before it wrote the true one."""
LONG_KINDS = (b"RF64", b"BW64")
"""Files beyond 4 GiB: their lengths stand in a chunk ``ds64``."""
LONG_LENGTH_AT = 28
SHORT_SECONDS = 0.1


@dataclass(frozen=True)
class Length:
    """The length of a wav file's samples.

    Attributes:
        there: bytes from the first sample to the end of the file.
        promised: bytes that the header tells; None where it tells none.
        bytes_per_second: of samples; 0 where the header does not say it.
        number: where in the file the header's length stands, and in how many bytes.
    """

    there: int
    promised: int | None
    bytes_per_second: int
    number: tuple[int, int]

    @property
    def lost_seconds(self) -> float:
        """What the header promises and the file lacks."""
        missing = max(0, (self.promised or 0) - self.there)
        return missing / self.bytes_per_second if self.bytes_per_second else 0.0

    @property
    def warning(self) -> str | None:
        """What the user should know; None where the header is right, or where nothing is there."""
        if self.promised is None:
            return "The header does not say how long the recording is: all that is in the file is taken."
        if self.there >= self.promised:
            return None
        rate = self.bytes_per_second or math.inf
        return shorter(self.there / rate, self.promised / rate)


def shorter(there: float, promised: float) -> str:
    """The sentence for a recording of ``there`` seconds whose header promises more."""
    if promised - there < SHORT_SECONDS:
        return f"The file ends {1000 * (promised - there):.3g} ms before its header says: what is there is taken."
    return f"The file is cut short: {there:.2f} s of the {promised:.2f} s that its header promises are taken."


def length(file: BinaryIO, start: int = 0) -> Length | None:
    """Read the header of the wav file that begins at ``start``; None where it has none, or no samples."""
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    long = file.read(4) in LONG_KINDS
    position, bytes_per_second = 12, 0
    while position + 8 <= size:
        file.seek(start + position)
        header = file.read(8)
        kind, promised = header[:4], int.from_bytes(header[4:], "little")
        if kind == b"fmt ":
            bytes_per_second = int.from_bytes(file.read(12)[8:12], "little")
        if kind == b"data":
            there = size - position - 8
            if long:
                file.seek(start + LONG_LENGTH_AT)
                promised = int.from_bytes(file.read(8), "little")
            elif promised >= PIPED:
                promised = there
            number = (start + LONG_LENGTH_AT, 8) if long else (start + position + 4, 4)
            known = None if promised in NEVER_WRITTEN and there else promised
            return Length(there, known, bytes_per_second, number)
        position += 8 + promised + promised % 2
    return None


class Mended(io.RawIOBase):
    """A wav file that never says how long it is, read as if its header did."""

    def __init__(self, file: BinaryIO, length: Length) -> None:
        place, width = length.number
        self.file, self.place = file, place
        self.number = min(length.there, 256**width - 1).to_bytes(width, "little")

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self.file.tell()

    def readinto(self, buffer: Any) -> int:
        """The file's bytes, but for those of the length."""
        position = self.file.tell()
        data = bytearray(self.file.read(len(buffer)))
        for i, byte in enumerate(self.number, self.place - position):
            if 0 <= i < len(data):
                data[i] = byte
        buffer[: len(data)] = data
        return len(data)
