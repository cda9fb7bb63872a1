"""What FFmpeg reads, through PyAV: m4a, webm, and the sound of videos, of which one sound stream is taken."""

import re
from collections.abc import Iterator
from typing import Any

import av
import av.error
import av.logging
import numpy as np

from unbabble.base import notes
from unbabble.base.decoding import AudioInfo
from unbabble.base.errors import InputError
from unbabble.base.wav import shorter
from unbabble.base.words import counted

av.logging.set_level(None)

LOST_SECONDS = 0.5
LOST_SHARE = 0.05
"""A stream may be somewhat shorter than its header says (coding delays); more than both is a cut file."""
PROMISING = ("matroska", "mov", "asf", "flv", "flac")
"""Containers whose header says how long they are: what is cut short is noticed."""
TIMED = (*PROMISING, "avi", "mpegts", "mpeg", "wav", "aiff", "caf", "w64")
"""Containers with times; of any other FFmpeg guesses the duration from the size of its first pieces."""
CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
CODES = """
ara Arabic ben Bengali bul Bulgarian cat Catalan ces Czech cze Czech chi Chinese zho Chinese dan Danish deu German
ger German dut Dutch nld Dutch ell Greek gre Greek eng English est Estonian fas Persian per Persian fin Finnish
fra French fre French heb Hebrew hin Hindi hrv Croatian hun Hungarian ind Indonesian ita Italian jpn Japanese
kor Korean lav Latvian lit Lithuanian nor Norwegian nob Norwegian pol Polish por Portuguese ron Romanian rum Romanian
rus Russian slk Slovak slo Slovak slv Slovene spa Spanish srp Serbian swe Swedish tam Tamil tel Telugu tha Thai
tur Turkish ukr Ukrainian urd Urdu vie Vietnamese
"""
LANGUAGES = dict(zip(CODES.split()[::2], CODES.split()[1::2], strict=True))
"""Of ISO 639-2, as containers name languages; of others the code is shown."""


class ContainerDecoder:
    """One sound stream of a file that FFmpeg knows.

    Args:
        container: opened by PyAV.
        name: of the file, in messages.
        number: of the sound stream, from 1; None for the first, and a warning that there are others.

    Raises:
        InputError: no sound, or no such stream.
    """

    def __init__(self, container: Any, name: str, number: int | None = None) -> None:
        streams = container.streams.audio
        if not streams:
            raise InputError(f"{name} has no sound in it.")
        if number is not None and number > len(streams):
            raise InputError(
                f"{name} has {counted(len(streams), 'sound stream')}: there is no stream {number}."
            )
        self.container, self.name, self.stream = container, name, streams[(number or 1) - 1]
        self.stream.thread_type = "AUTO"
        context, kinds = self.stream.codec_context, container.format.name.split(",")
        if not context.sample_rate or not context.channels:
            raise InputError(f"{name} cannot be read as audio.")
        self._begin = float((self.stream.start_time or 0) * (self.stream.time_base or 0))
        self._promises = any(kind in PROMISING for kind in kinds)
        seconds = self._seconds() if any(kind in TIMED for kind in kinds) else None
        warnings = [_others(streams)] if number is None and len(streams) > 1 else []
        self.info = AudioInfo(
            context.sample_rate,
            context.channels,
            seconds,
            None,
            container.format.name,
            context.name,
            warnings=warnings,
        )

    def _seconds(self) -> float | None:
        """How long this sound stream is by itself: a picture may begin before it and end after it."""
        stream, whole = self.stream, (self.container.duration or 0) / 1_000_000
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if match := CLOCK.fullmatch(
            stream.metadata.get("DURATION", "")
        ):  # Matroska: the time at which it ends
            hours, minutes, seconds = (float(part) for part in match.groups())
            return max(0.0, min(3600 * hours + 60 * minutes + seconds, whole or float("inf")) - self._begin)
        return whole - self._begin if whole and len(self.container.streams) == 1 else None

    def blocks(self, skip: int = 0) -> Iterator[np.ndarray]:
        """Samples from number ``skip`` to the end, (channel, time), float32."""
        rate, count = self.info.sample_rate, 0
        layout = self.stream.codec_context.layout
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        ends = dict.fromkeys((stream.index for stream in self.container.streams), 0.0)
        try:
            for packet in self.container.demux():
                if packet.pts is not None and packet.time_base:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    ends[packet.stream.index] = max(ends[packet.stream.index], end)
                if packet.stream.index != self.stream.index:
                    continue
                for piece in self._decoded(packet):
                    count += piece.shape[1]
                    if count > skip:
                        yield piece[:, max(0, skip - (count - piece.shape[1])) :]
        except av.error.FFmpegError as error:
            raise InputError(f"{self.name} is damaged: it cannot be decoded to its end.") from error
        self._check_end(count / rate, ends)

    def _decoded(self, packet: Any) -> Iterator[np.ndarray]:
        """Samples of a packet; with the empty packet at the end also those that are left."""
        for frame in packet.decode():
            for piece in self._resampler.resample(frame):
                yield piece.to_ndarray()
        if packet.size == 0:
            for piece in self._resampler.resample(None):
                yield piece.to_ndarray()

    def _check_end(self, there: float, ends: dict[int, float]) -> None:
        """Compare where the sound ends with where it is said to; where that is not said, the whole file's end.

        Times are compared, not numbers of samples: a stream may have gaps.
        """
        promised, end = self.info.seconds, max(there, ends[self.stream.index] - self._begin)
        if promised is None and self._promises:
            promised, end = (self.container.duration or 0) / 1_000_000, max(ends.values())
        if promised is None or promised - end <= max(LOST_SECONDS, LOST_SHARE * promised):
            return
        if self._promises:
            raise InputError(
                f"{self.name} is cut short: {there:.2f} s of the {promised:.2f} s that its header promises."
            )
        notes.add(self.info.warnings, [shorter(there, promised)])


def _label(stream: Any) -> str:
    """The language of a stream and what it is called, as ``" (English, Commentary)"``."""
    code, title = stream.metadata.get("language", "und"), stream.metadata.get("title", "")
    parts = [LANGUAGES.get(code, code) if code != "und" else "", title]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""


def _others(streams: Any) -> str:
    first, *others = map(_label, streams)
    if len(others) == 1:
        return f"2 sound streams; taking the first{first}; --stream 2 takes the other{others[0]}."
    choices = ", ".join(f"{number}{label}" for number, label in enumerate(others, 2))
    return f"{counted(len(streams), 'sound stream')}; taking the first{first}; --stream takes another: {choices}."
