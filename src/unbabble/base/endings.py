"""Whether an Ogg, MP3 or CAF file is whole: decoders take what is there of a cut one, and say nothing."""

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

from unbabble.base.wav import SHORT_SECONDS, Length

OGG_PAGE, OGG_HEADER_BYTES, LONGEST_OGG_PAGE = b"OggS", 27, 65307
LAST_PAGE = 0x04
"""Flag of the page that ends a stream."""
ID3_BYTES = 10
MPEG1, MONO = 3, 3
MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Hz, by version of MPEG."""
XING = (b"Xing", b"Info")
HAS_FRAMES, HAS_BYTES = 1, 2
CAF = b"caff"
CAF_HEADER_BYTES = 8


@dataclass(frozen=True)
class NoEnd:
    """A file whose container does not come to its end, nor says how long it should be."""

    warning: str = "The file has no end, perhaps because it was cut short: what is there is taken."
    lost_seconds: float = 0.0


def ogg(file: BinaryIO, start: int = 0) -> NoEnd | None:
    """What there is to say of the Ogg file that begins at ``start``; None where its last page is whole and says so."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(start, size - 2 * LONGEST_OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(OGG_PAGE) :]
    segments = page[OGG_HEADER_BYTES : OGG_HEADER_BYTES + page[26]] if len(page) >= OGG_HEADER_BYTES else b""
    whole = bool(segments) and len(page) >= OGG_HEADER_BYTES + len(segments) + sum(segments)
    return None if whole and page[5] & LAST_PAGE else NoEnd()


def mp3(file: BinaryIO, start: int = 0) -> Length | None:
    """The length of the MP3 file that begins at ``start``, if its first frame tells it, and more than there is.

    An encoder that knows the length writes it into a frame without sound (Xing; of a constant bit rate, Info).
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(start)
    head = file.read(ID3_BYTES)
    if head[:3] == b"ID3":
        start += ID3_BYTES + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(64)
    if len(frame) < 64 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, rate_place, mono = frame[1] >> 3 & 3, frame[2] >> 2 & 3, frame[3] >> 6 == MONO
    if version not in MP3_RATES or rate_place == 3:
        return None
    place = 4 + ((17 if mono else 32) if version == MPEG1 else (9 if mono else 17))
    flags = int.from_bytes(frame[place + 4 : place + 8])
    if frame[place : place + 4] not in XING or not flags & HAS_FRAMES or not flags & HAS_BYTES:
        return None
    frames, promised = (int.from_bytes(frame[place + k : place + k + 4]) for k in (8, 12))
    seconds = frames * (1152 if version == MPEG1 else 576) / MP3_RATES[version][rate_place]
    if not seconds or not promised:
        return None
    length = Length(size - start, promised, round(promised / seconds), (0, 0))
    return length if length.lost_seconds > SHORT_SECONDS else None


def caf(file: BinaryIO, start: int = 0) -> Length | None:
    """The length of the CAF file that begins at ``start``; None where its header does not tell it in seconds."""
    size = file.seek(0, io.SEEK_END)
    position, bytes_per_second = start + CAF_HEADER_BYTES, 0
    while position + 12 <= size:
        file.seek(position)
        kind, promised = struct.unpack(">4sq", file.read(12))
        position += 12
        if kind == b"data":  # of -1 bytes where it goes on to the end of the file
            tells = bytes_per_second and promised > 0
            return Length(size - position, promised, bytes_per_second, (0, 0)) if tells else None
        if kind == b"desc" and position + 24 <= size:
            rate, _, _, packet_bytes, packet_frames = struct.unpack(">d4sIII", file.read(24))
            bytes_per_second = round(rate * packet_bytes / packet_frames) if packet_frames else 0
        position += max(0, promised)
    return None
