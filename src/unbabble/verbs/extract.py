"""``unbabble extract``: one enrolled person out of each recording."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base.config import parse_assignments
from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.formats import KINDS, Format, check_format
from unbabble.base.imports import without_collection
from unbabble.base.report import FileReport, Report
from unbabble.jobs.progress import report_progress
from unbabble.jobs.records import digests
from unbabble.verbs.frame import Batch, Task, deciding_files, once
from unbabble.verbs.options import (
    AnyPath,
    Assignments,
    Device,
    Duration,
    Enroll,
    Jobs,
    Out,
    Overwrite,
    SoundStream,
    Start,
    as_path,
    check_recordings,
    several,
)

if TYPE_CHECKING:
    from unbabble.pipelines.extract import Extracted
    from unbabble.pipelines.recording import Recording


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    enrollments: dict[str, str]
    """Files and their SHA-256."""
    part: Part
    """What is read of each recording."""
    format: Format
    device: str
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Others that decide, and their SHA-256."""
    may_be_by_turns: bool = False
    """Whether a voice may be cut from the recording where talkers take turns."""


def extract(
    *inputs: str | Path,
    enroll: Enroll,
    out: Out = Path("extracted"),
    model: str = "auto",
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
    """Keep one person's voice, and nobody else's: OUT/<recording>/voice.wav, at the recording's rate.

    A recording of that person alone says whose it is. What an earlier run has done is skipped. A blind score
    tells how well it went; where it may be somebody else who came out, that is said in place of a word. Where one
    microphone hears talkers who take turns, the person's turns are kept, and silence elsewhere.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        enroll: Recordings of the person alone, together a second and more, better 5.
        out: Folder for the results.
        model: What extracts: a network that learnt to, or one that separates (bsrnn.2talkers_8k), of whose voices the
            one most like the enrollment is kept; a name, weights (a .safetensors file or a folder), several that
            separate with commas, or auto for the best that are installed.
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
        InputError: an enrollment that is silent, clipped, too short, or of several people; no recording was touched.
        UsageError: a request that makes no sense; no recording was touched.
        OutputError: the folder cannot be written to.
    """
    with without_collection():
        from unbabble.pipelines.count import COUNTER
        from unbabble.pipelines.embed import DEFAULTS
        from unbabble.pipelines.extract import AUTO, EMBEDDER, enrollment_of, load_extractor
        from unbabble.pipelines.score import DEFAULT_SCORER

    out = Path(out)
    report = as_path(report)
    check_format(format)
    enroll = several(enroll)
    check_recordings(inputs, enroll)
    batch = Batch(jobs, report, quiet, out, overwrite, tuple(enroll))
    if not enroll:
        raise UsageError("Name a recording of the person alone with --enroll.")
    options = parse_assignments(set or [])
    name, network = load_extractor(model, device, **options)
    enrollment_of(enroll, network.sample_rate)  # what is wrong with it is said before any work
    models = [each.strip() for each in name.split(",")]
    by_turns = model == AUTO and not options
    beside = [EMBEDDER, COUNTER, DEFAULT_SCORER, *(DEFAULTS if by_turns else ())]
    files = deciding_files(models, options, beside)
    part = Part(start, duration, stream)
    settings = Settings(name, digests(enroll), part, format, device, options, files, by_turns)
    return batch.through("extract", "Extracting", inputs, settings, extract_one)


def extract_one(task: Task, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.extract import enrollment_of, extract_file, load_extractor
    from unbabble.pipelines.recording import Recording

    def make(folder: Path, result: FileReport) -> None:
        path = folder / f"voice{KINDS[settings.format].suffix}"
        recording = Recording.open(settings.part.of(task.path))
        name, network = load_extractor(settings.model, settings.device, **settings.options)
        warnings: list[str] = []
        enrollment = enrollment_of(list(settings.enrollments), network.sample_rate, warnings)
        extracted = _by_turns(recording, path, settings) or extract_file(
            name,
            network,
            enrollment,
            recording,
            path,
            format=settings.format,
            progress=report_progress,
        )
        result.model, result.audio_seconds = extracted.model, extracted.audio_seconds
        result.outputs, result.warnings = [str(path)], [*warnings, *extracted.warnings]
        result.details = {"level_db": extracted.level_db, "likeness": extracted.likeness}
        if extracted.score is not None:
            result.details["scores"] = [extracted.score.to_dict()]

    return once("extract", task, settings, overwrite, make)


def _by_turns(recording: "Recording", out: Path, settings: Settings) -> "Extracted | None":
    """What the person says, where talkers take turns."""
    from unbabble.pipelines.extract_by_turns import extract_by_turns
    from unbabble.pipelines.talkers_heard import Ears
    from unbabble.pipelines.verify import load_verifier

    if not settings.may_be_by_turns:
        return None
    try:
        ears, verifier = Ears.load(device=settings.device), load_verifier(device=settings.device)
    except InputError:  # nothing is installed that tells talkers apart
        return None
    enrollments = list(settings.enrollments)
    return extract_by_turns(recording, enrollments, ears, verifier, out, format=settings.format)
