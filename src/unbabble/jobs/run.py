"""Many files: one after the other or in worker processes, and no bad file stops the rest.

A file that raises is reported as failed, with its sentence. So is one whose worker process dies (killed for
memory, or crashed in native code); a new worker takes the next file.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

from unbabble.base.errors import UsageError
from unbabble.base.report import FileReport
from unbabble.jobs.attempt import INTERRUPTED, Named, attempt
from unbabble.jobs.processes import in_processes
from unbabble.jobs.progress import progress_bar


def run(
    function: Callable[[Any], FileReport],
    tasks: Sequence[Named],
    *,
    jobs: int = 1,
    quiet: bool = False,
    title: str = "",
) -> tuple[list[FileReport], bool]:
    """Apply ``function`` to each task.

    Args:
        function: picklable where ``jobs`` > 1; raises ``UnbabbleError`` for a file that cannot be done.
        tasks: what to do, in order.
        jobs: worker processes; 1 works in this process.
        quiet: no progress bar.
        title: what the progress bar says.

    Returns:
        One report per task, in their order, and whether the user interrupted.

    Raises:
        UsageError: fewer than one worker.
    """
    check_jobs(jobs)
    workers = min(jobs, len(tasks))
    reports: list[FileReport | None] = [None] * len(tasks)
    results = in_processes(function, tasks, workers) if workers > 1 else _in_turn(function, tasks)
    interrupted = False
    with progress_bar(len(tasks), title, quiet) as advance:
        try:
            for index, report in results:
                reports[index] = report
                advance(report)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            results.close()
    done = [
        report or FileReport(task.name, "failed", INTERRUPTED)
        for report, task in zip(reports, tasks, strict=True)
    ]
    return done, interrupted


def check_jobs(count: int) -> None:
    """Refuse fewer than one worker.

    Raises:
        UsageError: fewer than one.
    """
    if count < 1:
        raise UsageError("The number of jobs is at least 1.")


def _in_turn(
    function: Callable[[Any], FileReport], tasks: Sequence[Named]
) -> Generator[tuple[int, FileReport], None, None]:
    for index, task in enumerate(tasks):
        yield index, attempt(function, task)
