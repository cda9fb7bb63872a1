"""One recording per talker, from the turns: what each says, silence elsewhere; in memory of one block.

Where one talks alone, the voice is the recording; where two talk at once, it is what was separated there.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import formats
from unbabble.base.audio import AudioWriter, resample
from unbabble.base.files import partial_suffix, writable_folder
from unbabble.base.formats import Format
from unbabble.base.spans import Span
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.tracks import RESIDUAL

BLOCK_SECONDS = 20.0
FADE_SECONDS = 0.02
"""In which a voice comes up before a turn, and goes down behind it."""


@dataclass(frozen=True)
class Separated:
    """A stretch in which several talk at once, and what was separated there.

    Attributes:
        start: seconds from the recording's beginning.
        end: seconds.
        file_start: seconds at which the file begins, before the stretch.
        file: of NumPy, the voices (voice, time).
        sample_rate: of the file, in Hz.
        speakers: whose the voices are; None of what is nobody's.
    """

    start: float
    end: float
    file_start: float
    file: Path
    sample_rate: int
    speakers: tuple[str | None, ...]


def write_voices(
    recording: Recording,
    turns: Sequence[Span],
    separated: Sequence[Separated],
    out: str | os.PathLike[str],
    *,
    speakers: Sequence[str],
    channel: int | None = None,
    residual: bool = False,
    format: Format = "wav",
    warnings: list[str],
    progress: Callable[[float, float | None], None] | None = None,
) -> list[Path]:
    """Write a file for each talker, ``anna.wav`` ..., all as long as the recording and scaled alike.

    Args:
        recording: of any length.
        turns: who speaks when.
        separated: stretches in the order of time; they do not overlap.
        out: folder for the files.
        speakers: for whom there is one, in the order of the files.
        channel: of the recording, from 0, that is cut; None for the mean of all.
        residual: also write ``residual.wav``, what is in no voice.
        format: ``wav`` of 32-bit floats, ``wav16`` or ``flac``.
        warnings: of scaling is added.
        progress: called after each block with the seconds that are done, and those of the recording if known.

    Returns:
        The files.

    Raises:
        InputError: the recording cannot be read.
        OutputError: the files cannot be written.
    """
    rate, out = recording.sample_rate, writable_folder(out)
    names = [*speakers, RESIDUAL] if residual else list(speakers)
    paths = [out / f"{name}{formats.KINDS[format].suffix}" for name in names]
    with tempfile.TemporaryDirectory(partial_suffix(), ".voices-", out) as folder:
        with ExitStack() as stack:
            writers = [
                stack.enter_context(
                    AudioWriter(Path(folder) / f"{number}.wav", rate, 1, recording.info.seconds or 0.0)
                )
                for number in range(len(names))
            ]
            done = 0
            for block in recording.blocks(BLOCK_SECONDS):
                mixed, start = block.mean(0) if channel is None else block[channel], done / rate
                done += len(mixed)
                held = [part for part in separated if part.start < done / rate and part.end > start]
                voices = torch.zeros(len(names), len(mixed))
                for voice, name in zip(voices, speakers, strict=False):
                    own = [turn for turn in turns if turn.speaker == name]
                    voice += mixed * gain(own, start, len(mixed), rate)
                    for part in held:
                        voice[:] = _replaced(voice, part, name, start, rate)
                voices[len(speakers) :] = mixed - voices.sum(0)
                for writer, voice in zip(writers, voices, strict=True):
                    writer.write(voice[None])
                if progress is not None:
                    progress(done / rate, recording.info.seconds)
        peak = max((writer.peak for writer in writers), default=0.0)
        scale = formats.fitting_gain(peak, format)
        warnings += formats.fitting_notes(peak, format)
        for number, path in enumerate(paths):
            temporary = Path(folder) / f"{number}.wav"
            if format == "wav":
                os.replace(temporary, path)
            else:
                audio_files.convert(temporary, path, format, scale)
    return paths


def gain(turns: Sequence[Span], start: float, length: int, rate: int) -> Float[Tensor, " time"]:
    """1 in the turns, 0 elsewhere, and in between a short way from one to the other, outside of the turns.

    Args:
        turns: of one talker.
        start: second at which what is asked for begins.
        length: of it, in samples.
        rate: in Hz.
    """
    result, fade = torch.zeros(length), max(1, round(FADE_SECONDS * rate))
    for turn in turns:
        begin, end = round((turn.start - start) * rate), round((turn.end - start) * rate)
        if begin - fade >= length or end + fade <= 0:
            continue
        time = torch.arange(max(0, begin - fade), min(length, end + fade))
        near = torch.minimum(time - (begin - fade), (end + fade) - time) / fade
        result[time] = torch.maximum(result[time], near.clamp(0, 1))
    return result


def _replaced(
    voice: Float[Tensor, " time"], part: Separated, speaker: str, start: float, rate: int
) -> Float[Tensor, " time"]:
    """A block of a voice with what was separated of it in its place."""
    inside = gain([Span(part.start, part.end)], start, len(voice), rate)
    voice = voice * (1 - inside)
    if speaker not in part.speakers:
        return voice
    voices, own = np.load(part.file, mmap_mode="r"), part.speakers.index(speaker)
    # what is faded lies outside of the stretch
    first = max(0, round((part.start - FADE_SECONDS - part.file_start) * part.sample_rate))
    last = round((part.end + FADE_SECONDS - part.file_start) * part.sample_rate)
    samples = torch.from_numpy(voices[own, first:last].copy())
    samples = resample(samples[None], part.sample_rate, rate)[0]
    begin = round((part.file_start + first / part.sample_rate - start) * rate)
    first, last = max(0, begin), min(len(voice), begin + len(samples))
    voice[first:last] += samples[first - begin : last - begin] * inside[first:last]
    return voice
