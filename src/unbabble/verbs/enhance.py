"""``unbabble enhance``: one voice of each recording, without its noise."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unbabble.base.config import parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.excerpt import Part
from unbabble.base.formats import KINDS, Format, check_format
from unbabble.base.imports import without_collection
from unbabble.base.report import FileReport, Report
from unbabble.jobs.progress import report_progress
from unbabble.verbs.frame import Batch, Task, deciding_files, once
from unbabble.verbs.options import (
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
    refuse_idle,
)


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    strength: float | Literal["auto"]
    choose: str
    part: Part
    """What is read of each recording."""
    format: Format
    device: str
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Those that decide, and their SHA-256."""


def enhance(
    *inputs: str | Path,
    out: Out = Path("enhanced"),
    model: str = "auto",
    strength: float | Literal["auto"] = "auto",
    choose: str = "blind",
    set: Assignments = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    format: Format = "wav",
    device: Device = "auto",
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Take the noise off one person's recordings: OUT/<recording>/enhanced.wav, as many channels, the same rate.

    What an earlier run has done is skipped. A blind score tells how much was gained.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        out: Folder for the results.
        model: What enhances: gru.2x64 and the like, weights (a .safetensors file or a folder, as `unbabble adapt` makes
            them), or auto for the best that is installed. Of several, with commas, one is chosen for each recording.
        strength: By how many dB noise becomes softer at most; auto: as much as does not harm, by the blind score.
        choose: What chooses one of several models: blind, a meter of quality (quality_net), or an adaptive_dae.
        set: Any option of the model (`unbabble models info NAME`), as name=value; repeat for more.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        format: wav holds 32-bit floats, wav16 16 bits, flac 24 bits; what would clip is scaled as a whole.
        device: auto, cpu, cuda ...
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
        from unbabble.pipelines.enhance import load_chooser, load_enhancers
        from unbabble.pipelines.score import DEFAULT_SCORER

    out = Path(out)
    report = as_path(report)
    check_format(format)
    check_choice("--strength", strength, "auto", number=NUMBERS[float])
    if strength != "auto" and not (0 <= strength <= math.inf):
        raise UsageError("The strength is at least 0 dB, or auto.")
    batch = Batch(jobs, report, quiet, out, overwrite)
    options = parse_assignments(set or [])
    models = load_enhancers(model, device, **options)
    if len(models) > 1:
        load_chooser(choose)  # what is wrong with it is said before any work
    else:
        refuse_idle("chooses among several models: name them with commas", choose=choose != "blind")
    names = ",".join(each.name for each in models)
    files = deciding_files([*names.split(","), choose], options, [DEFAULT_SCORER])
    part = Part(start, duration, stream)
    settings = Settings(names, strength, choose, part, format, device, options, files)
    return batch.through("enhance", "Enhancing", inputs, settings, enhance_one)


def enhance_one(task: Task, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.enhance import enhance_file, load_chooser, load_enhancers
    from unbabble.pipelines.recording import Recording

    def make(folder: Path, result: FileReport) -> None:
        path = folder / f"enhanced{KINDS[settings.format].suffix}"
        models = load_enhancers(settings.model, settings.device, **settings.options)
        enhanced = enhance_file(
            models,
            Recording.open(settings.part.of(task.path)),
            path,
            format=settings.format,
            strength=settings.strength,
            choose=load_chooser(settings.choose) if len(models) > 1 else None,
            progress=report_progress,
        )
        result.model, result.audio_seconds = enhanced.model, enhanced.audio_seconds
        result.outputs, result.warnings = [str(path)], enhanced.warnings
        result.details = {"strength_db": enhanced.strength_db}
        if enhanced.tried:
            result.details["tried"] = enhanced.tried
        for name, score in (("before", enhanced.before), ("scores", enhanced.after)):
            if score is not None:
                result.details[name] = [score.to_dict()]

    return once("enhance", task, settings, overwrite, make)
