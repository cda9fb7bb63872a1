"""What verbs share: recordings to tasks, one result each, a report, and what is printed.

What a verb was asked for (tables of scores, listings) goes to stdout, all else to stderr.
"""

import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from unbabble.base import notes
from unbabble.base.files import (
    check_apart,
    check_not_inside,
    check_not_read,
    check_output,
    remove_partial,
    writable_folder,
)
from unbabble.base.inputs import STDIN, SUFFIXES, Input, expand
from unbabble.base.report import FileReport, Report, Result, timestamp
from unbabble.jobs.attempt import Named
from unbabble.jobs.records import ResultFolders, digest, digests, done_before, in_the_making, keep
from unbabble.jobs.run import check_jobs, run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE_COLUMNS = 200
"""Of a table that goes to a file, which has no margin."""


@dataclass(frozen=True)
class Frame:
    """The options that all verbs with several inputs share.

    Attributes:
        jobs: inputs at the same time.
        report: file for the report.
        quiet: say nothing but what failed.

    Raises:
        UsageError: fewer than one job.
        OutputError: the report cannot be written.
    """

    jobs: int = 1
    report: Path | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        check_jobs(self.jobs)
        check_output(self.report)

    def run(
        self, result: Report, function: Callable[[Any], FileReport], tasks: Sequence[Named], title: str
    ) -> None:
        """Put what became of each task into ``result``; ``title`` stands beside the progress bar."""
        with hushed(self.quiet):
            result.files, result.interrupted = run(
                function, tasks, jobs=self.jobs, quiet=self.quiet, title=title
            )
        result.finished = timestamp()

    def conclude(self, result: Result, show: Callable[[], None]) -> None:
        """Show what became of it, and write the report, if one is wanted, even where nothing can be shown any more.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            show()
        finally:
            if self.report is not None:
                result.save(self.report)


@dataclass(frozen=True)
class Task(Input):
    """A recording, and the folder for its results."""

    folder: Path = Path()


class One(Protocol):
    """What a verb does with one recording; it can be sent to other processes."""

    def __call__(self, task: Task, settings: Any, overwrite: bool) -> FileReport:
        """Resolve, run, write."""
        ...


@dataclass(frozen=True)
class Batch(Frame):
    """The options of a verb that writes a folder of results for each recording.

    Attributes:
        out: folder for these folders.
        overwrite: do again what an earlier run has done.
        read: files besides the recordings, which no result may replace: enrollments, references ...

    Raises:
        OutputError: the report would replace one of these.
    """

    out: Path = Path("results")
    overwrite: bool = False
    read: tuple[str | os.PathLike[str], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_read(self.report, self.read)

    def through(
        self, verb: str, title: str, inputs: tuple[str | Path, ...], settings: Any, one: One
    ) -> Report:
        """Do ``one`` with each recording, and say what became of it.

        Args:
            verb: name of the command.
            title: stands beside the progress bar.
            inputs: recordings, as they were typed.
            settings: of the verb, a dataclass of plain values.
            one: what is done.

        Raises:
            UsageError: inputs that make no sense.
            OutputError: the folder or the report cannot be written.
        """
        config = vars(settings) | {"out": str(self.out), "jobs": self.jobs, "overwrite": self.overwrite}
        result = Report(verb, config=config)
        with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
            given = expand(inputs, spool)
            check_not_read(self.report, [*inputs, *(each.path for each in given)])
            check_apart(self.report, self.out)
            remove_partial(writable_folder(self.out))
            folders = ResultFolders(self.out, verb)
            tasks = [
                Task(**vars(each), folder=folders.of(each.path, each.stem, spooled=each.name == STDIN))
                for each in given
            ]
            work = partial(one, settings=settings, overwrite=self.overwrite)
            others = [*self.read, *([] if self.report is None else [self.report])]
            check_not_inside([task.folder for task in tasks], others)
            self.run(result, work, tasks, title)
        for file, task in zip(result.files, tasks, strict=True):
            file.warnings += [f"'{link}' is the same file, which is done once." for link in task.links]
            if file.error and task.name == STDIN:  # which was stored where the user need not look
                file.error = file.error.replace(f"'{task.path}'", "Standard input")
        self.conclude(result, partial(print_summary, result, self.quiet))
        return result


def once(
    verb: str, task: Task, settings: Any, overwrite: bool, make: Callable[[Path, FileReport], None]
) -> FileReport:
    """``make`` the results of a recording, unless an earlier run has; what it did is in the report.

    Args:
        verb: name of the command.
        task: the recording.
        settings: all that decides the results.
        overwrite: make them again.
        make: writes the results to a folder, and says in the report what they are.
    """
    config = vars(settings)
    if not overwrite and (earlier := done_before(task.folder, task.path, config)):
        earlier.input = task.name
        return earlier
    started = time.perf_counter()
    result = FileReport(task.name, "done")
    with in_the_making(task.folder) as folder:
        make(folder, result)
        result.seconds = time.perf_counter() - started
        keep(folder, task.folder, task.path, verb, config, result)
    return result


def deciding_files(
    models: Iterable[str], options: Mapping[str, Any], beside: Iterable[str] = ()
) -> dict[str, str]:
    """SHA-256 of the files that decide results.

    Args:
        models: names; their weights decide, where they have any.
        options: of the models; the files that they name decide.
        beside: packaged networks that have a say, where they are installed.

    Raises:
        InputError: a file that cannot be read.
    """
    from unbabble.base.weights import packaged
    from unbabble.networks.load import is_network, locate

    places = {name: packaged()[name] for name in beside if name in packaged()}
    places |= {name: locate(name) for name in models if is_network(name)}
    return {name: digest(place) for name, place in places.items()} | digests(options.values())


def stderr() -> "Console":
    """Where everything goes that was not asked for."""
    return _console(sys.stderr)


def stdout() -> "Console":
    """Where goes what was asked for."""
    return _console(sys.stdout)


def _console(file: TextIO) -> "Console":
    """Texts are printed as they are; of names that are no UTF-8, escapes."""
    from rich.console import Console

    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    return Console(file=file, highlight=False, markup=False, soft_wrap=True)


def say(text: str, quiet: bool = False) -> None:
    """Print a text to stderr; ``quiet``: do not."""
    if not quiet:
        stderr().print(text)


def show(table: "Table") -> None:
    """Print a table to stdout."""
    console = stdout()
    if not console.is_terminal:
        console.width = WIDE_COLUMNS
    console.print(table, soft_wrap=False)


@contextmanager
def hushed(quiet: bool) -> Iterator[None]:
    """While this lasts and ``quiet`` is true, nothing is logged but errors."""
    logger = logging.getLogger("unbabble")
    level = logger.level
    if quiet:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def print_summary(report: Report, quiet: bool = False) -> None:
    """Say what became of each input, where to listen or read, and what failed; ``quiet``: only what failed."""
    from rich.table import Table

    finished = [file for file in report.files if file.outcome != "failed"]
    texts = any("words" in file.details for file in finished)
    if finished and not quiet:
        names = ["recording", "outcome", "model", "words" if texts else "voices", "time", "x real time"]
        scored = any("scores" in file.details for file in finished)
        table = Table(*names, *(["SI-SNR (estimated)"] * scored), box=None, pad_edge=False)
        for file in finished:
            table.add_row(*_row(file), *([_scores(file)] * scored))
        stderr().print(table, soft_wrap=False)
    print_files(report, quiet)
    listen = [file.outputs[0] for file in finished if file.outputs]
    if listen and not quiet:
        say(
            f"{'Listen' if Path(listen[0]).suffix in SUFFIXES else 'Read'}: {listen[0]}"
            + (f" and {len(listen) - 1} more" if len(listen) > 1 else "")
        )
    failed = len(report.files) - len(finished)
    if failed and len(report.files) > 1:
        stderr().print(f"{failed} of {len(report.files)} failed.", style="red")


def print_files(report: Report, quiet: bool = False) -> None:
    """Of each kind of warning one, with whom it is about, and what failed; ``quiet``: only what failed."""
    console = stderr()
    finished = [file for file in report.files if file.outcome != "failed" and not quiet]
    for name, warning, others in notes.grouped(
        (file.input, text) for file in finished for text in file.warnings
    ):
        console.print(f"{name}{f' and {others} more' if others else ''}: {warning}", style="yellow")
    for file in report.files:
        if file.outcome == "failed":
            error = file.error or "failed"
            console.print(error if file.input in error else f"{file.input}: {error}", style="red")


def _row(file: FileReport) -> tuple[str, ...]:
    factor = file.real_time_factor
    speed = f"{1 / factor:.1f}" if file.outcome == "done" and factor else ""
    seconds = f"{file.seconds:.1f} s" if file.outcome == "done" else ""
    count = file.details.get("words", file.details.get("sources", ""))
    return file.input, file.outcome, file.model or "", str(count), seconds, speed


def _scores(file: FileReport) -> str:
    """One line for each voice; what it was before, where that is known."""
    before = "".join(f"{voice['si_snr_db']:.1f} to " for voice in file.details.get("before", ()))
    return "\n".join(
        f"{before}{voice['si_snr_db']:.1f} dB, {voice['verdict']}" for voice in file.details.get("scores", ())
    )
