"""Long recordings: separate them segment by segment, in bounded memory, with each voice in one file throughout.

    segments, which overlap -> voices, to the disk    -> in the order of the talkers, faded from one to the next
                            -> traits, likeness in what two share -> whose they are, over the whole recording

Whose the voices of each segment are is decided when all are separated (``signal.assignment``): what is kept in memory
are some kilobytes a minute. The files are named at the end, loudest first.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import formats, notes
from unbabble.base.audio import AudioWriter
from unbabble.base.contracts import Embedder
from unbabble.base.decoding import AudioInfo
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import partial_suffix, writable_folder
from unbabble.base.formats import Format
from unbabble.pipelines.pieces import faded, segment_seconds
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.traits import low_share, traits
from unbabble.signal.assignment import assign
from unbabble.signal.permutation import NONE

RESIDUAL = "residual"
OVERLAP_SHARE = 1 / 6
FADED_SECONDS = 1.0
"""Length of the cross-fade in the middle of the overlap."""


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
    embedder: Embedder | None = None,
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
        embedder: tells talkers apart; None where what segments share is to say alone whose voices are.
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
        separator, pieces = _Segments(model, info, images), _Pieces(Path(folder), info.sample_rate, embedder)
        shared, done = round(overlap * info.sample_rate), 0
        for block, last in audio_files.with_last(recording.blocks(segment, overlap)):
            pieces.add(separator(block), separator.recorded, shared)
            done += block.shape[1] - (0 if last else shared)
            if progress is not None:
                progress(done / info.sample_rate, info.seconds)
        tracks = _Tracks(Path(folder), stack, info, images, residual)
        held: Tensor | None = None  # the end of the previous segment
        for number, (joined, recorded) in enumerate(pieces.ordered(), 1):
            if held is not None:
                length = min(shared, joined.shape[-1])
                ramp = round(FADED_SECONDS * info.sample_rate)
                joined[..., :length] = faded(held[..., :length], joined[..., :length], ramp)
            end = joined.shape[-1] - (shared if number < separator.count else 0)
            tracks.write(joined[..., :end], recorded[:end])
            held = joined[..., end:].clone()
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


class _Segments:
    """Separates segment after segment; remembers what the user should know."""

    def __init__(self, model: Model, info: AudioInfo, images: bool) -> None:
        self.model, self.info, self.images = model, info, images
        self.model_name, self.count = "", 0
        self.warnings = list(info.warnings)
        self.failure: InputError | None = None
        self.recorded = torch.zeros(0)  # what the reference microphone recorded of the last segment

    def __call__(self, block: Tensor) -> Tensor:
        """Voices (source, channel, time): as heard at the reference, then the images; none for silence.

        Of what cannot be separated, what is to be shared out: (channel, time).
        """
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
            return torch.cat([block[reference][None], block]) if self.images else block[reference][None]
        self.model_name = result.model
        self.recorded = self.recorded if result.recorded is None else result.recorded
        notes.add(self.warnings, result.warnings)
        stacked = result.sources[:, None]
        return stacked if result.images is None else torch.cat([stacked, result.images], 1)


class _Pieces:
    """The voices of all segments: on disk until it is known whose they are, and what tells that."""

    def __init__(self, folder: Path, sample_rate: int, embedder: Embedder | None) -> None:
        self.folder, self.sample_rate, self.embedder = folder, sample_rate, embedder
        self.traits: list[np.ndarray] = []
        self.low: list[np.ndarray] = []
        self.shared: list[np.ndarray] = []
        self._end = torch.zeros(0, 0)  # of the last segment, what it shares with the next

    def add(self, voices: Tensor, recorded: Float[Tensor, " time"], shared: int) -> None:
        """Keep the voices of the next segment (source, channel, time), or what is to be shared out, (channel, time)."""
        np.savez(self._path(len(self.low)), voices=voices.numpy(), recorded=recorded.numpy())
        own = voices[:, 0] if voices.ndim == 3 else voices[:0]
        if self.low:
            length = min(shared, own.shape[-1], self._end.shape[-1])
            pair = own[:, :length].double(), self._end[:, :length].double()
            power = (pair[0].square().sum() * pair[1].square().sum()).sqrt()
            self.shared.append((pair[0] @ pair[1].T / power.clamp_min(1e-30)).numpy())
        self._end = own[:, -shared:].clone()
        known = len(own) > 1 and self.embedder is not None
        self.traits.append(
            traits(own, self.sample_rate, self.embedder).numpy()
            if known and self.embedder is not None
            else np.zeros((1, len(own), 1))
        )
        self.low.append(low_share(own, self.sample_rate).numpy())

    def ordered(self) -> Iterator[tuple[Float[Tensor, "track channel time"], Float[Tensor, " time"]]]:
        """The voices of each segment in the order of the talkers, and what was recorded; each leaves the disk."""
        for number, order in enumerate(assign(self.traits, self.low, self.shared)):
            with np.load(self._path(number)) as file:
                voices, recorded = (torch.from_numpy(file[name]) for name in ("voices", "recorded"))
            self._path(number).unlink()
            if voices.ndim == 2:
                tracks = max(1, len(order))
                yield voices.expand(tracks, -1, -1) / tracks, recorded
                continue
            ordered = torch.zeros(len(order), *voices.shape[1:])
            for track, voice in enumerate(order):
                if voice != NONE:
                    ordered[track] = voices[voice]
            yield ordered, recorded

    def _path(self, number: int) -> Path:
        return self.folder / f"piece{number}.npz"


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
        self.writers: list[list[AudioWriter]] = []
        path = self.folder / f"{RESIDUAL}.wav"
        self.rest = self.stack.enter_context(AudioWriter(path, info.sample_rate, 1)) if residual else None

    def __len__(self) -> int:
        return len(self.writers)

    def write(self, voices: Tensor, recorded: Tensor) -> None:
        """Append to every track; as many as there are voices are opened at first."""
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
