"""Decoders behind ``base.audio``: soundfile first, PyAV for what it does not know."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile

from unbabble.base.errors import InputError
from unbabble.base.files import native

BLOCK_FRAMES = 1 << 18
SNIFF_BYTES = 1024
UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""Sizes that programs write into a wav header when they do not know the length yet."""
SOX_UNKNOWN = 0x7FFF0000
LOST_SECONDS = 0.5
LOST_SHARE = 0.05
"""A container may be somewhat shorter than its header says (coding delays); more than both is a cut file."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        seconds: duration; None where the header does not say (streams, some webm).
        frames: samples per channel, where known exactly.
        format: container, as ``WAV`` or ``mp4``.
        subtype: coding, as ``PCM_16`` or ``aac``.
    """

    sample_rate: int
    channels: int
    seconds: float | None
    frames: int | None
    format: str
    subtype: str


class Decoder(Protocol):
    """An open recording."""

    @property
    def info(self) -> AudioInfo:
        """What the header says."""
        ...

    def blocks(self) -> Iterator[np.ndarray]:
        """Samples from the start, (channel, time), float32."""
        ...


class SoundfileDecoder:
    """wav, flac, ogg, opus, mp3, aiff, au, caf, w64 ..."""

    def __init__(self, file: soundfile.SoundFile, name: str) -> None:
        self.file, self.name = file, name
        known = 0 <= file.frames < 2**62
        frames = file.frames if known else None
        seconds = frames / file.samplerate if frames is not None else None
        self.info = AudioInfo(file.samplerate, file.channels, seconds, frames, file.format, file.subtype)

    def blocks(self) -> Iterator[np.ndarray]:
        """Samples from the start, (channel, time), float32."""
        count = 0
        while True:
            try:
                block = self.file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise InputError(f"{self.name} is damaged: it cannot be decoded to its end.") from error
            if not len(block):
                break
            count += len(block)
            yield np.ascontiguousarray(block.T)
        if self.info.frames is not None and count < self.info.frames and self.info.format != "MP3":
            raise InputError(_cut(self.name, count / self.info.sample_rate, self.info.seconds or 0.0))


class AvDecoder:
    """Whatever FFmpeg knows: m4a, webm, the sound of videos."""

    def __init__(self, container: Any, name: str) -> None:
        if not container.streams.audio:
            raise InputError(f"{name} has no sound in it.")
        self.container, self.name, self.stream = container, name, container.streams.audio[0]
        self.stream.thread_type = "AUTO"
        stream, context = self.stream, self.stream.codec_context
        seconds = None
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / 1_000_000
        if not context.sample_rate or not context.channels:
            raise InputError(f"{name} cannot be read as audio.")
        self.info = AudioInfo(
            context.sample_rate, context.channels, seconds, None, container.format.name, context.name
        )

    def blocks(self) -> Iterator[np.ndarray]:
        """Samples from the start, (channel, time), float32."""
        import av
        import av.error

        rate = self.info.sample_rate
        layout = self.stream.codec_context.layout
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        count = 0
        try:
            for frame in self.container.decode(self.stream):
                for piece in resampler.resample(frame):
                    count += piece.samples
                    yield piece.to_ndarray()
            for piece in resampler.resample(None):
                count += piece.samples
                yield piece.to_ndarray()
        except av.error.FFmpegError as error:
            raise InputError(f"{self.name} is damaged: it cannot be decoded to its end.") from error
        declared = self.info.seconds or 0.0
        if declared - count / rate > max(LOST_SECONDS, LOST_SHARE * declared):
            raise InputError(_cut(self.name, count / rate, declared))


@contextmanager
def open_decoder(source: Path | BinaryIO, name: str) -> Iterator[Decoder]:
    """Open a path or a binary file, by its content.

    Raises:
        InputError: empty, text, cut short or not audio.
    """
    seekable = isinstance(source, Path) or source.seekable()
    if seekable:
        _sniff(source, name)
        try:
            file = soundfile.SoundFile(source if not isinstance(source, Path) else native(source))
        except (
            soundfile.LibsndfileError,
            TypeError,
            ValueError,
        ):  # TypeError: a suffix that means headerless
            if not isinstance(source, Path):
                source.seek(0)
        else:
            with file:
                yield SoundfileDecoder(file, name)
            return
    yield from _open_av(source, name)


def _open_av(source: Path | BinaryIO, name: str) -> Iterator[Decoder]:
    import av
    import av.error
    import av.logging

    av.logging.set_level(None)
    with open(source, "rb") if isinstance(source, Path) else nullcontext(source) as file:
        try:
            # Of all protocols none: a playlist or a crafted container must not make FFmpeg open anything else.
            container = av.open(file, options={"protocol_whitelist": "none"})
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise InputError(
                f"{name} is not a recording that can be read (damaged, or not audio)."
            ) from error
        with container:
            yield AvDecoder(container, name)


def _sniff(source: Path | BinaryIO, name: str) -> None:
    """Refuse what is surely not a whole recording, by its first bytes."""
    file = open(source, "rb") if isinstance(source, Path) else source  # noqa: SIM115
    try:
        start = file.tell()
        head = file.read(SNIFF_BYTES)
        if not head:
            raise InputError(f"{name} is empty (0 bytes).")
        if _is_text(head):
            raise InputError(f"{name} is a text file, not a recording.")
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            _check_wav(file, start, name)
        file.seek(start)
    except OSError as error:
        raise InputError(f"{name} cannot be opened: {error.strerror}.") from error
    finally:
        if isinstance(source, Path):
            file.close()


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut by the end of the sample is no evidence
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text.lstrip("\ufeff"))


def _check_wav(file: BinaryIO, start: int, name: str) -> None:
    """Compare the length that a wav header promises with what is there: libsndfile takes what it finds."""
    size = file.seek(0, io.SEEK_END) - start
    position, bytes_per_second = 12, 0
    while position + 8 <= size:
        file.seek(start + position)
        header = file.read(8)
        kind, length = header[:4], int.from_bytes(header[4:], "little")
        if kind == b"fmt ":
            bytes_per_second = int.from_bytes(file.read(12)[8:12], "little")
        if kind == b"data":
            there = size - position - 8
            unknown = length in UNKNOWN_LENGTHS or length >= SOX_UNKNOWN
            if length > there and not unknown:
                rate = bytes_per_second or math.inf
                raise InputError(_cut(name, there / rate, length / rate))
            return
        position += 8 + length + length % 2


def _cut(name: str, found: float, promised: float) -> str:
    return f"{name} is cut short: {found:.2f} s of the {promised:.2f} s that its header promises."
