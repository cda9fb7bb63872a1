"""What verbs that work through recordings share: inputs to tasks, one result each, a report."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from unbabble.base.files import remove_partial, writable_folder
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report, timestamp
from unbabble.jobs.records import done_before, forget, record_done
from unbabble.jobs.run import run
from unbabble.verbs.summary import print_summary


class One(Protocol):
    """What a verb does with one recording; it can be sent to other processes."""

    def __call__(self, task: Input, out: Path, settings: Any, overwrite: bool) -> FileReport:
        """Resolve, run, write."""
        ...


@dataclass(frozen=True)
class Batch:
    """The options of a verb that are not about what it does.

    Attributes:
        out: folder for the results.
        jobs: recordings at the same time.
        overwrite: do again what an earlier run has done.
        report: file for the report.
        quiet: say nothing but what failed.
    """

    out: Path
    jobs: int
    overwrite: bool
    report: Path | None
    quiet: bool

    def through(
        self,
        verb: str,
        title: str,
        inputs: tuple[str | Path, ...],
        settings: Any,
        one: One,
        before: Callable[[list[Input]], None] | None = None,
    ) -> Report:
        """Do ``one`` with each recording, and tell what became of it.

        Args:
            verb: name of the command.
            title: of the progress.
            inputs: recordings, as they were typed.
            settings: of the verb, a dataclass of plain values.
            one: what is done.
            before: is called with the tasks before any work.

        Raises:
            UsageError: inputs that make no sense.
            OutputError: the folder cannot be written to.
        """
        config = vars(settings) | {"out": str(self.out), "jobs": self.jobs, "overwrite": self.overwrite}
        result = Report(verb, config=config)
        with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
            tasks = expand(inputs, Path(spool), exclude=self.out)
            if before is not None:
                before(tasks)
            writable_folder(self.out)
            work = partial(one, out=self.out, settings=settings, overwrite=self.overwrite)
            result.files, result.interrupted = run(work, tasks, jobs=self.jobs, quiet=self.quiet, title=title)
        result.finished = timestamp()
        if self.report is not None:
            result.save(self.report)
        print_summary(result, self.quiet)
        return result


def once(
    task: Input,
    out: Path,
    settings: Any,
    overwrite: bool,
    make: Callable[[Path, FileReport], None],
) -> FileReport:
    """``make`` the results of a recording in its folder, unless an earlier run has; what it did is in the report."""
    folder, config = out / task.stem, vars(settings)
    if not overwrite and (earlier := done_before(folder, task.path, config)):
        earlier.input = task.name
        return earlier
    started = time.perf_counter()
    remove_partial(folder)
    forget(folder)
    result = FileReport(task.name, "done")
    make(folder, result)
    result.seconds = time.perf_counter() - started
    record_done(folder, task.path, config, result)
    return result
