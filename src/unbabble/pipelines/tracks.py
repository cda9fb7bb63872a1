"""Long recordings: separate them segment by segment, in bounded memory, with each voice in one file throughout.

Segments overlap. In the overlap the new segment's voices are given to the tracks so that the squared difference at
the seam is least, which is the assignment of largest total inner product, and are faded over to. Where the overlap
does not tell, because a talker is silent there, the long-term spectra of voices and tracks do. Voices are written as
they are finished and the files named at the end, loudest first.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import formats, notes
from unbabble.base.audio import AudioWriter
from unbabble.base.decoding import AudioInfo
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import partial_suffix, writable_folder
from unbabble.base.formats import Format
from unbabble.pipelines.pieces import faded, segment_seconds
from unbabble.pipelines.recording import Recording
from unbabble.signal.permutation import NONE, best_permutation

RESIDUAL = "residual"
OVERLAP_SHARE = 1 / 6
FADED_SECONDS = 1.0
"""Length of the cross-fade in the middle of the overlap."""
FRAME_SECONDS = 0.064
BANDS, TOP_HERTZ = 24, 4000.0
SPECTRUM_WEIGHT = 0.1
"""Of the likeness of spectra, against inner products in the overlap in units of the segment's mean power there."""


class Separation(Protocol):
    """What a model returns (see ``pipelines.separate.Separation``)."""

    sources: Float[Tensor, "source time"]
    model: str
    images: Float[Tensor, "source channel time"] | None
    warnings: list[str]
    recorded: Float[Tensor, " time"] | None


class Model(Protocol):
    """What separates a segment (see ``pipelines.separate.Model``)."""

    @property
    def options(self) -> dict[str, Any]:
        """Of the method; ``reference`` is looked at."""
        ...

    def __call__(self, source: Tensor, sample_rate: int, images: bool) -> Separation:
        """Separate (channel, time)."""
        ...


@dataclass
class LongSeparation:
    """What became of a long recording.

    Attributes:
        outputs: the files: ``source1`` ..., loudest over the whole recording first, then ``source1_image`` ...,
            then ``residual``.
        sample_rate: Hz.
        model: what separated it.
        sources: number of voices: the most that any segment had.
        audio_seconds: duration of the recording.
        segments: number of pieces.
        warnings: what the user should know of this recording.
        seconds: wall time that it took.
    """

    outputs: list[Path]
    sample_rate: int
    model: str
    sources: int
    audio_seconds: float
    segments: int
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0


def separate_long(
    model: Model,
    recording: Recording,
    out: str | os.PathLike[str],
    *,
    segment: float | None = None,
    overlap: float | None = None,
    images: bool = False,
    residual: bool = False,
    format: Format = "wav",
    progress: Callable[[float, float | None], None] | None = None,
) -> LongSeparation:
    """Separate a recording of any length in memory proportional to one segment.

    Segments that are silent stay silent; one that cannot be separated is shared out equally, with a warning.

    Args:
        model: what separates a segment, as ``unbabble.load`` gives.
        recording: of any length.
        out: folder for ``source1.wav`` ... (and ``source1_image.wav`` ...).
        segment: seconds of a segment; 60 by default, less for many channels.
        overlap: seconds that two segments share; a sixth of a segment by default.
        images: also write each voice as every microphone hears it.
        residual: also write what is in no voice: what the reference microphone recorded, less the sum of the voices.
        format: ``wav`` of 32-bit floats, ``wav16`` or ``flac``; all voices scaled alike where one would clip.
        progress: called after each segment with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read, or no segment of it be separated.
        OutputError: the results cannot be written.
        UsageError: an overlap that is not shorter than half a segment.
    """
    started = time.perf_counter()
    info = recording.info
    segment = segment or segment_seconds(info)
    overlap = segment * OVERLAP_SHARE if overlap is None else overlap
    if not 0 < 2 * overlap <= segment:
        raise UsageError("Segments have a positive duration and share at most half of it.")
    out = writable_folder(out)
    with tempfile.TemporaryDirectory(partial_suffix(), ".segments-", out) as folder, ExitStack() as stack:
        tracks = _Tracks(Path(folder), stack, info, images, residual)
        separator = _Segments(model, info, images)
        held: list[Tensor] = []  # the end of the previous segment
        shared = round(overlap * info.sample_rate)
        for block, last in audio_files.with_last(recording.blocks(segment, overlap)):
            voices = separator(block, len(tracks))
            joined = tracks.join(voices, held[0] if held else None, shared)
            end = joined.shape[-1] if last else joined.shape[-1] - shared
            tracks.write(joined[..., :end], separator.recorded[:end])
            held = [joined[..., end:].clone()]
            if progress is not None:
                progress(tracks.written / info.sample_rate, info.seconds)
        stack.close()
        if separator.failure and not separator.model_name:
            raise separator.failure
        if not separator.model_name:
            raise InputError("The recording is silent.")
        outputs = tracks.finish(out, format, separator.warnings)
    return LongSeparation(
        outputs,
        info.sample_rate,
        separator.model_name,
        len(tracks),
        tracks.written / info.sample_rate,
        separator.count,
        separator.warnings,
        time.perf_counter() - started,
    )


def align(
    voices: Float[Tensor, "voice ..."],
    tracks: Float[Tensor, "track ..."],
    likeness: Float[Tensor, "voice track"] | float = 0.0,
) -> list[int]:
    """For each track, then for each further one that is needed, the number of its voice; ``NONE`` for none.

    >>> tracks = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> align(torch.tensor([[0.0, 0.0, 0.2], [0.1, 0.9, 0.0], [0.8, 0.0, 0.0]]), tracks)
    [2, 1, 0]

    Args:
        voices: of the new segment, in the overlap.
        tracks: of the previous segment, in the overlap.
        likeness: what else speaks for giving a voice to a track, on the scale of their inner product.
    """
    if not len(voices):
        return [NONE] * len(tracks)
    if not len(tracks):
        return list(range(len(voices)))
    scores = voices.flatten(1).double() @ tracks.flatten(1).double().T
    order = best_permutation(scores + likeness).tolist()
    return [*order, *(voice for voice in range(len(voices)) if voice not in order)]


def band_powers(voices: Float[Tensor, "voice time"], sample_rate: int) -> Float[Tensor, "voice band"]:
    """Energy of each voice in bands that grow wider with frequency, as hearing has them, up to 4 kHz."""
    size = max(16, 2 ** round(math.log2(FRAME_SECONDS * sample_rate)))
    window = torch.hann_window(size)
    frames = torch.nn.functional.pad(voices, (0, size)).unfold(-1, size, size // 2)
    hertz = torch.arange(size // 2 + 1) * sample_rate / size
    used = hertz <= TOP_HERTZ
    scale = (1 + hertz[used] / 700).log()
    band = (scale / scale[-1] * BANDS).long().clamp(max=BANDS - 1)
    powers = torch.zeros(len(voices), BANDS)
    for voice, each in enumerate(frames):
        powers[voice].index_add_(0, band, torch.fft.rfft(each * window).abs().square().sum(0)[used])
    return powers


def likeness(
    voices: Float[Tensor, "voice band"], tracks: Float[Tensor, "track band"]
) -> Float[Tensor, "voice track"]:
    """From -1 to 1, how alike are the ways in which spectra differ from what the tracks have in common.

    0 for what is silent.
    """
    shapes = [(each / each.sum(1, keepdim=True).clamp_min(1e-30) + 1e-5).log() for each in (voices, tracks)]
    common = shapes[1].mean(0)
    for shape, powers in zip(shapes, (voices, tracks), strict=True):
        shape -= common
        shape /= shape.norm(dim=1, keepdim=True).clamp_min(1e-12)
        shape *= powers.sum(1, keepdim=True) > 0
    return (shapes[0] @ shapes[1].T).double()


class _Segments:
    """Separates segment after segment; remembers what the user should know."""

    def __init__(self, model: Model, info: AudioInfo, images: bool) -> None:
        self.model, self.info, self.images = model, info, images
        self.model_name, self.count = "", 0
        self.warnings = list(info.warnings)
        self.failure: InputError | None = None
        self.recorded = torch.zeros(0)  # what the reference microphone recorded of the last segment

    def __call__(self, block: Tensor, tracks: int) -> Tensor:
        """Voices (source, channel, time): as heard at the reference, then the images; none for silence."""
        self.count += 1
        reference = self.model.options.get("reference") or 0
        self.recorded = block[min(reference, len(block) - 1)]
        lowest, highest = block.aminmax(dim=1)
        if (lowest == highest).all():
            return torch.zeros(0, 1 + self.images * len(block), block.shape[1])
        try:
            result = self.model(block, self.info.sample_rate, self.images)
        except InputError as error:
            self.failure = self.failure or error
            notes.add(
                self.warnings, [f"Segment {self.count} was shared out equally instead of separated: {error}"]
            )
            stacked = torch.cat([block[reference][None], block]) if self.images else block[reference][None]
            return stacked.expand(max(1, tracks), -1, -1) / max(1, tracks)
        self.model_name = result.model
        self.recorded = self.recorded if result.recorded is None else result.recorded
        notes.add(self.warnings, result.warnings)
        stacked = result.sources[:, None]
        return stacked if result.images is None else torch.cat([stacked, result.images], 1)


class _Tracks:
    """The voices' files while they grow: 32-bit wav, numbered as they came up."""

    def __init__(
        self, folder: Path, stack: ExitStack, info: AudioInfo, images: bool, residual: bool = False
    ) -> None:
        self.folder, self.stack, self.info = folder, stack, info
        self.suffixes = ("", "_image") if images else ("",)
        self.widths = (1, info.channels) if images else (1,)
        self.written, self.peak = 0, 0.0
        self.energy: list[float] = []
        self.spectra = torch.zeros(0, BANDS)
        self.writers: list[list[AudioWriter]] = []
        path = self.folder / f"{RESIDUAL}.wav"
        self.rest = self.stack.enter_context(AudioWriter(path, info.sample_rate, 1)) if residual else None

    def __len__(self) -> int:
        return len(self.writers)

    def join(self, voices: Tensor, held: Tensor | None, shared: int) -> Tensor:
        """Put ``voices`` in the order of the tracks and fade over from ``held``, the end of the previous segment."""
        spectra = band_powers(voices[:, 0], self.info.sample_rate)
        if held is None:
            self.spectra = spectra
            return voices
        shared = min(shared, voices.shape[-1])
        unit = (
            SPECTRUM_WEIGHT * shared * float(voices.double().square().mean(-1).sum()) if len(voices) else 0.0
        )
        alike = unit * likeness(spectra, self.spectra)
        order = align(voices[..., :shared], held[..., :shared], alike)
        self.spectra = torch.nn.functional.pad(self.spectra, (0, 0, 0, len(order) - len(self.spectra)))
        for track, voice in enumerate(order):
            if voice != NONE:
                self.spectra[track] += spectra[voice]
        ordered = torch.zeros(len(order), *voices.shape[1:])
        for track, voice in enumerate(order):
            if voice != NONE:
                ordered[track] = voices[voice]
        before = torch.zeros_like(ordered[..., :shared])
        before[: len(held)] = held[..., :shared]
        ramp = round(FADED_SECONDS * self.info.sample_rate)
        ordered[..., :shared] = faded(before, ordered[..., :shared], ramp)
        return ordered

    def write(self, voices: Tensor, recorded: Tensor) -> None:
        """Append to every track; a voice that is new gets a track that was silent so far."""
        if self.rest is not None:
            rest = recorded - voices[:, 0].sum(0)
            self.peak = max(self.peak, float(rest.abs().max()) if len(rest) else 0.0)
            self.rest.write(rest[None])
        for _ in range(len(self), len(voices)):
            self._open()
        for track, voice in enumerate(voices):
            self._append(track, voice)
            self.energy[track] += float(voice[0].double().square().sum())
            self.peak = max(self.peak, float(voice.abs().max()))
        self.written += voices.shape[-1]

    def _open(self) -> None:
        seconds = self.info.seconds or 0.0
        self.writers.append(
            [
                self.stack.enter_context(
                    AudioWriter(self._path(len(self), suffix), self.info.sample_rate, width, seconds)
                )
                for suffix, width in zip(self.suffixes, self.widths, strict=True)
            ]
        )
        self.energy.append(0.0)
        second = self.info.sample_rate
        for start in range(0, self.written, second):
            self._append(len(self) - 1, torch.zeros(sum(self.widths), min(second, self.written - start)))

    def _append(self, track: int, voice: Tensor) -> None:
        for writer, part in zip(self.writers[track], voice.split(self.widths), strict=True):
            writer.write(part)

    def _path(self, track: int, suffix: str) -> Path:
        return self.folder / f"{track}{suffix}.wav"

    def finish(self, out: Path, format: Format, warnings: list[str]) -> list[Path]:
        """Give the closed files their names, loudest first."""
        order = sorted(range(len(self)), key=lambda track: -self.energy[track])
        names = {
            self._path(track, suffix): out / f"source{number}{suffix}{formats.KINDS[format].suffix}"
            for suffix in self.suffixes
            for number, track in enumerate(order, 1)
        }
        if self.rest is not None:
            names[self.folder / f"{RESIDUAL}.wav"] = out / f"{RESIDUAL}{formats.KINDS[format].suffix}"
        gain = formats.fitting_gain(self.peak, format)
        warnings += formats.fitting_notes(self.peak, format)
        for temporary, path in names.items():
            if format == "wav":
                os.replace(temporary, path)
            else:
                audio_files.convert(temporary, path, format, gain)
        return list(names.values())
