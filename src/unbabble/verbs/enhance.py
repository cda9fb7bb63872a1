"""``unbabble enhance``: one voice of each recording, without its noise."""

import math
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unbabble import jobs as executor
from unbabble.base.config import parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.files import remove_partial, writable_folder
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.verbs.summary import print_summary


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    strength: float | Literal["auto"]
    choose: str
    format: Literal["wav", "flac"]
    device: str
    options: dict[str, Any] = field(default_factory=dict)


def enhance(
    *inputs: str | Path,
    out: Path = Path("enhanced"),
    model: str = "auto",
    strength: float | Literal["auto"] = "auto",
    choose: str = "blind",
    set: list[str] | None = None,
    format: Literal["wav", "flac"] = "wav",
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    report: Path | None = None,
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
        format: wav holds 32-bit floats, flac 24 bits.
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
    from unbabble.enhancing import load_chooser, load_enhancers

    if strength != "auto" and not (0 <= strength <= math.inf):
        raise UsageError("The strength is at least 0 dB, or auto.")
    executor.check_jobs(jobs)
    options = parse_assignments(set or [])
    models = load_enhancers(model, device, **options)
    if len(models) > 1:
        load_chooser(choose)  # what is wrong with it is said before any work
    names = ",".join(each.name for each in models)
    settings = Settings(names, strength, choose, format, device, options)
    result = Report(
        "enhance", config=vars(settings) | {"out": str(out), "jobs": jobs, "overwrite": overwrite}
    )
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        tasks = expand(inputs, Path(spool), exclude=out)
        writable_folder(out)
        work = partial(enhance_one, out=out, settings=settings, overwrite=overwrite)
        result.files, result.interrupted = executor.run(
            work, tasks, jobs=jobs, quiet=quiet, title="Enhancing"
        )
    result.finished = timestamp()
    if report is not None:
        result.save(report)
    print_summary(result, quiet)
    return result


def enhance_one(task: Input, out: Path, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.enhancing import enhance_file, load_chooser, load_enhancers

    folder, config = out / task.stem, vars(settings)
    if not overwrite and (earlier := executor.done_before(folder, task.path, config)):
        earlier.input = task.name
        return earlier
    started = time.perf_counter()
    remove_partial(folder)
    executor.forget(folder)
    path = folder / f"enhanced.{settings.format}"
    models = load_enhancers(settings.model, settings.device, **settings.options)
    found = enhance_file(
        models,
        task.path,
        path,
        strength=settings.strength,
        choose=load_chooser(settings.choose) if len(models) > 1 else None,
        progress=executor.report_progress,
    )
    result = FileReport(task.name, "done", model=found.model, audio_seconds=found.audio_seconds)
    result.outputs, result.warnings = [str(path)], found.warnings
    result.details = {"strength_db": found.strength_db}
    if found.tried:
        result.details["tried"] = found.tried
    for name, score in (("before", found.before), ("scores", found.after)):
        if score is not None:
            result.details[name] = [score.to_dict()]
    result.seconds = time.perf_counter() - started
    executor.record_done(folder, task.path, config, result)
    return result
