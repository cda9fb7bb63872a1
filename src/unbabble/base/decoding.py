"""Decoders behind ``base.audio``: soundfile first, PyAV for what it does not know."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile

from unbabble.base import endings, notes, wav
from unbabble.base.endings import NoEnd
from unbabble.base.errors import InputError
from unbabble.base.excerpt import WHOLE, Excerpt, Part
from unbabble.base.files import native

BLOCK_FRAMES = 1 << 18
CUT = re.compile(r"(?:SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)")
"""How libsndfile notes that a header promises more than is there."""
SNIFF_BYTES = 1024
ROUGH = ("OGG", "MP3")
"""Formats in which libsndfile does not find the very sample that it is to seek: they are decoded from the start."""


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
        lost_seconds: that the header promises and a wav file lacks.
        warnings: what the user should know of the file; of a pipe, some of it only once all is read.
    """

    sample_rate: int
    channels: int
    seconds: float | None
    frames: int | None
    format: str
    subtype: str
    lost_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list, compare=False)


class Decoder(Protocol):
    """An open recording."""

    @property
    def info(self) -> AudioInfo:
        """What the header says."""
        ...

    def blocks(self, skip: int = 0) -> Iterator[np.ndarray]:
        """Samples from number ``skip`` to the end, (channel, time), float32."""
        ...


class SoundfileDecoder:
    """wav, flac, ogg, opus, mp3, aiff, au, caf, w64 ..."""

    def __init__(self, file: soundfile.SoundFile, name: str, ending: wav.Length | NoEnd | None) -> None:
        self.file, self.name = file, name
        known = 0 <= file.frames < 2**62
        frames = file.frames if known else None
        seconds = frames / file.samplerate if frames is not None else None
        if ending is None and seconds and (cut := CUT.search(file.extra_info)):  # aiff, au and w64
            ending = wav.Length(int(cut[2]), int(cut[1]), round(int(cut[2]) / seconds), (0, 0))
        lost = ending.lost_seconds if ending is not None else 0.0
        self._cut = ending is not None and file.format == "MP3"  # how far it goes is known when it is decoded
        warnings = [ending.warning] if ending is not None and ending.warning and not self._cut else []
        self.info = AudioInfo(
            file.samplerate, file.channels, seconds, frames, file.format, file.subtype, lost, warnings
        )

    def blocks(self, skip: int = 0) -> Iterator[np.ndarray]:
        """Samples from number ``skip`` to the end, (channel, time), float32."""
        count = skip if self.info.format not in ROUGH else 0
        try:
            if count:
                self.file.seek(count)
            while len(block := self.file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                count += len(block)
                if count > skip:
                    yield np.ascontiguousarray(block[max(0, len(block) - (count - skip)) :].T)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.name} is damaged: it cannot be decoded to its end.") from error
        if self.info.frames is not None and count < self.info.frames:
            there, promised = count / self.info.sample_rate, self.info.seconds or 0.0
            if self._cut:
                notes.add(self.info.warnings, [wav.shorter(there, promised)])
            if self.info.format == "MP3":
                return
            raise InputError(
                f"{self.name} is cut short: {there:.2f} s of the {promised:.2f} s that its header promises."
            )


class PartDecoder:
    """A part of a recording, read as if there were no more.

    Args:
        whole: the recording.
        part: what is read of it.
        name: of the recording, in messages.

    Raises:
        InputError: the recording ends before the part begins.
    """

    def __init__(self, whole: Decoder, part: Part, name: str) -> None:
        self.whole, self.name, self.part, rate = whole, name, part, whole.info.sample_rate
        self.first = round(part.start * rate)
        self.length = None if part.duration is None else max(1, round(part.duration * rate))
        info = whole.info
        if info.frames is not None:
            frames = (
                info.frames - self.first
                if self.length is None
                else min(info.frames - self.first, self.length)
            )
            if frames <= 0:
                raise self._over(info.frames / rate)
            info = replace(info, frames=frames, seconds=frames / rate)
        elif info.seconds is not None:
            seconds = max(0.0, info.seconds - part.start)
            info = replace(info, seconds=seconds if part.duration is None else min(seconds, part.duration))
        self.info = info

    def blocks(self, skip: int = 0) -> Iterator[np.ndarray]:
        """Samples from number ``skip`` of the part to its end, (channel, time), float32."""
        first, count = self.first + skip, 0
        left = None if self.length is None else self.length - skip
        for block in self.whole.blocks(first):
            piece = block if left is None else block[:, : left - count]
            count += piece.shape[1]
            yield piece
            if count == left:
                break
        if not count:
            raise self._over(self.whole.info.seconds)

    def _over(self, seconds: float | None) -> InputError:
        long = "" if seconds is None else f": it lasts {seconds:.2f} s"
        return InputError(f"{self.name} has nothing at {self.part.start:g} s and after{long}.")


@contextmanager
def open_decoder(
    source: str | os.PathLike[str] | BinaryIO, name: str, part: Part = WHOLE
) -> Iterator[Decoder]:
    """Open a path or a binary file, by its content.

    Args:
        source: what is opened; an ``Excerpt`` brings its own part.
        name: of the recording, in messages.
        part: what is read of it.

    Raises:
        InputError: empty, text, not audio, without such a part, or so cut short that it cannot be opened.
    """
    if isinstance(source, Excerpt):
        source, part = source.path, source.part
    with ExitStack() as stack:
        decoder = _decoder(
            Path(source) if isinstance(source, str | os.PathLike) else source, name, part, stack
        )
        yield PartDecoder(decoder, part, name) if part.start or part.duration is not None else decoder


def _decoder(source: Path | BinaryIO, name: str, part: Part, stack: ExitStack) -> Decoder:
    try:
        file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
    except OSError as error:
        raise InputError(f"{name} cannot be opened: {error.strerror}.") from error
    ending = None
    if file.seekable():
        ending, start = _sniff(file, name), file.tell()
        readable: Any = native(source) if isinstance(source, Path) else file
        if isinstance(ending, wav.Length) and ending.promised is None:
            readable = wav.Mended(file, ending)
        try:
            sound = stack.enter_context(soundfile.SoundFile(readable))
        except (
            soundfile.LibsndfileError,
            TypeError,
            ValueError,
        ):  # TypeError: a suffix that means headerless
            file.seek(start)
        else:
            if (part.stream or 1) > 1:
                raise InputError(f"{name} has 1 sound stream: there is no stream {part.stream}.")
            return SoundfileDecoder(sound, name, ending)
    return _container(file, name, part, stack, ending)


def _container(
    file: BinaryIO, name: str, part: Part, stack: ExitStack, ending: wav.Length | NoEnd | None
) -> Decoder:
    import av
    import av.error

    from unbabble.base.containers import ContainerDecoder

    try:
        # Of all protocols none: a playlist or a crafted container must not make FFmpeg open anything else.
        container = stack.enter_context(av.open(file, options={"protocol_whitelist": "none"}))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise InputError(f"{name} is not a recording that can be read (damaged, or not audio).") from error
    decoder = ContainerDecoder(container, name, part.stream)
    if ending is not None and ending.warning:
        decoder.info = replace(decoder.info, lost_seconds=ending.lost_seconds)
        decoder.info.warnings.append(ending.warning)
    return decoder


def _sniff(file: BinaryIO, name: str) -> wav.Length | NoEnd | None:
    """Refuse what is surely no recording, by its first bytes; how a file ends that says how it should."""
    try:
        start = file.tell()
        head = file.read(SNIFF_BYTES)
        if not head:
            raise InputError(f"{name} is empty (0 bytes).")
        if _is_text(head):
            raise InputError(f"{name} is a text file, not a recording.")
        ending = None
        if head[:4] in (b"RIFF", *wav.LONG_KINDS) and head[8:12] == b"WAVE":
            ending = wav.length(file, start)
        elif head[:4] == endings.OGG_PAGE:
            ending = endings.ogg(file, start)
        elif head[:4] == endings.CAF:
            ending = endings.caf(file, start)
        elif head[:3] == b"ID3" or head[0] == 0xFF:
            ending = endings.mp3(file, start)
        file.seek(start)
        return ending
    except OSError as error:
        raise InputError(f"{name} cannot be opened: {error.strerror}.") from error


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut by the end of the sample is no evidence
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text.lstrip("\ufeff"))
