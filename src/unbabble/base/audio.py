"""Recordings as files: read, probe, read in blocks, resample, write.

soundfile reads wav, flac, ogg, mp3 and their kin; PyAV reads the rest (m4a, webm, the sound of videos). A
file's content says what it is, not its suffix. Each way in which a file can be unusable is one sentence, an
``InputError``.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.decoding import AudioInfo, Decoder, open_decoder
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.excerpt import WHOLE, Excerpt
from unbabble.base.files import atomic, native, why_unwritable
from unbabble.base.formats import KINDS, Format, by_suffix, fitting_gain
from unbabble.base.words import counted

logger = logging.getLogger(__name__)

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
FLAC_CHANNELS = 8
MOST_CHANNELS = 1024
"""That libsndfile writes."""
WAV_BYTES = 2**32 - 2**16
"""More samples than this need the 64-bit kind of wav file (RF64)."""
HEADER_BYTES, DATE_BYTE = 4096, 12
"""Of a WAV file what stands before its samples, at most, and where the date is in its chunk of peaks."""
ROUNDING = 1e-6
"""Of products in single precision, relatively."""
CONVERTED_SECONDS = 60.0


@dataclass
class Audio:
    """A decoded recording.

    Attributes:
        samples: (channel, time), float32, full scale 1.
        sample_rate: Hz.
        path: where it was read from, None for bytes and streams.
        format: container, as ``WAV`` or ``mp4``.
        subtype: coding, as ``PCM_16`` or ``aac``.
        warnings: what the user should know of the file.
    """

    samples: Float[Tensor, "channel time"]
    sample_rate: int
    path: Path | None = None
    format: str = ""
    subtype: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def channels(self) -> int:
        """Number of microphones."""
        return self.samples.shape[0]

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples.shape[1] / self.sample_rate


def probe(source: Source) -> AudioInfo:
    """Rate, channels and duration, from the header alone where it says.

    Raises:
        InputError: missing, a folder, empty, not audio, cut short.
    """
    with _opened(source) as (decoder, _):
        return decoder.info


def read(source: Source) -> Audio:
    """Decode a whole recording.

    Args:
        source: a path, an ``Excerpt`` of one, the file's bytes, or an open binary file.

    Raises:
        InputError: missing, a folder, empty, not audio, cut short (a wav file is taken as far as it goes, with a
            warning), without samples, or with NaN or infinity.
    """
    with _opened(source) as (decoder, name):
        blocks = list(decoder.blocks())
        info = decoder.info
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks or [np.zeros((1, 0))], axis=1)
    _check(samples, name)
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    tensor = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    return Audio(tensor, info.sample_rate, path, info.format, info.subtype, list(info.warnings))


def read_blocks(
    source: Source, block_seconds: float, overlap_seconds: float = 0.0
) -> Iterator[Float[Tensor, "channel time"]]:
    """Decode a recording of any length piece by piece, in memory proportional to one block.

    Each block starts ``overlap_seconds`` before the end of the previous one; the last may be shorter. An open
    binary file need not be seekable, so this also reads a pipe.

    Raises:
        InputError: as ``read``, when the trouble is reached.
        UsageError: an overlap that is not shorter than the block.
    """
    if not 0 <= overlap_seconds < block_seconds:
        raise UsageError("The overlap of blocks is at least 0 seconds and shorter than a block.")
    with _opened(source, seekable=False) as (decoder, name):
        rate = decoder.info.sample_rate
        length, overlap = max(1, round(block_seconds * rate)), round(overlap_seconds * rate)
        overlap = min(overlap, length - 1)
        held: list[np.ndarray] = []
        count = fresh = 0
        empty = True
        for piece in decoder.blocks():
            if not piece.shape[1]:
                continue
            _check(piece, name)
            empty = False
            held.append(piece)
            count, fresh = count + piece.shape[1], fresh + piece.shape[1]
            if count < length:
                continue
            joined = np.concatenate(held, axis=1)
            start = 0
            while count - start >= length:
                yield torch.from_numpy(joined[:, start : start + length].astype(np.float32))
                start += length - overlap
            held, count = [joined[:, start:].copy()], count - start
            fresh = count - overlap
        if empty:
            raise InputError(f"{name} has no samples.")
        if fresh > 0:
            yield torch.from_numpy(np.concatenate(held, axis=1).astype(np.float32))


def resample(
    samples: Float[Tensor, "*batch time"], source_rate: int, target_rate: int
) -> Float[Tensor, "*batch time"]:
    """Change the sample rate by band-limited interpolation (soxr, high quality)."""
    if source_rate == target_rate:
        return samples
    flat = samples.detach().reshape(-1, samples.shape[-1]).cpu().numpy()
    result = soxr.resample(np.ascontiguousarray(flat.T), source_rate, target_rate, quality="HQ")
    return torch.from_numpy(np.ascontiguousarray(result.T)).to(samples).reshape(*samples.shape[:-1], -1)


def write(
    path: str | os.PathLike[str],
    samples: Float[Tensor, "*channel time"],
    sample_rate: int,
    format: Format | None = None,
) -> None:
    """Write a recording; the file appears under its name only when complete.

    Floats can exceed full scale, and voices do: scaling one would spoil their sum. What would clip in another format
    is scaled, and logged.

    Args:
        path: of the file.
        samples: (channel, time) or (time,).
        sample_rate: Hz.
        format: by default, ``.wav`` holds 32-bit floats and ``.flac`` 24 bits.

    Raises:
        OutputError: it cannot be written (permission, disk full, more channels than FLAC has).
        UsageError: another suffix; samples that are (time, channel).
    """
    waveform = channels_first(torch.as_tensor(samples).detach(), MOST_CHANNELS)
    format = format or by_suffix(Path(path))
    gain = fitting_gain(float(waveform.abs().max()) if waveform.numel() else 0.0, format)
    if gain < 1:
        if gain < 1 - ROUNDING:  # not what was scaled to fit exactly
            logger.warning("'%s' would clip: scaled by %.3g.", Path(path).name, gain)
        waveform = waveform * gain
    seconds = waveform.shape[1] / sample_rate
    with AudioWriter(path, sample_rate, waveform.shape[0], seconds, format) as writer:
        writer.write(waveform)


def channels_first(samples: Tensor, most: int | None = None) -> Float[Tensor, "channel time"]:
    """``samples`` with an axis of channels, where they have none.

    Args:
        samples: (channel, time) or (time,).
        most: channels that there may be; by default as many as there are samples, which tells (time, channel).

    Raises:
        UsageError: another number of axes, or more channels.
    """
    waveform = torch.atleast_2d(samples)
    if waveform.ndim != 2:
        raise UsageError(f"Samples are (channel, time) or (time,), not of {waveform.ndim} axes.")
    channels, length = waveform.shape
    if channels > (most or max(1, length)) and length:
        raise UsageError(
            f"Samples are (channel, time), and these would be {channels} channels of {counted(length, 'sample')} each: "
            "if they are (time, channel), turn them round with .T."
        )
    return waveform


def convert(source: Path, target: Path, format: Format, gain: float = 1.0) -> None:
    """Write the recording in ``source`` again as ``target``, times ``gain``, in memory of one block.

    Raises:
        InputError: ``source`` cannot be read.
        OutputError: ``target`` cannot be written.
    """
    info = probe(source)
    with AudioWriter(target, info.sample_rate, info.channels, info.seconds or 0.0, format) as writer:
        for block in read_blocks(source, CONVERTED_SECONDS):
            writer.write(block * gain)


def with_last(blocks: Iterator[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """Each block, and whether it is the last."""
    previous = next(blocks, None)
    for block in blocks:
        assert previous is not None
        yield previous, False
        previous = block
    if previous is not None:
        yield previous, True


class AudioWriter:
    """Writes a recording block by block; as a context manager, it appears under its name when complete.

    Args:
        path: of the file.
        sample_rate: Hz.
        channels: how many.
        expected_seconds: how long it will be at most; beyond 4 GiB wav needs its 64-bit kind.
        format: by default, ``.wav`` holds 32-bit floats and ``.flac`` 24 bits. All but ``wav`` clip beyond full scale.

    Attributes:
        peak: largest magnitude that came to be written.

    Raises:
        OutputError: it cannot be written.
        UsageError: another suffix.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        expected_seconds: float = 0.0,
        format: Format | None = None,
    ) -> None:
        self.path, self.peak = Path(path), 0.0
        kind = KINDS[format or by_suffix(self.path)]
        container = kind.container
        if container == "FLAC" and channels > FLAC_CHANNELS:
            raise OutputError(
                f"Cannot write '{self.path}': FLAC has at most 8 channels, not {channels}; use wav."
            )
        if container == "WAV" and expected_seconds * sample_rate * channels * kind.bits / 8 > WAV_BYTES:
            container = "RF64"
        self._options: dict[str, Any] = {"samplerate": sample_rate, "channels": channels}
        self._options |= {"format": container, "subtype": kind.subtype}

    def __enter__(self) -> "AudioWriter":
        self._atomic = atomic(self.path)
        self._temporary = self._atomic.__enter__()
        try:
            self._file = soundfile.SoundFile(native(self._temporary), "w", **self._options)
        except (soundfile.LibsndfileError, OSError) as error:
            self._atomic.__exit__(OSError, OSError(_reason(error, self.path)), None)
            raise
        return self

    def write(self, samples: Float[Tensor, "channel time"]) -> None:
        """Append samples.

        Raises:
            OutputError: the disk is full, or the like.
        """
        content = samples.detach().cpu().numpy()
        if content.size:
            self.peak = max(self.peak, float(np.abs(content).max()))
        if self._options["subtype"] == "PCM_16":  # libsndfile rounds down, which is a constant of half a step
            content = np.rint(content * 2.0**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
        try:
            self._file.write(content.T)
        except (soundfile.LibsndfileError, AssertionError) as error:  # a short write is an assertion there
            raise OSError(_reason(error, self.path)) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            self._file.close()
        except soundfile.LibsndfileError as closing:
            kind, error = OSError, OSError(_reason(closing, self.path))
        if kind is None:
            _without_date(self._temporary)
        self._atomic.__exit__(kind, error, trace)


def _without_date(path: Path) -> None:
    """Take out of a WAV file when it was written, which libsndfile puts beside the peak: same samples, same file."""
    with path.open("r+b") as file:
        header, peak, _ = file.read(HEADER_BYTES).partition(b"data")[0].partition(b"PEAK")
        if peak:
            file.seek(len(header) + DATE_BYTE)
            file.write(bytes(4))


def _reason(error: BaseException, path: Path) -> str:
    """What hinders writing ``path``; libsndfile calls all that the system refuses "System error"."""
    text = str(error).removeprefix("Error opening").strip(" .'\"")
    text = text.rsplit(":", 1)[-1].strip(" .'\"")
    return why_unwritable(path.parent) or text or "the disk is full"


@contextmanager
def _opened(source: Source, seekable: bool = True) -> Iterator[tuple[Decoder, str]]:
    """A decoder for ``source`` and how messages call it."""
    if isinstance(source, str | os.PathLike):
        path, part = (source.path, source.part) if isinstance(source, Excerpt) else (Path(source), WHOLE)
        name = f"'{path}'"
        _check_path(path, name)
        with open_decoder(path, name, part) as decoder:
            yield decoder, name
        return
    if isinstance(source, bytes | bytearray):
        name, file = "The recording", io.BytesIO(source)
    else:
        file = source
        label = getattr(file, "name", None)
        name = f"'{label}'" if isinstance(label, str) else "The recording"
        if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
            raise UsageError("A recording is a path, bytes, or a file that is open in binary mode.")
        if seekable and not file.seekable():
            file = io.BytesIO(file.read())
    with open_decoder(file, name) as decoder:
        yield decoder, name


def _check_path(path: Path, name: str) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder, not a recording.")
        if not path.exists():
            raise InputError(f"There is no file {name}.")
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{name} is empty (0 bytes).")
    except OSError as error:
        raise InputError(f"{name} cannot be opened: {error.strerror}.") from error


def _check(samples: np.ndarray, name: str) -> None:
    if not samples.shape[1]:
        raise InputError(f"{name} has no samples.")
    if not (np.isfinite(samples.max()) and np.isfinite(samples.min())):
        raise InputError(f"{name} contains samples that are not numbers (NaN or infinity).")
