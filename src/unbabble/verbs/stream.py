"""``unbabble stream``: voices, or words, while a recording arrives: a file, a pipe, a microphone, without end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from unbabble.base.config import merge, parse_assignments
from unbabble.base.errors import MissingExtraError, UnbabbleError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_not_read, remove_partial, writable_folder
from unbabble.base.formats import Format, check_format
from unbabble.base.inputs import MICROPHONE, STDIN, result_name
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.jobs.records import ResultFolders, claim, done_before, record_done, release
from unbabble.verbs.frame import Frame, deciding_files, hushed, print_summary, say
from unbabble.verbs.options import (
    MORE,
    AnyPath,
    Assignments,
    Overwrite,
    SoundStream,
    Start,
    as_path,
    check_choice,
    refuse_idle,
)

AUTO = "auto"


def stream(
    input: str | Path,
    *,
    out: Annotated[AnyPath | None, Parameter(alias="-o")] = None,
    model: str = AUTO,
    transcribe: bool = False,
    recognizer: Annotated[str | None, MORE] = None,
    language_model: Annotated[str | None, MORE] = None,
    hotwords: Annotated[AnyPath | None, MORE] = None,
    prompt: Annotated[str, MORE] = "",
    json: bool = False,
    sources: int | None = None,
    time_constant: float | None = None,
    warmup: Annotated[float | None, MORE] = None,
    set: Assignments = None,
    rate: Annotated[int | None, MORE] = None,
    channels: Annotated[int | None, MORE] = None,
    subtype: Annotated[Literal["pcm_16", "pcm_32", "float"] | None, MORE] = None,
    start: Start = 0.0,
    duration: Annotated[float | None, Parameter(name=("--duration", "--seconds"))] = None,
    stream: SoundStream = None,
    format: Format = "wav",
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Write OUT/<recording>/source1.wav, source2.wav ... while it arrives, or print what is said; Ctrl-C ends it.

    Follows talkers who move (model online_auxiva, for two microphones and more), or lets a causal network listen to
    one microphone; in memory that does not grow. Sources keep their order: with online_auxiva the loudest of the
    first seconds comes first.

    With --transcribe the words are printed, and no voices written: on a terminal as they are recognised, those that may
    still change dimmed; elsewhere a line when an utterance has ended.

    Args:
        input: A recording, - for standard input, or mic for the microphones of this machine.
        out: Folder for the results; `voices` if not given. With --transcribe a file that gets the words, too: .txt,
            .srt, .vtt, .tsv or .json.
        model: online_auxiva, or a causal network: its name, its weights' file or folder, or org/name on the Hub; auto
            takes the packaged network where one microphone is known to listen, else online_auxiva. With --transcribe
            only a model that is named separates or enhances first, and each voice is recognised by itself.
        transcribe: Print what is said.
        recognizer: What recognises: one that writes phones, by its name in `unbabble models`, or its weights' file
            or folder; the best that is installed if not given.
        language_model: What is likely to be said: a file that `unbabble language-model` wrote, or one in ARPA's format;
            the packaged one if not given.
        hotwords: A text file of names and phrases that are likely, one a line.
        prompt: What is talked about, in a few words: its longer words are likely, too.
        json: Print a line of JSON whenever an utterance changes: its words, their times and confidence, and how many of
            them, the first ones, are settled.
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
    from unbabble.pipelines import stream as pipeline
    from unbabble.pipelines.arrival import arriving

    frame = Frame(report=as_path(report), quiet=quiet)
    check_not_read(frame.report, [input, *filter(None, [hotwords])])
    part = Part(start, duration, stream)
    check_format(format)
    check_choice("--subtype", subtype, "pcm_16", "pcm_32", "float")
    _check_raw(input, rate, channels, subtype)
    if (subtype or str(input) == MICROPHONE) and (start or stream is not None):
        raise UsageError("--start and --stream are for recordings, not for raw samples or the microphone.")
    named = {"sources": sources, "time_constant": time_constant, "warmup": warmup}
    given = {name: value for name, value in named.items() if value is not None}
    options = merge(given, parse_assignments(set or []))
    if transcribe:
        from unbabble.verbs.stream_words import stream_words

        refuse_idle("is for voices, not for words", format=format != "wav", overwrite=overwrite)
        if options and model == AUTO:
            raise UsageError(f"--model separates with {', '.join(options)}, and none is named.")
        return stream_words(
            *(input, frame, part, {"rate": rate, "channels": channels, "subtype": subtype}),
            separator=None if model == AUTO else model,
            options=options,
            recognizer=recognizer or AUTO,
            language_model=language_model or AUTO,
            hotwords=as_path(hotwords),
            prompt=prompt,
            seconds=duration,
            out=as_path(out),
            as_json=json,
        )
    refuse_idle(
        "is for words: --transcribe",
        recognizer=recognizer is not None,
        language_model=language_model is not None,
        hotwords=hotwords is not None,
        prompt=bool(prompt),
        json=json,
    )
    out = Path("voices") if out is None else Path(out)
    if model == AUTO:
        model = pipeline.default_model(input, channels, part)
    separator = pipeline.load(model, **options)
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
            raw: dict[str, Any] = {"rate": rate, "channels": channels, "subtype": subtype}
            with arriving(input, part, **raw, block_seconds=pipeline.block_seconds(model)) as arrival:
                streamer = separator.stream(arrival.sample_rate, arrival.channels)
                remove_partial(folder)
                claim(folder, path, "stream")
                with hushed(quiet), _progress(quiet) as progress:
                    pipeline.separate_arriving(
                        *(arrival, streamer, folder, one), format=format, seconds=duration, progress=progress
                    )
        except UnbabbleError as error:
            if isinstance(error, UsageError | MissingExtraError):
                raise
            one.outcome, one.error = "failed", str(error)
        one.seconds = time.perf_counter() - started
        if one.outputs:
            whole = not one.details.get("interrupted")
            record_done(folder, path, "stream", config, one, whole=whole)
        else:
            release(folder)
    result.finished = timestamp()
    frame.conclude(result, partial(_print, result, quiet))
    return result


def _print(report: Report, quiet: bool) -> None:
    print_summary(report, quiet)
    if report.files[0].outcome == "done":
        details = report.files[0].details
        late, share = details["latency_seconds"], details["computing_share"]
        say(f"Voices were {late:.2g} s behind the sound; computing took {share:.2g} of its time.", quiet)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[float], None]]:
    """One line on stderr: how much has arrived, and how many times faster than it plays."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    started = time.perf_counter()
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        line = bar.add_task("Listening")

        def show(seconds: float) -> None:
            speed = seconds / max(time.perf_counter() - started, 1e-9)
            minutes, left = divmod(int(seconds), 60)
            bar.update(line, description=f"{minutes}:{left:02d} recorded, {speed:.1f} x real time")

        yield show


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
