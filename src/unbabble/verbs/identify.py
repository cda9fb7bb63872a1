"""``unbabble identify``: who of several people speaks, if any of them does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_not_read
from unbabble.base.inputs import SUFFIXES, Input, expand, recordings_in
from unbabble.base.report import Report
from unbabble.verbs.embed import Settings
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.options import MORE, AnyPath, Device, Duration, Jobs, SoundStream, Start, as_path
from unbabble.verbs.voices import percent, voices_of

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class IdentifyReport(Report):
    """Who speaks in each recording: ``files[i].details``.

    There, ``answer`` is a name, nobody, or cannot say; ``name`` is given where it is a name; ``probability`` is that of
    the answer; ``people`` has likeness and probability of each, the most likely first, ``nobody`` that of none.

    Attributes:
        voices: by person the recordings that say who that is.
    """

    voices: dict[str, list[str]] = field(default_factory=dict)


def identify(
    *inputs: str | Path,
    voices: AnyPath,
    prior: float = 0.5,
    model: str = "auto",
    calibration: Annotated[AnyPath | None, MORE] = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> IdentifyReport:
    """Say who of several known people speaks in each recording, or that it is nobody of them, and how probable that is.

    Args:
        inputs: Recordings of one speaker each: files, folders, patterns, manifests, or - for standard input.
        voices: A folder of the people who are known: for each a recording, or a folder of recordings, called by name.
        prior: How probable it is beforehand that one of them speaks.
        model: What tells speakers apart: a packaged model, a file, a folder, or auto.
        calibration: What likenesses mean: a file that `verify --calibrate` wrote, in place of the model's own.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        report: Write who speaks in each recording, and how likely everybody else is, to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        ``files[i].details`` holds the answers.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: nobody's recordings can be used, or a calibration that cannot be read.
        OutputError: the report cannot be written.
    """
    from unbabble.pipelines.embed import Voice
    from unbabble.pipelines.verify import check_prior, load_verifier

    frame = Frame(jobs, as_path(report), quiet)
    check_prior(prior)
    people = people_in(Path(voices))
    verifier = load_verifier(model, device, as_path(calibration))
    name = verifier.embedder.name
    config = {"model": name, "voices": str(voices), "prior": prior}
    result, enrolling = IdentifyReport("identify", config=config), Report("identify")
    with TemporaryDirectory(prefix="unbabble-") as spool:
        given = expand(inputs, spool)
        known = [Input(str(path), path, path.stem) for paths in people.values() for path in paths]
        check_not_read(frame.report, [*inputs, *(each.path for each in (*given, *known))])
        whole = Settings(name, Part(), device, only_speech=True)
        enrolled = voices_of(frame, enrolling, known, whole, "Getting to know")
        named = {
            person: Voice.mean(enrolled[str(path)] for path in paths if str(path) in enrolled)
            for person, paths in people.items()
            if any(str(path) in enrolled for path in paths)
        }
        if not named:
            raise InputError(f"No recording in '{voices}' can be used: {enrolling.files[0].error}")
        settings = Settings(name, Part(start, duration, stream), device, only_speech=True)
        heard = voices_of(frame, result, given, settings)
    for file in result.files:
        if file.input in heard:
            found = verifier.identify(heard[file.input], named, prior)
            each = {
                person: {"likeness": one.likeness, "probability": one.probability}
                for person, one in found.people.items()
            }
            file.details |= {
                "answer": found.answer,
                "name": found.name,
                "probability": found.probability,
                "people": each,
                "nobody": found.nobody,
            }
    result.voices = {person: [str(path) for path in paths] for person, paths in people.items()}
    result.files += [file for file in enrolling.files if file.outcome == "failed" or file.warnings]
    frame.conclude(result, partial(_print, result, verifier.calibration is not None, quiet))
    return result


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Who is known by a folder, and their recordings: files and folders in it, called by name.

    Raises:
        UsageError: no folder, nobody in it, or somebody whose name is an answer of its own.
        InputError: a folder that cannot be searched.
    """
    from unbabble.pipelines.verify import NOBODY, UNSURE

    if not folder.is_dir():
        raise UsageError(
            f"There is no folder '{folder}': --voices names one with a recording, or a folder, for each person."
        )
    people: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            people.setdefault(path.name, []).extend(recordings_in(path))
        elif path.suffix.lower() in SUFFIXES:
            people.setdefault(path.stem, []).append(path)
    people = {name: paths for name, paths in people.items() if paths}
    if taken := next((name for name in people if name.lower() in (NOBODY, UNSURE)), None):
        raise UsageError(
            f"Somebody in '{folder}' is called '{taken}', which is an answer of its own: give them another name."
        )
    if not people:
        raise UsageError(
            f"There are no recordings in '{folder}': it holds a recording, or a folder, for each person."
        )
    return people


def _print(report: IdentifyReport, calibrated: bool, quiet: bool) -> None:
    answers = {file.input: file.details for file in report.files if "answer" in file.details}
    if answers and not quiet:
        show(answer_table(answers))
        if not calibrated:
            say(
                f"Nobody has calibrated '{report.config['model']}': these are whoever is most like, and may be nobody."
            )
    print_files(report, quiet)


def answer_table(answers: Mapping[str, Mapping[str, Any]]) -> "Table":
    """Who speaks in each recording, as a ``rich`` table."""
    from rich.table import Table

    table = Table("recording", "who", box=None, pad_edge=False)
    for label in ("probability", "likeness"):
        table.add_column(label, justify="right", no_wrap=True)
    table.add_column("else")
    for name, found in answers.items():
        first, *others = found["people"].items()
        likeness = f"{first[1]['likeness']:.2f}"
        if found["probability"] is None:
            second = f"{others[0][0]} {others[0][1]['likeness']:.2f}" if others else ""
            table.add_row(name, found["answer"], "", likeness, second)
            continue
        rest = [(person, each["probability"]) for person, each in found["people"].items()]
        rest = [pair for pair in [*rest, ("nobody", found["nobody"])] if pair[0] != found["answer"]]
        person, share = max(rest, key=lambda pair: pair[1])
        probable = percent(found["probability"]) if found["answer"] != "cannot say" else ""
        table.add_row(name, found["answer"], probable, likeness, f"{person} {percent(share)}")
    return table
