"""What is done with a recording while it arrives: its voices written, or its words shown, as they are finished."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import AudioWriter, probe
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.formats import KINDS, Format, fitting_notes
from unbabble.base.inputs import MICROPHONE, STDIN
from unbabble.base.kinds import taken_by
from unbabble.base.report import FileReport
from unbabble.base.weights import packaged
from unbabble.base.words import counted
from unbabble.networks import load as networks
from unbabble.nn.streaming import LiveSeparator
from unbabble.pipelines import choose, separate
from unbabble.pipelines.arrival import Arrival, microphone
from unbabble.pipelines.live_words import LiveTranscriber, Utterance
from unbabble.pipelines.recognize import Recognizer
from unbabble.signal.level import check_samples

ARRAYS = "online_auxiva"
"""Where several microphones listen, or it is not known how many."""
BLOCK_SECONDS = 0.5
NETWORK_BLOCK_SECONDS = 0.1
"""Of a network, which gives voices as soon as it has the samples."""
PART_BYTES = 2**32 - 2**20
"""A wav file holds no more; what comes after it goes to another part."""

Progress = Callable[[float], None]


class Streamer(Protocol):
    """A separation under way, which takes its recording piece by piece.

    Attributes:
        sources: how many voices it gives.
        latency: samples of the recording by which voices are behind it, at most.
        warnings: what the user should know of this recording.
    """

    sources: int
    latency: int
    warnings: list[str]

    def push(self, samples: Float[Tensor, "channel time"]) -> Float[Tensor, "source time"]:
        """Take the next samples, and return what is finished of the voices."""
        ...

    def flush(self) -> Float[Tensor, "source time"]:
        """End the recording: the voices that were still missing."""
        ...


@runtime_checkable
class Streamable(Protocol):
    """A model that can separate while its recording arrives."""

    def stream(self, sample_rate: int, channels: int) -> Streamer:
        """A separation of a new recording."""
        ...


def default_model(input: str | Path, channels: int | None, part: Part) -> str:
    """The model for as many microphones as listen, as far as that is known before the recording arrives."""
    if channels is None and str(input) != STDIN:
        try:
            if str(input) == MICROPHONE:
                with microphone(None, None, BLOCK_SECONDS) as arrival:
                    channels = arrival.channels
            else:
                channels = probe(part.of(input)).channels
        except InputError:
            return ARRAYS  # what is wrong is said where it is opened
    return choose.LIVE_SINGLE if channels == 1 and choose.LIVE_SINGLE in packaged() else ARRAYS


def load(name: str, **options: Any) -> Streamable:
    """A model that can stream, on the CPU.

    Args:
        name: see ``pipelines.separate.load``.
        options: of the model.

    Raises:
        InputError: weights that cannot be used.
        UsageError: no such model or option, one of another kind, or one that needs the whole recording.
    """
    networks.check_kind(name, *taken_by("stream"))
    sources = options.get("sources")
    model = separate.load(name, "cpu", runtime="torch", **options).separator()
    if not isinstance(model, Streamable):
        raise UsageError(f"Model '{name}' needs the whole recording: it cannot stream.")
    if isinstance(model, LiveSeparator):
        model.stream(model.sample_rate, model.reference + 1)  # says what is wrong, before any work
        if sources not in (None, model.sources):
            raise UsageError(
                f"Model '{name}' gives {counted(model.sources, 'source')}, of which a stream chooses none."
            )
    return model


def block_seconds(model: str) -> float:
    """How long the blocks are in which a model takes its recording."""
    return NETWORK_BLOCK_SECONDS if networks.is_network(model) else BLOCK_SECONDS


def separate_arriving(
    arrival: Arrival,
    streamer: Streamer,
    folder: Path,
    report: FileReport,
    *,
    format: Format,
    seconds: float | None,
    progress: Progress,
) -> None:
    """Write the voices of a recording while it arrives; Ctrl-C ends the recording, not the work.

    Args:
        arrival: the recording.
        streamer: separates it.
        folder: for the voices.
        report: filled with what became of it.
        format: of the voices' files.
        seconds: how much is taken; None for all.
        progress: is called with the seconds that were taken so far.

    Raises:
        InputError: the recording is damaged, or empty; what came before the damage is written.
        OutputError: voices cannot be written.
    """
    rate, course = arrival.sample_rate, Course(arrival, seconds, progress)
    with VoiceWriter(folder, streamer.sources, rate, format) as writer:
        for voices in course.through(streamer):
            writer.write(voices)
    report.outputs = [str(path) for path in writer.paths]
    report.warnings += [*arrival.warnings, *streamer.warnings, *writer.warnings]
    report.details |= {"sources": streamer.sources, "latency_seconds": streamer.latency / rate}
    course.conclude(report)
    if not course.loud:
        report.warnings.append("The recording is silent: there was nothing to separate.")


def transcribe_arriving(
    arrival: Arrival,
    recognizer: Recognizer,
    streamer: Streamer | None,
    report: FileReport,
    *,
    seconds: float | None,
    show: Callable[[Utterance], None],
) -> None:
    """Say what is said in a recording while it arrives; Ctrl-C ends the recording, not the work.

    Args:
        arrival: the recording.
        recognizer: of phones, see ``LiveTranscriber``.
        streamer: gives voices, each of which is recognised by itself; None for the mean of all channels.
        report: filled with what became of it.
        seconds: how much is taken; None for all.
        show: is called with every utterance that has changed.

    Raises:
        InputError: the recording is damaged, or empty; what came before the damage was shown.
        UsageError: a recogniser of another kind.
    """
    course = Course(arrival, seconds, lambda _: None)
    live = LiveWords(recognizer, arrival.sample_rate, streamer)
    words, waited, settled = 0, 0.0, dict.fromkeys(live.speakers, 0)
    for changed in course.through(live):
        for each in changed:
            new = each.words[settled[each.speaker] : each.settled]
            waited += sum(max(0.0, course.seconds - word.end) for word in new)
            settled[each.speaker] = 0 if each.ended else each.settled
            words += len(new)
            show(each)
    report.warnings += [*arrival.warnings, *(streamer.warnings if streamer else [])]
    report.details |= {"words": words, "settled_after_seconds": waited / words if words else None}
    course.conclude(report)


class LiveWords:
    """What is said in a recording while it arrives, by each of its voices.

    Args:
        recognizer: of phones, see ``LiveTranscriber``.
        sample_rate: Hz, of the recording.
        streamer: gives the voices; None for one, the mean of all channels.

    Attributes:
        speakers: names of the voices; None for a single one.

    Raises:
        UsageError: a recogniser of another kind.
    """

    def __init__(self, recognizer: Recognizer, sample_rate: int, streamer: Streamer | None = None) -> None:
        self._streamer, sources = streamer, streamer.sources if streamer else 1
        self.speakers = [f"speaker{number}" for number in range(1, sources + 1)] if sources > 1 else [None]
        self._voices = [LiveTranscriber(recognizer, sample_rate, speaker) for speaker in self.speakers]

    def push(self, samples: Float[Tensor, "channel time"]) -> list[Utterance]:
        """The utterances that change with the next samples.

        Raises:
            InputError: samples that are not finite.
        """
        check_samples(samples[None])
        return self._said(self._streamer.push(samples) if self._streamer else samples.mean(0, keepdim=True))

    def flush(self) -> list[Utterance]:
        """End the recording: the utterances that were not at their end."""
        rest = self._said(self._streamer.flush()) if self._streamer else []
        return rest + [each for voice in self._voices for each in voice.flush()]

    def _said(self, voices: Float[Tensor, "source time"]) -> list[Utterance]:
        each = zip(self._voices, voices, strict=True)
        return [changed for transcriber, voice in each for changed in transcriber.push(voice)]


Made = TypeVar("Made", covariant=True)


class Live(Protocol[Made]):
    """What makes something of a recording piece by piece."""

    def push(self, samples: Float[Tensor, "channel time"], /) -> Made:
        """What is made of the next samples."""
        ...

    def flush(self) -> Made:
        """End the recording: what was still missing."""
        ...


class Course:
    """A recording that is taken block by block, until it ends, or Ctrl-C or damage ends it.

    Args:
        arrival: the recording.
        seconds: how much is taken; None for all.
        progress: is called with the seconds that were taken so far.

    Attributes:
        loud: whether there was any sound.
    """

    def __init__(self, arrival: Arrival, seconds: float | None, progress: Progress) -> None:
        self._arrival, self._progress, self._taken, self._computing = arrival, progress, 0, 0.0
        self._limit = round(seconds * arrival.sample_rate) if seconds else None
        self._damage: InputError | None = None
        self._interrupted = self.loud = False

    @property
    def seconds(self) -> float:
        """How much was taken."""
        return self._taken / self._arrival.sample_rate

    def through(self, live: Live[Made]) -> Iterator[Made]:
        """What is made of each block, and of the end."""
        while self._limit is None or self._taken < self._limit:
            try:
                block = next(self._arrival.blocks, None)
                if block is None:
                    break
                block = block[:, : self._limit - self._taken] if self._limit else block
                began = time.perf_counter()
                made = live.push(block)
                self._computing += time.perf_counter() - began
            except KeyboardInterrupt:
                self._interrupted = True
                break
            except InputError as error:
                self._damage = error
                break
            self._taken += block.shape[1]
            self.loud = self.loud or bool((block != 0).any())
            yield made
            self._progress(self.seconds)
        if self._taken:
            yield live.flush()

    def conclude(self, report: FileReport) -> None:
        """Report how much was taken, and how it ended.

        Raises:
            InputError: the recording is damaged, or empty.
        """
        report.audio_seconds = self.seconds
        report.details["computing_share"] = self._computing / self.seconds if self._taken else 0.0
        if self._interrupted:
            report.details["interrupted"] = True
        if self._damage:
            raise self._damage
        if not self._taken:
            raise InputError("Nothing was recorded.")


@dataclass
class VoiceWriter:
    """Writes voices as they come, each to files of its own, a next part where a file is full.

    As a context manager: at its end the last parts get their names.

    Attributes:
        folder: of the files.
        sources: how many voices.
        sample_rate: Hz.
        format: of the files.
        paths: the files so far.
    """

    folder: Path
    sources: int
    sample_rate: int
    format: Format
    paths: list[Path] = field(default_factory=list)
    _written: int = 0
    _clipped: int = 0
    _peak: float = 0.0

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def write(self, voices: Float[Tensor, "source time"]) -> None:
        """Append samples; ``time`` may be 0."""
        most = PART_BYTES // 4
        while voices.shape[1]:
            if self._written % most == 0:
                self._open(self._written // most + 1)
            count = min(voices.shape[1], most - self._written % most)
            for writer, voice in zip(self._writers, voices, strict=True):
                magnitudes = voice[:count].abs()
                self._peak = max(self._peak, float(magnitudes.max()))
                self._clipped += int((magnitudes > KINDS[self.format].highest).sum())
                writer.write(voice[None, :count])
            voices, self._written = voices[:, count:], self._written + count

    @property
    def warnings(self) -> list[str]:
        """Whether samples were clipped, or all are so soft that rounding is heard."""
        if not self._clipped:
            return fitting_notes(self._peak, self.format)
        share = 100 * self._clipped / (self._written * self.sources)
        return [f"{share:.3g} % of the voices' samples were clipped, which --format wav would hold."]

    def _open(self, part: int) -> None:
        self._stack.close()
        suffix = (f"_part{part}" if part > 1 else "") + KINDS[self.format].suffix
        paths = [self.folder / f"source{number}{suffix}" for number in range(1, self.sources + 1)]
        self._writers = [
            self._stack.enter_context(AudioWriter(path, self.sample_rate, 1, format=self.format))
            for path in paths
        ]
        self.paths += paths
