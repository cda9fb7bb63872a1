"""``unbabble stream``: voices while the recording arrives, from a file, a pipe or a microphone, without end."""

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from cyclopts import Parameter

from unbabble.base.config import merge, parse_assignments
from unbabble.base.errors import InputError, MissingExtraError, UnbabbleError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.extras import missing_extra
from unbabble.base.files import check_output, remove_partial, writable_folder
from unbabble.base.formats import KINDS, Format
from unbabble.base.inputs import STDIN, result_name
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.jobs.records import ResultFolders, claim, done_before, record_done
from unbabble.verbs.frame import deciding_files, hushed, print_summary, say

if TYPE_CHECKING:
    from torch import Tensor

    from unbabble.methods.separation.online_auxiva import Streamer
    from unbabble.nn.streaming import RecordingStreamer

AUTO = "auto"
MODEL = "online_auxiva"
MICROPHONE = "mic"
BLOCK_SECONDS = 0.5
NETWORK_BLOCK_SECONDS = 0.1
"""Of a network, which gives voices as soon as it has the samples."""
PART_BYTES = 2**32 - 2**20
"""A wav file holds no more; what comes after it goes to another part."""
SUBTYPES = {"pcm_16": ("<i2", 2.0**15), "pcm_32": ("<i4", 2.0**31), "float": ("<f4", 1.0)}


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
    blocks: "Iterator[Tensor]"
    warnings: list[str] = field(default_factory=list)


def stream(
    input: str | Path,
    *,
    out: Path = Path("voices"),
    model: str = AUTO,
    sources: int | None = None,
    time_constant: float | None = None,
    warmup: float | None = None,
    set: list[str] | None = None,
    rate: int | None = None,
    channels: int | None = None,
    subtype: Literal["pcm_16", "pcm_32", "float"] | None = None,
    start: float = 0.0,
    duration: Annotated[float | None, Parameter(name=("--duration", "--seconds"))] = None,
    stream: int | None = None,
    format: Format = "wav",
    overwrite: bool = False,
    report: Path | None = None,
    quiet: bool = False,
) -> Report:
    """Write OUT/<recording>/source1.wav, source2.wav ... while the recording arrives; Ctrl-C ends it.

    Follows talkers who move (model online_auxiva, for two microphones and more), or lets a causal network listen to
    one microphone; in memory that does not grow. Sources keep their order: with online_auxiva the loudest of the
    first seconds comes first.

    Args:
        input: A recording, - for standard input, or mic for the microphones of this machine.
        out: Folder for the results.
        model: online_auxiva, or a causal network: its name, its weights' file or folder, or org/name on the Hub; auto
            takes the packaged network where one microphone is known to listen, else online_auxiva.
        sources: How many talkers there are; as many as microphones, or as the network has outputs, by default.
        time_constant: Seconds that online_auxiva remembers: less follows faster, more separates better.
        warmup: Seconds that online_auxiva listens before anything is written.
        set: Any other option of the model (`unbabble models info NAME`), as name=value; repeat for more.
        rate: Sample rate in Hz of raw samples, or for the microphone.
        channels: Channels of raw samples, or of the microphone.
        subtype: The input is raw samples of this kind, little endian, interleaved; needs rate and channels.
        start: Seconds to leave out at the beginning of a recording.
        duration: Stop after so many seconds.
        stream: Which sound stream of a video, from 1; the first if not given.
        format: wav holds 32-bit floats, wav16 16 bits, flac 24 bits; what these two cannot hold is clipped.
        overwrite: Do again what an earlier run has done.
        report: Write what happened to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened.

    Raises:
        UsageError: a request that makes no sense.
        OutputError: the folder cannot be written to.
        MissingExtraError: mic without sounddevice.
    """
    from unbabble.networks.load import is_network
    from unbabble.pipelines.separate import load

    part = Part(start, duration, stream)
    check_output(report)
    _check_raw(input, rate, channels, subtype)
    if (subtype or str(input) == MICROPHONE) and (start or stream is not None):
        raise UsageError("--start and --stream are for recordings, not for raw samples or the microphone.")
    if model == AUTO:
        model = _default_model(input, channels, part)
    named = {"sources": sources, "time_constant": time_constant, "warmup": warmup}
    given = {name: value for name, value in named.items() if value is not None}
    options = merge(given, parse_assignments(set or []))
    separator = load(model, "cpu", runtime="torch", **options).separator()
    if not hasattr(separator, "stream"):
        raise UsageError(f"Model '{model}' needs the whole recording: it cannot stream.")
    if is_network(model):
        separator.stream(
            separator.sample_rate, separator.reference + 1
        )  # says what is wrong, before any work
        if sources not in (None, separator.sources):
            raise UsageError(
                f"Model '{model}' gives {separator.sources} sources, of which a stream chooses none."
            )
    config = {"model": model, "options": options, "rate": rate, "channels": channels, "subtype": subtype}
    config |= {"part": vars(part), "format": format, "files": deciding_files([model], options)}
    result = Report("stream", config=config | {"input": str(input), "out": str(out), "overwrite": overwrite})
    path = Path(input) if Path(input).is_file() else None
    remove_partial(writable_folder(out))
    folder = ResultFolders(out, "stream").of(path, _stem(input), again=overwrite)
    earlier = done_before(folder, path, config) if path and not overwrite else None
    if earlier:
        earlier.input = str(input)
        result.files = [earlier]
    else:
        one = FileReport(str(input), "done", model=model)
        result.files = [one]
        started = time.perf_counter()
        try:
            block_seconds = NETWORK_BLOCK_SECONDS if is_network(model) else BLOCK_SECONDS
            with _arrival(input, rate, channels, subtype, part, block_seconds) as arrival:
                streamer = separator.stream(arrival.sample_rate, arrival.channels)
                remove_partial(folder)
                claim(folder, path, "stream")
                with hushed(quiet):
                    _Run(one, streamer, arrival, folder, format, duration, quiet).run()
        except UnbabbleError as error:
            if isinstance(error, UsageError | MissingExtraError):
                raise
            one.outcome, one.error = "failed", str(error)
        one.seconds = time.perf_counter() - started
        if one.outputs:
            whole = not one.details.get("interrupted")
            record_done(folder, path, "stream", config, one, whole=whole)
    result.finished = timestamp()
    print_summary(result, quiet)
    if result.files[0].outcome == "done":
        details = result.files[0].details
        late, share = details["latency_seconds"], details["computing_share"]
        say(f"Voices were {late:.2g} s behind the sound; computing took {share:.2g} of its time.", quiet)
    if report is not None:
        result.save(report)
    return result


def _default_model(input: str | Path, channels: int | None, part: Part) -> str:
    """By the number of microphones, as far as it is known before the recording arrives."""
    from unbabble.base.audio import probe
    from unbabble.base.weights import packaged
    from unbabble.pipelines.choose import LIVE_SINGLE

    if channels is None and str(input) != STDIN:
        try:
            if str(input) == MICROPHONE:
                with _microphone(None, None, BLOCK_SECONDS) as arrival:
                    channels = arrival.channels
            else:
                channels = probe(part.of(input)).channels
        except InputError:
            return MODEL  # what is wrong is said where it is opened
    return LIVE_SINGLE if channels == 1 and LIVE_SINGLE in packaged() else MODEL


@dataclass
class _Run:
    """Pushes blocks, writes voices, tells how it goes; Ctrl-C ends the recording, not the work."""

    report: FileReport
    streamer: "Streamer | RecordingStreamer"
    arrival: Arrival
    folder: Path
    format: Format
    seconds: float | None
    quiet: bool
    written: int = 0
    clipped: int = 0
    outputs: list[str] = field(default_factory=list)

    def run(self) -> None:
        rate = self.arrival.sample_rate
        limit = round(self.seconds * rate) if self.seconds else None
        taken, loud, computing = 0, False, 0.0
        failure: InputError | None = None
        with ExitStack() as stack, self._progress() as tell:
            self._stack = stack
            blocks = self.arrival.blocks
            while limit is None or taken < limit:
                try:
                    block = next(blocks, None)
                    if block is None:
                        break
                    block = block[:, : limit - taken] if limit else block
                    began = time.perf_counter()
                    voices = self.streamer.push(block)
                    computing += time.perf_counter() - began
                except KeyboardInterrupt:
                    self.report.details["interrupted"] = True
                    break
                except InputError as error:
                    failure = error  # what came before it is good
                    break
                taken += block.shape[1]
                loud = loud or bool((block != 0).any())
                self._write(voices)
                tell(taken / rate)
            if taken:
                self._write(self.streamer.flush())
        self.report.audio_seconds = taken / rate
        self.report.outputs = self.outputs
        self.report.warnings += [*self.arrival.warnings, *self.streamer.warnings]
        if self.clipped:
            share = 100 * self.clipped / (self.written * self.streamer.sources)
            self.report.warnings.append(
                f"{share:.3g} % of the voices' samples were clipped, which --format wav would hold."
            )
        self.report.details |= {
            "sources": self.streamer.sources,
            "latency_seconds": self.streamer.latency / rate,
            "computing_share": computing * rate / taken if taken else 0.0,
        }
        if failure:
            raise failure
        if not taken:
            raise InputError("Nothing was recorded.")
        if not loud:
            self.report.warnings.append("The recording is silent: there was nothing to separate.")

    def _write(self, voices: "Tensor") -> None:
        most = PART_BYTES // 4
        while voices.shape[1]:
            if self.written % most == 0:
                self._open(self.written // most + 1)
            count = min(voices.shape[1], most - self.written % most)
            for writer, voice in zip(self._writers, voices, strict=True):
                self.clipped += int((voice[:count].abs() > KINDS[self.format].highest).sum())
                writer.write(voice[None, :count])
            voices, self.written = voices[:, count:], self.written + count

    def _open(self, part: int) -> None:
        from unbabble.base.audio import AudioWriter

        self._stack.close()
        suffix = f"_part{part}" if part > 1 else ""
        paths = [
            self.folder / f"source{i}{suffix}{KINDS[self.format].suffix}"
            for i in range(1, self.streamer.sources + 1)
        ]
        rate = self.arrival.sample_rate
        self._writers = [
            self._stack.enter_context(AudioWriter(path, rate, 1, format=self.format)) for path in paths
        ]
        self.outputs += [str(path) for path in paths]

    @contextmanager
    def _progress(self) -> Iterator[Any]:
        """One line on stderr: how much was heard, and how many times faster than it plays."""
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn

        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        started = time.perf_counter()
        hidden = self.quiet or not console.is_terminal
        with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
            line = bar.add_task("Listening")

            def tell(heard: float) -> None:
                speed = heard / max(time.perf_counter() - started, 1e-9)
                minutes, left = divmod(int(heard), 60)
                bar.update(line, description=f"{minutes}:{left:02d} heard, {speed:.1f} x real time")

            yield tell


def _stem(input: str | Path) -> str:
    if str(input) == STDIN:
        return "stdin"
    if str(input) == MICROPHONE:
        return f"mic-{datetime.now():%Y%m%d-%H%M%S}"  # no take replaces another
    return result_name(Path(input))


def _check_raw(input: str | Path, rate: int | None, channels: int | None, subtype: str | None) -> None:
    if subtype and (rate is None or channels is None):
        raise UsageError("Raw samples need --rate, --channels and --subtype.")
    if not subtype and str(input) != MICROPHONE and (rate is not None or channels is not None):
        raise UsageError("--rate and --channels are for raw samples (with --subtype) and for mic.")
    if subtype and str(input) == MICROPHONE:
        raise UsageError("--subtype is for raw samples, not for mic.")
    if (rate is not None and rate < 1) or (channels is not None and channels < 1):
        raise UsageError("The rate and the number of channels are at least 1.")


@contextmanager
def _arrival(
    input: str | Path,
    rate: int | None,
    channels: int | None,
    subtype: str | None,
    part: Part,
    block_seconds: float,
) -> Iterator[Arrival]:
    if str(input) == MICROPHONE:
        with _microphone(rate, channels, block_seconds) as arrival:
            yield arrival
    elif subtype and rate and channels:
        with _binary(input) as file:
            yield Arrival(rate, channels, _raw_blocks(file, rate, channels, subtype, block_seconds))
    else:
        with _decoded(input, part, block_seconds) as arrival:
            yield arrival


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
    import torch

    from unbabble.base.decoding import open_decoder

    name = "Standard input" if str(input) == STDIN else f"'{input}'"
    with _binary(input) as file, open_decoder(Path(input) if name[0] == "'" else file, name, part) as decoder:
        info = decoder.info
        size = max(1, round(block_seconds * info.sample_rate))

        def blocks() -> Iterator[torch.Tensor]:
            for piece in decoder.blocks():
                yield from torch.from_numpy(piece).float().split(size, dim=1)

        yield Arrival(info.sample_rate, info.channels, blocks(), info.warnings)


def _raw_blocks(
    file: BinaryIO, rate: int, channels: int, subtype: str, block_seconds: float
) -> "Iterator[Tensor]":
    import numpy as np
    import torch

    kind, full_scale = SUBTYPES[subtype]
    frame = channels * np.dtype(kind).itemsize
    for _ in itertools.count():
        data = file.read(frame * max(1, round(block_seconds * rate)))
        whole = len(data) // frame * frame
        if not whole:
            return
        samples = np.frombuffer(data[:whole], kind).reshape(-1, channels).T
        yield torch.from_numpy(np.ascontiguousarray(samples, np.float32) / np.float32(full_scale))


@contextmanager
def _microphone(rate: int | None, channels: int | None, block_seconds: float) -> Iterator[Arrival]:
    import torch

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

        def blocks() -> Iterator[torch.Tensor]:
            while True:
                samples, _ = source.read(max(1, round(block_seconds * rate)))
                yield torch.from_numpy(samples.T.copy())

        yield Arrival(rate, channels, blocks())
