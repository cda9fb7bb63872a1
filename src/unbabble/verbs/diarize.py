"""``unbabble diarize``: who speaks when in each recording, and a file of each talker's voice."""

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import as_utf8, atomic, read_text, write_json
from unbabble.base.formats import Format, check_format
from unbabble.base.inputs import result_name
from unbabble.base.report import FileReport, Report
from unbabble.base.spans import Span
from unbabble.jobs.progress import report_progress, report_stage
from unbabble.jobs.records import digest, digests
from unbabble.text import rttm
from unbabble.verbs.frame import Batch, Task, deciding_files, once, say
from unbabble.verbs.options import (
    MORE,
    AnyPath,
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
    from unbabble.pipelines.diarize import Diarization
    from unbabble.pipelines.embed import Voice
    from unbabble.pipelines.verify import Verifier

AUTO = "auto"
NUMBERED = re.compile(r"speaker\d+", re.IGNORECASE)
"""Names of talkers who are not enrolled, also where a file system takes capitals for small letters."""


@dataclass(frozen=True)
class Settings:
    """What one run does to every recording; its fields are the config stored beside each result."""

    model: str
    talkers: tuple[int, int | None]
    """At least and at most."""
    threshold: float | None
    segmenter: str | None
    enroll: dict[str, str]
    """Recordings of people, and their SHA-256."""
    voices: bool
    format: Format
    reference: str | None
    part: Part
    """What is read of each recording."""
    device: str
    files: dict[str, str] = field(default_factory=dict)
    """Those that decide, and their SHA-256."""


LATE_SECONDS = 1.0
"""By which true turns may end behind the recording: people place them by hand."""


def diarize(
    *inputs: str | Path,
    out: Out = Path("turns"),
    talkers: int | str = AUTO,
    model: str = AUTO,
    enroll: Enroll = (),
    segmenter: AnyPath | None = None,
    reference: AnyPath | None = None,
    no_voices: bool = False,
    format: Format = "wav",
    threshold: Annotated[float | None, MORE] = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Say who speaks when: OUT/<recording>/<recording>.rttm and .json, and a file of each talker's voice.

    Talkers are called speaker1, who talks most, speaker2 ... What an earlier run has done is skipped.

    Args:
        inputs: Recordings: files, folders, patterns, manifests (.txt, .jsonl), or - for standard input.
        out: Folder for the results.
        talkers: How many there are: a number, a range as 2-4, or auto to find out.
        model: What tells talkers apart: a packaged model, a file, a folder, or auto.
        enroll: Recordings of somebody alone each, called by name: anna.wav ben.wav. Who is nobody of them keeps a
            number.
        segmenter: What says where somebody speaks and where several do, in place of what is packaged: a file or a
            folder, as pyannote's pytorch_model.bin.
        reference: An RTTM file with the true turns; says how many are wrong.
        no_voices: Do not write speaker1.wav, speaker2.wav ...: what each says, and silence elsewhere.
        format: wav holds 32-bit floats, wav16 16 bits, flac 24 bits; what would clip is scaled as a whole.
        threshold: With talkers auto, how like two voices are at least, from -1 to 1, to be one talker's.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        overwrite: Do again what an earlier run has done.
        report: Write what happened to each recording to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each recording.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: the reference cannot be read.
        OutputError: the folder cannot be written to.
    """
    from unbabble.networks import load as networks
    from unbabble.pipelines.choose import DEFAULT_SINGLE
    from unbabble.pipelines.count import COUNTER
    from unbabble.pipelines.embed import load_embedder

    check_format(format)
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"Likeness lies between -1 and 1: --threshold {threshold:g} does not.")
    enroll = several(enroll)
    check_recordings(inputs, enroll)
    read = (*enroll, *filter(None, [reference]))
    batch = Batch(jobs, as_path(report), quiet, Path(out), overwrite, read)
    if reference is not None:
        true_turns(Path(reference))
    name = load_embedder(model, device).name  # says what is wrong, before any work
    people_of(enroll, name, device)
    given = None if segmenter is None else str(segmenter)
    if given is not None:
        networks.load(given, "segmenter")
    settings = Settings(
        name,
        as_range(talkers),
        threshold,
        given,
        digests(enroll),
        not no_voices,
        format,
        None if reference is None else str(reference),
        Part(start, duration, stream),
        device,
        deciding_files([name, *filter(None, [given])], {}, [COUNTER, DEFAULT_SINGLE[2]])
        | digests(filter(None, [reference])),
    )
    result = batch.through("diarize", "Diarizing", inputs, settings, diarize_one)
    for file in result.files:
        if errors := file.details.get("errors"):
            say(f"{file.input}: {_errors(errors)}", quiet)
    return result


def as_range(talkers: int | str, option: str = "--talkers") -> tuple[int, int | None]:
    """How many talkers there are at least and at most, from what was typed for ``option``; None for any number.

    >>> as_range("auto"), as_range(3), as_range("2-4")
    ((1, None), (3, 3), (2, 4))

    Raises:
        UsageError: it is none of these.
    """
    if talkers == AUTO:
        return 1, None
    fewest, dash, most = str(talkers).partition("-")
    if not (fewest.isdecimal() and (most.isdecimal() or not dash)):
        raise UsageError(f"{option} is a whole number, a range as 2-4, or auto, not '{talkers}'.")
    limits = int(fewest), int(most or fewest)
    if not 1 <= limits[0] <= limits[1]:
        raise UsageError(f"The number of talkers is at least 1, and a range goes up: '{talkers}' does not.")
    return limits


def people_of(enroll: Sequence[AnyPath], model: str, device: str) -> "tuple[dict[str, Voice], Verifier]":
    """Voices by the names of their recordings, and what compares them.

    Raises:
        InputError: a recording that cannot be used, or in which nobody speaks.
        UsageError: two recordings of one name, one of two names, or one that is called as talkers without a name are.
    """
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.verify import load_verifier

    verifier = load_verifier(model, device)
    people: dict[str, Voice] = {}
    names: set[str] = set()
    contents: dict[str, Path] = {}
    for path in map(Path, enroll):
        name = result_name(path)
        folded = rttm.name(
            name
        ).casefold()  # as turns have it, and file systems that take capitals for small letters
        if folded in names:
            raise UsageError(
                f"Two recordings of --enroll are called '{rttm.name(name)}': each is called by who speaks in it."
            )
        names.add(folded)
        if NUMBERED.fullmatch(name):
            raise UsageError(
                f"Talkers without a name are called speaker1, speaker2 ...: give '{path}' the name of who speaks in it."
            )
        try:
            voice = verifier.embedder.voice(Recording.open(path))
        except InputError as error:
            raise InputError(str(error) if f"'{path}'" in str(error) else f"'{path}': {error}") from error
        if not voice.speech_seconds:
            raise InputError(f"Nobody seems to speak in '{path}', which --enroll names.")
        if (same := contents.setdefault(digest(path), path)) is not path:
            raise UsageError(
                f"'{same}' and '{path}', which --enroll names, are one recording: whose voice is it?"
            )
        people[name] = voice
    return people, verifier


def true_turns(reference: Path) -> dict[str, list[Span]]:
    """What an RTTM file says, by recording.

    Raises:
        InputError: the file cannot be read, or has no turns.
    """
    try:
        turns = rttm.read(read_text(reference))
    except InputError as error:
        raise InputError(
            f"'{reference}' {error}" if "'" + str(reference) not in str(error) else str(error)
        ) from error
    if not turns:
        raise InputError(f"'{reference}' has no turns.")
    return turns


def turns_of(recording: str, reference: Path) -> tuple[list[Span], list[str]]:
    """What an RTTM file says of a recording, or of the only one in it, with a note if that is called otherwise.

    Raises:
        InputError: the file cannot be read, or has no turns of that recording.
    """
    turns, name = true_turns(reference), rttm.name(recording)
    if name in turns:
        return turns[name], []
    if len(turns) > 1:
        raise InputError(f"'{reference}' has no turns of '{name}'.")
    ((other, spans),) = turns.items()
    return spans, [f"The true turns, all that '{reference}' has, are those of '{other}'."]


def of_part(turns: Sequence[Span], part: Part) -> list[Span]:
    """The turns in a part of a recording, by its own times.

    >>> turns = [Span(0.0, 4.0, speaker="anna"), Span(5.0, 8.0, speaker="ben")]
    >>> [(turn.start, turn.end) for turn in of_part(turns, Part(start=3.0, duration=2.5))]
    [(0.0, 1.0), (2.0, 2.5)]
    """
    seconds = math.inf if part.duration is None else part.duration
    moved = [turn.later(-part.start) for turn in turns]
    return [
        replace(turn, start=max(turn.start, 0.0), end=min(turn.end, seconds))
        for turn in moved
        if turn.end > 0 and turn.start < seconds
    ]


def diarize_one(task: Task, settings: Settings, overwrite: bool) -> FileReport:
    """Resolve, run, write for one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.diarize import diarize
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.talker_voices import write_voices
    from unbabble.pipelines.talkers_heard import Ears
    from unbabble.pipelines.who_said_what import named

    def make(folder: Path, result: FileReport) -> None:
        name = result_name(task.path)
        true, doubts = None, []
        if settings.reference is not None:
            true, doubts = turns_of(name, Path(settings.reference))
            true = of_part(true, settings.part)
        ears = Ears.load(settings.model, settings.device, segmenter=settings.segmenter)
        recording = Recording.open(settings.part.of(task.path))
        voices: list[Path] = []
        with tempfile.TemporaryDirectory(prefix="unbabble-") as kept:
            report_stage("listening")
            made = diarize(
                recording,
                ears,
                talkers=settings.talkers,
                threshold=settings.threshold,
                folder=Path(kept) if settings.voices else None,
                progress=report_progress,
            )
            if settings.enroll:
                made = named(made, *people_of(list(settings.enroll), settings.model, settings.device))
            made.warnings += doubts
            late = max((turn.end for turn in true or ()), default=0.0)
            if late > made.audio_seconds + LATE_SECONDS:
                made.warnings.append(
                    f"The last of its true turns ends at {late:.1f} s, the recording at {made.audio_seconds:.1f} s: "
                    "they may be those of another."
                )
            if settings.voices:
                report_stage("writing voices")
                voices = write_voices(
                    recording,
                    made.turns,
                    made.separated,
                    folder,
                    speakers=made.speakers,
                    format=settings.format,
                    warnings=made.warnings,
                    progress=report_progress,
                )
        result.details = details(made, true)
        rows, table = folder / f"{name}.rttm", folder / f"{name}.json"
        with atomic(rows) as temporary:
            temporary.write_bytes(as_utf8(rttm.written({name: made.turns})))
        write_json(table, result.details | {"turns": [turn.to_dict() for turn in made.turns]})
        result.outputs = [str(path) for path in (rows, table, *voices)]
        result.model, result.audio_seconds, result.warnings = (
            settings.model,
            made.audio_seconds,
            made.warnings,
        )

    return once("diarize", task, settings, overwrite, make)


def details(made: "Diarization", true: list[Span] | None) -> dict[str, Any]:
    """What is said of a recording besides the turns, plain; ``errors`` where the true turns are known."""
    from unbabble.signal.diarization import compare, overlap_share

    result: dict[str, Any] = {
        "sources": len(made.speakers),
        "speakers": {
            name: sum(turn.seconds for turn in made.turns if turn.speaker == name) for name in made.speakers
        },
        "audio_seconds": made.audio_seconds,
        "speech_seconds": made.speech_seconds,
        "overlap_share": overlap_share(made.turns),
    }
    if true is not None:
        errors = compare(true, made.turns).errors
        result["errors"] = vars(errors) | {"rate": errors.rate if math.isfinite(errors.rate) else None}
    return result


def _errors(errors: dict[str, Any]) -> str:
    """
    >>> _errors({"speech": 0.0, "missed": 0.0, "false_alarm": 2.5, "confusion": 0.0, "rate": None})
    'nobody speaks in the true turns: no DER, 2.5 s of false alarm.'
    """
    if errors["rate"] is None:
        return f"nobody speaks in the true turns: no DER, {errors['false_alarm']:.1f} s of false alarm."
    share = {name: 100 * errors[name] / max(errors["speech"], 1e-9) for name in errors}
    return (
        f"DER {100 * errors['rate']:.1f} % (missed {share['missed']:.1f}, false alarm {share['false_alarm']:.1f}, "
        f"confusion {share['confusion']:.1f})."
    )
