"""``unbabble extract``: one enrolled person out of each recording."""

import hashlib
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from unbabble import jobs as executor
from unbabble.base.config import parse_assignments
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import remove_partial, writable_folder
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.verbs.summary import print_summary


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    enrollments: dict[str, str]
    """Files and their SHA-256."""
    format: Literal["wav", "flac"]
    device: str
    options: dict[str, Any] = field(default_factory=dict)


def extract(
    *inputs: str | Path,
    enroll: list[Path],
    out: Path = Path("extracted"),
    model: str = "auto",
    set: list[str] | None = None,
    format: Literal["wav", "flac"] = "wav",
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    report: Path | None = None,
    quiet: bool = False,
) -> Report:
    """Keep one person's voice, and nobody else's: OUT/<recording>/voice.wav, at the recording's rate.

    Whose it is, is told by a recording of that person alone. What an earlier run has done is skipped. A blind score
    tells how well it went, and a warning where that person is not found.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        enroll: A recording of the person alone, a second and more, better 5; repeat for more.
        out: Folder for the results.
        model: What extracts: personal_bsrnn.8k and the like, weights (a .safetensors file or a folder), or auto for the
            best that is installed.
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
        InputError: an enrollment that is silent, clipped, too short, or of several people; no recording was touched.
        UsageError: a request that makes no sense; no recording was touched.
        OutputError: the folder cannot be written to.
    """
    from unbabble.extracting import enrollment_of, load_extractor

    executor.check_jobs(jobs)
    if not enroll:
        raise UsageError("Name a recording of the person alone with --enroll.")
    options = parse_assignments(set or [])
    name, network = load_extractor(model, device, **options)
    enrollment_of(enroll, network.sample_rate)  # what is wrong with it is said before any work
    settings = Settings(name, {str(path): _digest(path) for path in enroll}, format, device, options)
    result = Report(
        "extract", config=vars(settings) | {"out": str(out), "jobs": jobs, "overwrite": overwrite}
    )
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        tasks = expand(inputs, Path(spool), exclude=out)
        writable_folder(out)
        work = partial(extract_one, out=out, settings=settings, overwrite=overwrite)
        result.files, result.interrupted = executor.run(
            work, tasks, jobs=jobs, quiet=quiet, title="Extracting"
        )
    result.finished = timestamp()
    if report is not None:
        result.save(report)
    print_summary(result, quiet)
    return result


def extract_one(task: Input, out: Path, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.extracting import enrollment_of, extract_file, load_extractor

    folder, config = out / task.stem, vars(settings)
    if not overwrite and (earlier := executor.done_before(folder, task.path, config)):
        earlier.input = task.name
        return earlier
    started = time.perf_counter()
    remove_partial(folder)
    executor.forget(folder)
    path = folder / f"voice.{settings.format}"
    name, network = load_extractor(settings.model, settings.device, **settings.options)
    warnings: list[str] = []
    enrollment = enrollment_of(list(settings.enrollments), network.sample_rate, warnings)
    person = network.enrolled(enrollment.to(next(network.parameters()).device))
    found = extract_file(name, network, person, task.path, path, progress=executor.report_progress)
    result = FileReport(task.name, "done", model=found.model, audio_seconds=found.audio_seconds)
    result.outputs, result.warnings = [str(path)], [*warnings, *found.warnings]
    result.details = {"level_db": found.level_db}
    if found.score is not None:
        result.details["scores"] = [found.score.to_dict()]
    result.seconds = time.perf_counter() - started
    executor.record_done(folder, task.path, config, result)
    return result


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
