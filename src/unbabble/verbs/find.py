"""``unbabble find``: where in many recordings something is heard that words describe, or that is like a recording."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unbabble.base.config import parse_assignments
from unbabble.base.errors import OutputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_apart, check_not_read, check_output
from unbabble.base.inputs import STDIN, Input, expand
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.label import guessed_note
from unbabble.verbs.options import (
    AnyPath,
    Assignments,
    Device,
    Duration,
    Jobs,
    SoundStream,
    Start,
    as_path,
    several,
)

if TYPE_CHECKING:
    from rich.table import Table

    from unbabble.pipelines.sound_index import Index, Maker, Match
    from unbabble.pipelines.sounds import SoundEmbedder

LINK_DIGITS = 3


@dataclass
class FindReport(Report):
    """What was found; ``files`` says what became of recordings that were embedded.

    Attributes:
        query: the words, or the recording, that were sought.
        index: file of the index.
        recordings: so many were searched.
        search_seconds: the search itself took so long.
        matches: recordings, the most like first: ``path``, ``start`` and ``end`` of the best window in seconds, and
            ``likeness``, from -1 to 1.
    """

    query: str = ""
    index: str = ""
    recordings: int = 0
    search_seconds: float = 0.0
    matches: list[dict[str, Any]] = field(default_factory=list)


def find(
    *what: str | Path,
    like: AnyPath | None = None,
    top: int = 10,
    links: AnyPath | None = None,
    index: AnyPath | None = None,
    rebuild: bool = False,
    model: str = "auto",
    set: Assignments = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> FindReport:
    """Find the recordings in which something is heard: what words say, or what is like a recording.

    Recordings are listened to once: their vectors are kept in an index, and only what has changed is listened to again.

    Args:
        what: The words that are sought, without --like; then the recordings to search: files, folders, patterns,
            manifests; none for all that the index has.
        like: Seek what is like this recording, in place of words.
        top: How many recordings to list.
        links: Make this folder, of links to the recordings that were found, the best first.
        index: File of the index, .safetensors; without it, one in the folder that is searched.
        rebuild: Make the index anew.
        model: What compares: a packaged model, a file, a folder, or auto.
        set: Options of the model, as text=FOLDER.
        start: Seconds to leave out at the beginning of the recording of --like.
        duration: Seconds to read of it from there on; all that follows if not given.
        stream: Which sound stream of it, if it is a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to listen to at the same time.
        report: Write what was found to this file, as JSON.
        quiet: Say nothing but what was found, and what failed.

    Returns:
        ``matches`` are the recordings that were found.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: an index that is damaged or of another model; words that cannot be read.
        OutputError: the index, the links or the report cannot be written.
    """
    from unbabble.pipelines.label import guessed
    from unbabble.pipelines.sound_index import absolute
    from unbabble.pipelines.sounds import load_sounds

    frame, part = Frame(jobs, as_path(report), quiet), Part(start, duration, stream)
    words, places = _asked(what, like)
    if top < 1:
        raise UsageError("--top is at least 1.")
    if part != Part() and like is None:
        raise UsageError(
            "--start, --duration and --stream say which part of the recording of --like is meant."
        )
    folder, file = as_path(links), _index_file(as_path(index), places)
    check_links(folder)
    check_output(file)
    check_apart(file, frame.report)
    options = parse_assignments(several(set))
    embedder = load_sounds(model, device, **options)
    query = _query(embedder, words, as_path(like), part)
    maker = made_by(embedder)
    result = FindReport("find", config={"model": embedder.name, "top": top}, query=words or str(like))
    if any(str(place) == STDIN for place in places):
        raise UsageError(
            "Standard input cannot be searched: recordings are files, which the index knows again."
        )
    with TemporaryDirectory(prefix="unbabble-") as spool:
        given = expand(places, spool) if places else []
        check_not_read(frame.report, [*places, *(each.path for each in given)])
        kept = _opened(file, maker, rebuild, bool(places))
        settings = Settings(embedder.name, options, device)
        if _brought_up_to_date(kept, given, frame, settings, result) or not file.exists():
            kept.save(file)
    failed = {each.input for each in result.files if each.outcome == "failed"}
    named = absolute(each.path for each in given if each.name not in failed)
    began = time.perf_counter()
    matches = kept.search(query, top, named if places else None)
    result.search_seconds, result.finished = time.perf_counter() - began, timestamp()
    result.index, result.recordings = str(file), len(named) if places else len(kept.files)
    result.matches = [each.to_dict() | {"path": str(named.get(each.path, each.path))} for each in matches]
    if folder is not None:
        make_links(folder, matches)
    if words and (unknown := guessed(embedder, [words])):
        say(guessed_note(unknown, embedder.name), quiet)
    frame.conclude(result, partial(_print, result, quiet))
    return result


@dataclass(frozen=True)
class Settings:
    """How each recording is embedded."""

    model: str
    options: dict[str, Any]
    device: str


def embed_windows(task: Input, settings: Settings) -> FileReport:
    """Embed the windows of one recording: ``details["windows"]``.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.sounds import load_sounds

    began = time.perf_counter()
    recording = Recording.open(task.path)
    windows = load_sounds(settings.model, settings.device, **settings.options).windows(recording)
    silent = [] if len(windows.starts) else ["It is silent: nothing is found in it."]
    return FileReport(
        task.name,
        "done",
        model=settings.model,
        seconds=time.perf_counter() - began,
        audio_seconds=recording.seconds,
        warnings=[*recording.info.warnings, *silent],
        details={"windows": windows},
    )


def made_by(embedder: "SoundEmbedder") -> "Maker":
    """What decides the vectors of an index."""
    from unbabble.networks.load import locate
    from unbabble.pipelines.sound_index import Maker

    return Maker(
        embedder.name, digest_of(locate(embedder.name)), embedder.window_seconds, embedder.step_seconds
    )


def digest_of(place: Path) -> str:
    """SHA-256 of a file, or of all files in a folder."""
    import hashlib

    from unbabble.jobs.records import digest

    if not place.is_dir():
        return digest(place)
    each = [f"{path.name} {digest(path)}" for path in sorted(place.iterdir()) if path.is_file()]
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def _asked(what: Sequence[str | Path], like: AnyPath | None) -> tuple[str, Sequence[str | Path]]:
    """Words, and places to search.

    Raises:
        UsageError: neither words nor a recording to compare with.
    """
    if like is not None:
        return "", what
    if not what:
        raise UsageError('Say what is sought: `unbabble find "rain" recordings`, or --like and a recording.')
    words, *places = what
    if not str(words).strip():
        raise UsageError("The words that are sought are empty.")
    return str(words), places


def _query(embedder: "SoundEmbedder", words: str, like: Path | None, part: Part) -> Any:
    """The vector that is sought."""
    from unbabble.pipelines.recording import Recording

    if like is None:
        return embedder.words([words])[0]
    return embedder.windows(Recording.open(part.of(like))).mean()


def _index_file(index: Path | None, places: Sequence[str | Path]) -> Path:
    """Where the index is, or is to be.

    Raises:
        UsageError: no place for it, or one that is called otherwise.
    """
    from unbabble.base.weights import SUFFIX
    from unbabble.pipelines.sound_index import FILE_NAME

    if index is not None:
        if index.suffix != SUFFIX:
            raise UsageError(f"The file of --index ends in {SUFFIX}, unlike '{index}'.")
        return index
    if not places:
        raise UsageError("Name recordings to search, or an index of some: --index.")
    one = Path(places[0])
    return (one if len(places) == 1 and one.is_dir() else Path()) / FILE_NAME


def _opened(file: Path, maker: "Maker", rebuild: bool, may_be_new: bool) -> "Index":
    """The index that is there, or a new one.

    Raises:
        InputError: damaged, of another model, or none where no recordings are named.
    """
    from unbabble.pipelines.sound_index import Index

    if may_be_new and (rebuild or not file.exists()):
        return Index(maker)
    return Index.load(file, maker)


def _brought_up_to_date(
    index: "Index", given: Sequence[Input], frame: Frame, settings: Settings, result: FindReport
) -> bool:
    """Embed what is new or has changed, and forget what is gone; whether that was anything."""
    from unbabble.pipelines.sound_index import Indexed, absolute, state_of

    gone = [path for path in index.files if not path.exists()] if given else []
    for path in gone:
        del index.files[path]
    missing = [each for each in given if not each.path.is_file()]
    places = absolute(each.path for each in given)
    known = {path for place, path in places.items() if path.is_file() and index.is_current(place)}
    tasks = [each for each in given if each.path not in known or each in missing]
    states = {each.name: state_of(each.path) for each in tasks if each not in missing}
    if tasks:
        frame.run(result, partial(embed_windows, settings=settings), tasks, "Listening")
    changed = False
    for file, task in zip(result.files, tasks, strict=True):
        place = next(iter(absolute([task.path])))
        if file.outcome == "done":
            windows = file.details.pop("windows")
            index.files[place] = Indexed(*states[file.input], file.audio_seconds or 0.0, windows)
            changed = True
        elif index.files.pop(place, None):
            changed = True
    return changed or bool(gone)


def check_links(folder: Path | None) -> None:
    """Refuse to put links where something else is.

    Raises:
        OutputError: there is something already.
    """
    if folder is None or not folder.exists():
        return
    if not folder.is_dir() or not all(each.is_symlink() for each in folder.iterdir()):
        raise OutputError(f"Cannot make links in '{folder}': there is something else already.")


def make_links(folder: Path, matches: "Sequence[Match]") -> None:
    """Links to the recordings, named by rank, in place of those that were there.

    Raises:
        OutputError: they cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.iterdir():
            if earlier.is_symlink():
                earlier.unlink()
        for rank, match in enumerate(matches, 1):
            name = f"{rank:0{LINK_DIGITS}d} {match.span.start:.1f} s {match.path.name}"
            os.symlink(match.path.absolute(), folder / name)
    except OSError as error:
        raise OutputError(f"Cannot make links in '{folder}': {error.strerror or error}.") from error


def _print(report: FindReport, quiet: bool) -> None:
    if report.matches:
        show(match_table(report.matches))
    listened = sum(file.outcome == "done" for file in report.files)
    new = f", {listened} of them listened to now" if listened else ""
    say(f"{report.recordings} recordings searched{new}.", quiet)
    print_files(report, quiet)


def match_table(matches: Sequence[dict[str, Any]]) -> "Table":
    """Recordings, and where in them, as a ``rich`` table."""
    from rich.table import Table

    table = Table("likeness", "recording", "from", "to", box=None, pad_edge=False)
    for match in matches:
        times = (f"{match[name]:.1f} s" for name in ("start", "end"))
        table.add_row(f"{match['likeness']:.2f}", match["path"], *times)
    return table
