"""Recordings that are arriving, block by block, finite or endless: a file, a pipe, raw samples, a microphone."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.decoding import open_decoder
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.extras import missing_extra
from unbabble.base.inputs import MICROPHONE, STDIN
from unbabble.base.words import counted

SampleKind: TypeAlias = Literal["pcm_16", "pcm_32", "float"]
SAMPLE_KINDS: dict[SampleKind, tuple[str, float]] = {
    "pcm_16": ("<i2", 2.0**15), "pcm_32": ("<i4", 2.0**31), "float": ("<f4", 1.0),
}  # fmt: skip
"""Raw samples, as numpy has them, and their full scale."""


@dataclass
class Arrival:
    """A recording that is arriving.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        blocks: (channel, time), finite or endless.
        warnings: what the user should know of it, once all has arrived.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[Float[Tensor, "channel time"]]
    warnings: list[str] = field(default_factory=list)


@contextmanager
def arriving(
    input: str | Path,
    part: Part,
    *,
    rate: int | None,
    channels: int | None,
    subtype: SampleKind | None,
    block_seconds: float,
) -> Iterator[Arrival]:
    """Whatever ``input`` names.

    Args:
        input: a path, ``-`` for standard input, ``mic`` for a microphone.
        part: of a recording.
        rate: Hz of raw samples, or for the microphone.
        channels: of raw samples, or of the microphone.
        subtype: the input is raw samples of this kind, little endian, interleaved.
        block_seconds: how long blocks are, at most.

    Raises:
        InputError: it cannot be opened.
        MissingExtraError: the microphone without the extra ``live``.
        UsageError: standard input is a keyboard.
    """
    if str(input) == MICROPHONE:
        with microphone(rate, channels, block_seconds) as arrival:
            yield arrival
    elif subtype and rate and channels:
        with _binary(input) as file:
            warnings: list[str] = []
            yield Arrival(
                rate, channels, _raw_blocks(file, rate, channels, subtype, block_seconds, warnings), warnings
            )
    else:
        with _decoded(input, part, block_seconds) as arrival:
            yield arrival


@contextmanager
def microphone(rate: int | None, channels: int | None, block_seconds: float) -> Iterator[Arrival]:
    """The microphone that the system has by default, at its own rate and with all its channels where none are given.

    Raises:
        InputError: there is none, or none such.
        MissingExtraError: without the extra ``live``.
    """
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise missing_extra("live") from error
    except OSError as error:
        raise InputError("The microphone needs the PortAudio library, which is not installed.") from error
    try:
        device: Any = sounddevice.query_devices(kind="input")
        rate = rate or int(device["default_samplerate"])
        channels = channels or int(device["max_input_channels"])
        source = sounddevice.InputStream(samplerate=rate, channels=channels, dtype="float32")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"No microphone can be opened: {str(error).splitlines()[0].rstrip('.')}.") from error
    with source:

        def blocks() -> Iterator[Tensor]:
            while True:
                samples, _ = source.read(max(1, round(block_seconds * rate)))
                yield torch.from_numpy(samples.T.copy())

        yield Arrival(rate, channels, blocks())


def _binary(input: str | Path) -> AbstractContextManager[BinaryIO]:
    if str(input) == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("'-' reads a recording from standard input: pipe one in.")
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(input).open("rb")
    except OSError as error:
        raise InputError(f"'{input}' cannot be opened: {error.strerror}.") from error


@contextmanager
def _decoded(input: str | Path, part: Part, block_seconds: float) -> Iterator[Arrival]:
    piped = str(input) == STDIN
    name = "Standard input" if piped else f"'{input}'"
    with _binary(input) as file, open_decoder(file if piped else Path(input), name, part) as decoder:
        info = decoder.info
        size = max(1, round(block_seconds * info.sample_rate))

        def blocks() -> Iterator[Tensor]:
            for piece in decoder.blocks():
                yield from torch.from_numpy(piece).float().split(size, dim=1)

        yield Arrival(info.sample_rate, info.channels, blocks(), info.warnings)


def _raw_blocks(
    file: BinaryIO,
    rate: int,
    channels: int,
    subtype: SampleKind,
    block_seconds: float,
    warnings: list[str],
) -> Iterator[Float[Tensor, "channel time"]]:
    kind, full_scale = SAMPLE_KINDS[subtype]
    frame = channels * np.dtype(kind).itemsize
    rest = b""  # of a frame that is not whole yet
    while data := file.read(frame * max(1, round(block_seconds * rate))):
        data = rest + data
        whole = len(data) // frame * frame
        rest = data[whole:]
        if whole:
            samples = np.frombuffer(data[:whole], kind).reshape(-1, channels).T
            yield torch.from_numpy(np.ascontiguousarray(samples, np.float32) / np.float32(full_scale))
    if rest:
        left = f"{counted(len(rest), 'byte')} {'was' if len(rest) == 1 else 'were'} left out"
        warnings.append(
            f"The last {left}: a sample of {counted(channels, 'channel')} has {frame}. Are --subtype and --channels "
            "right?"
        )
