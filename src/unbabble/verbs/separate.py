"""``unbabble separate``: one file per talker of each recording."""

import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from unbabble.base import notes
from unbabble.base.config import merge, parse_assignments
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.formats import Format, check_format
from unbabble.base.imports import without_collection
from unbabble.base.report import FileReport, Report
from unbabble.jobs.progress import report_progress, report_stage
from unbabble.verbs.frame import Batch, Task, deciding_files, once
from unbabble.verbs.options import (
    MORE,
    NUMBERS,
    AnyPath,
    Assignments,
    Device,
    Duration,
    Jobs,
    Out,
    Overwrite,
    SoundStream,
    Start,
    as_path,
    check_choice,
)

if TYPE_CHECKING:
    from unbabble.pipelines.choose import AutoModel
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.separate import Model, Separation
    from unbabble.pipelines.tracks import LongSeparation

LEAST_SEGMENT_SECONDS = 10.0


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    part: Part
    """What is read of each recording."""
    device: str
    dereverb: Literal["none", "wpe", "joint"]
    images: bool
    format: Format
    residual: bool = False
    segment: float | Literal["auto"] = "auto"
    runtime: Literal["auto", "torch", "onnx"] = "auto"
    keep_all: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Those that decide, and their SHA-256."""

    @property
    def may_be_by_turns(self) -> bool:
        """Whether voices may be cut from the recording where talkers take turns: nobody asked for anything else."""
        asked = self.options or self.images or self.keep_all or self.dereverb != "none"
        return self.model == "auto" and not asked


def separate(
    *inputs: str | Path,
    out: Out = Path("voices"),
    model: str = "auto",
    sources: int | Literal["auto"] = "auto",
    iterations: Annotated[int | None, MORE] = None,
    source_model: Annotated[str | None, MORE] = None,
    dereverb: Literal["none", "wpe", "joint"] = "none",
    images: bool = False,
    residual: Annotated[bool, MORE] = False,
    starts: Annotated[int | None, MORE] = None,
    set: Assignments = None,
    segment: Annotated[float | Literal["auto"], MORE] = "auto",
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    format: Format = "wav",
    device: Device = "auto",
    runtime: Annotated[Literal["auto", "torch", "onnx"], MORE] = "auto",
    no_score: bool = False,
    keep_all: Annotated[bool, MORE] = False,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Write one file per talker of each recording: OUT/<recording>/source1.wav, source2.wav ...

    The loudest talker comes first, each as the first microphone hears it, and a blind score says how well it went
    (see `unbabble score`). What an earlier run has done is skipped.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        out: Folder for the results.
        model: What separates: a name that `unbabble models` lists, weights (a .safetensors file, a folder, org/name on
            the Hugging Face Hub), or auto: for each recording, those that fit it are tried, and the best kept, by a
            blind score.
        sources: How many talkers there are; auto counts them.
        iterations: How many iterations, for models that have them.
        source_model: What the model takes voices to be like: laplace or gauss.
        dereverb: Remove reverberation: wpe before separating, joint while separating.
        images: Also write each talker as every microphone hears it: source1_image.wav ...
        residual: Also write what is in no voice, residual.wav: what the first microphone recorded, less all voices.
        starts: Try several starting points and keep the best.
        set: Any other option of the model (`unbabble models info NAME`), as name=value; repeat for more.
        segment: Seconds of the pieces that a long recording is cut into; auto cuts beyond 5 minutes (networks: 1),
            0 never.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        format: wav holds 32-bit floats, wav16 16 bits, flac 24 bits; what would clip is scaled as a whole.
        device: auto, cpu, cuda ...
        runtime: What computes a network: torch, onnx (ONNX Runtime), or auto for the faster one.
        no_score: Do not say how well it went.
        keep_all: With auto, also write what the other models made of a recording, each to a folder of its name.
        jobs: Recordings to work on at the same time.
        overwrite: Do again what an earlier run has done.
        report: Write what happened to each recording to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each recording.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        OutputError: the folder cannot be written to.
    """
    with without_collection():
        from unbabble.base.weights import packaged
        from unbabble.pipelines.choose import AUTO, load
        from unbabble.pipelines.count import COUNTER
        from unbabble.pipelines.score import DEFAULT_SCORER

    out = Path(out)
    report = as_path(report)
    check_format(format)
    check_choice("--sources", sources, "auto", number=NUMBERS[int])
    check_choice("--segment", segment, "auto", number=NUMBERS[float])
    check_choice("--runtime", runtime, "auto", "torch", "onnx")
    if keep_all and model != "auto":
        raise UsageError("--keep-all is for --model auto, which tries several.")
    named = {"iterations": iterations, "source_model": source_model, "starts": starts}
    options = {name: value for name, value in named.items() if value is not None}
    if sources != "auto":
        if sources < 1:
            raise UsageError("The number of sources is at least 1.")
        options["sources"] = sources
    if segment != "auto" and not (segment == 0 or LEAST_SEGMENT_SECONDS <= segment < math.inf):
        raise UsageError(
            f"A segment has at least {LEAST_SEGMENT_SECONDS:g} seconds, or 0 for the whole recording."
        )
    batch = Batch(jobs, report, quiet, out, overwrite)
    options = merge(options, parse_assignments(set or []))
    load(model, device, dereverb, runtime, **options)  # says what is wrong with the request, before any work
    beside = [COUNTER, DEFAULT_SCORER, *(packaged() if model == AUTO else ())]
    files = deciding_files([model], options, beside)
    part = Part(start, duration, stream)
    settings = Settings(
        model, part, device, dereverb, images, format, residual, segment, runtime, keep_all, options, files
    )
    work = partial(separate_file, score=not no_score)
    return batch.through("separate", "Separating", inputs, settings, work)


def separate_file(task: Task, settings: Settings, overwrite: bool, score: bool) -> FileReport:
    """Resolve, run, write and score for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.choose import AutoModel, load
    from unbabble.pipelines.recording import Recording

    def make(folder: Path, result: FileReport) -> None:
        model = load(settings.model, settings.device, settings.dereverb, settings.runtime, **settings.options)
        recording = Recording.open(settings.part.of(task.path))
        if settings.may_be_by_turns and _by_turns(recording, folder, settings, result):
            return
        segment = _segment(recording, settings, model)
        if segment is None:
            separation = model(recording, images=settings.images)
            candidates = getattr(separation, "candidates", [])
            outputs = separation.save(folder, settings.format, settings.residual)
            details: dict[str, Any] = {"sources": len(separation.sources)}
        else:
            chosen, candidates = model.decided(recording) if isinstance(model, AutoModel) else (model, [])
            separation = _in_segments(chosen, recording, folder, segment, settings)
            outputs = separation.outputs
            details = {"sources": separation.sources, "segments": separation.segments}
        details["candidates"] = [each.to_dict() for each in candidates]
        voices = outputs[: details["sources"]]
        if settings.keep_all and isinstance(model, AutoModel):
            for each in (each for each in candidates if each.error is None):
                place = folder / (each.model + (f"-{each.sources}" if each.sources else ""))
                tried = model.as_tried(each)
                if segment is None:
                    other = tried(recording, images=settings.images)
                    outputs += other.save(place, settings.format, settings.residual)
                else:
                    outputs += _in_segments(tried, recording, place, segment, settings).outputs
        result.model, result.audio_seconds = separation.model, separation.audio_seconds
        result.outputs, result.warnings = [str(path) for path in outputs], separation.warnings
        result.details = details | {"separation_seconds": separation.seconds}
        if score:
            report_stage("scoring")
            _score(task, recording, separation, voices, settings, result)

    return once("separate", task, settings, overwrite, make)


def _in_segments(
    model: "Model", recording: "Recording", folder: Path, segment: float, settings: Settings
) -> "LongSeparation":
    from unbabble.pipelines.tracks import separate_long
    from unbabble.pipelines.traits import load_traits

    return separate_long(
        model,
        recording,
        folder,
        segment=segment,
        images=settings.images,
        residual=settings.residual,
        format=settings.format,
        embedder=load_traits(settings.device),
        progress=report_progress,
    )


def _by_turns(recording: "Recording", folder: Path, settings: Settings, result: FileReport) -> bool:
    """Write the voices of talkers who take turns, and report it; whether they do."""
    from unbabble.pipelines.talkers_heard import Ears
    from unbabble.pipelines.turns_taken import BY_TURNS, separate_by_turns
    from unbabble.signal.diarization import overlap_share

    if recording.microphones > 1:
        return False
    try:
        ears = Ears.load(device=settings.device)
    except InputError:  # nothing is installed that tells talkers apart
        return False
    done = separate_by_turns(recording, ears, folder, format=settings.format, residual=settings.residual)
    if done is None:
        return False
    made = done.made
    result.model, result.audio_seconds = BY_TURNS, made.audio_seconds
    result.outputs, result.warnings = [str(path) for path in done.outputs], done.warnings
    notes.add(result.warnings, [done.note])
    result.details = {
        "sources": len(made.speakers),
        "sure": done.sure,
        "overlap_share": overlap_share(made.turns),
        "turns": [turn.to_dict() for turn in made.turns],
    }
    return True


def _score(
    task: Task,
    recording: "Recording",
    separation: "Separation | LongSeparation",
    voices: list[Path],
    settings: Settings,
    result: FileReport,
) -> None:
    """Add what a listener without the true voices says; a recording that cannot be scored is separated all the same."""
    from unbabble.pipelines.score import BlindScorer, has_scorer
    from unbabble.pipelines.separate import Separation

    if not has_scorer():
        return
    started, reference = time.perf_counter(), settings.options.get("reference") or 0
    try:
        scorer = BlindScorer()
        if isinstance(separation, Separation):
            known = getattr(separation, "scores", [])
            scores = known or scorer.of(recording, separation.sources, reference)
        else:
            path = settings.part.of(task.path)
            scores = scorer.files(path, voices, channel=reference + 1)
    except InputError as error:
        result.warnings.append(f"Not scored: {error}")
        return
    result.details["scorer"] = scorer.name
    result.details["scores"] = [score.to_dict() for score in scores]
    result.details["scoring_seconds"] = time.perf_counter() - started


def _segment(recording: "Recording", settings: Settings, model: "Model | AutoModel") -> float | None:
    """How long the pieces are that this recording is to be cut into; None for the whole."""
    from unbabble.pipelines.pieces import is_long, segment_seconds

    if settings.segment == 0:
        return None
    info = recording.info
    if settings.segment == "auto":
        piece = model.piece_seconds(recording)
        return segment_seconds(info, piece) if is_long(info, piece) else None
    return settings.segment if info.seconds is None or info.seconds > settings.segment else None
