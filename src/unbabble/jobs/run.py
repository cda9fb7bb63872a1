"""Many files: one after the other or in worker processes, resumable, and no bad file stops the rest.

A file that raises is reported as failed, with its sentence. So is one whose worker process dies (killed for
memory, or crashed in native code); a new worker takes the next file. What a run has done it records beside
its results (``unbabble.json``), and the next run with the same options skips it.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from unbabble.base.errors import UnbabbleError, UsageError
from unbabble.base.files import write_json
from unbabble.base.report import FileReport, plain, timestamp, versions

logger = logging.getLogger(__name__)

RECORD_NAME = "unbabble.json"
INTERRUPTED = "Interrupted before it was done."
NO_MEMORY = "There is not enough memory for this recording."
GRACE_SECONDS = 5.0
"""How long a worker may take to remove its temporary files when the run is interrupted."""


class Named(Protocol):
    """A task; must be picklable where there are several workers."""

    @property
    def name(self) -> str:
        """The input, as reports call it."""
        ...


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
    results = _in_processes(function, tasks, workers) if workers > 1 else _in_turn(function, tasks)
    interrupted = False
    with _progress(len(tasks), title, quiet) as advance:
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


def _attempt(function: Callable[[Any], FileReport], task: Named) -> FileReport:
    started = time.perf_counter()
    try:
        return function(task)
    except UnbabbleError as error:
        report = FileReport(task.name, "failed", str(error))
    except MemoryError:
        report = FileReport(task.name, "failed", NO_MEMORY)
    except Exception as error:
        logger.debug("unexpected error", exc_info=True)
        text = f"Unexpected {type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(" :")
        if "out of memory" in str(error).lower() or "not enough memory" in str(
            error
        ):  # torch has no type for it
            text = NO_MEMORY
        report = FileReport(task.name, "failed", text, details={"traceback": traceback.format_exc()})
    report.seconds = time.perf_counter() - started
    return report


Results = Iterator[tuple[int, FileReport]]


def _in_turn(function: Callable[[Any], FileReport], tasks: Sequence[Named]):
    for index, task in enumerate(tasks):
        yield index, _attempt(function, task)


@dataclass
class _Worker:
    process: Any
    connection: Connection
    index: int | None = None


def _in_processes(function: Callable[[Any], FileReport], tasks: Sequence[Named], count: int):
    context = multiprocessing.get_context("spawn")
    threads = max(1, available_cores() // count)
    pending = list(enumerate(tasks))[::-1]
    workers: list[_Worker] = []

    def start() -> None:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, threads), daemon=True)
        with _interrupts_held():
            process.start()
        there.close()
        here.send(function)
        workers.append(_Worker(process, here))

    def assign(worker: _Worker) -> None:
        worker.index = None
        if pending:
            worker.index, task = pending.pop()
            worker.connection.send((worker.index, task))

    try:
        for _ in range(count):
            start()
            assign(workers[-1])
        while busy := [worker for worker in workers if worker.index is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection not in ready:
                    continue
                try:
                    yield worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    assert worker.index is not None
                    reason = _death(worker.process.exitcode)
                    yield worker.index, FileReport(tasks[worker.index].name, "failed", reason)
                    workers.remove(worker)
                    if pending:
                        start()
                        assign(workers[-1])
                else:
                    assign(worker)
    finally:
        for worker in workers:
            worker.connection.close()  # an idle worker ends by itself
            if worker.index is not None:
                worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C from processes that start here, for good; this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first start would do it, and let go of the signal
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _serve(connection: Connection, threads: int) -> None:
    """A worker process: the function first, then tasks until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be held back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that temporary files are removed
    limit_threads(threads)
    try:
        function = connection.recv()
        limit_threads(threads)
        while True:
            index, task = connection.recv()
            connection.send((index, _attempt(function, task)))
    except (EOFError, OSError):
        return


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (perhaps for lack of memory)" if name == "SIGKILL" else ""
        return f"Its worker process was ended by {name}{hint}."
    return f"Its worker process ended unexpectedly (exit code {exit_code})."


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def limit_threads(count: int) -> None:
    """Keep the numerical libraries of this process, loaded or yet to be, to ``count`` threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        given = os.environ.get(name, "")
        os.environ[name] = str(min(count, int(given)) if given.isdigit() and int(given) else count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


Listener = Callable[[float, float | None], None]
_within: list[Listener] = []
"""Who is told of progress within a task, where this process does the work: the bar, and whoever is ``listening``."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Meanwhile, tell ``listener`` how many seconds of audio of the task at hand are done, of how many, if known."""
    _within.append(listener)
    try:
        yield
    finally:
        _within.remove(listener)


def report_progress(done: float, total: float | None) -> None:
    """Say how many seconds of audio of the task at hand are done, of how many, if known."""
    for listener in _within:
        listener(done, total)


@contextmanager
def _progress(total: int, title: str, quiet: bool) -> Iterator[Callable[[FileReport], None]]:
    """A bar on stderr with the speed so far; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    speed = TextColumn("{task.fields[speed]}")
    started, audio = time.perf_counter(), 0.0
    bar = Progress(*columns, speed, console=console, disable=quiet or not console.is_terminal, transient=True)
    with bar:
        line = bar.add_task(title, total=total, speed="")

        def advance(report: FileReport) -> None:
            nonlocal audio
            if report.outcome == "done":
                audio += report.audio_seconds or 0.0
            factor = audio / (time.perf_counter() - started)
            bar.update(line, advance=1, speed=f"{factor:.1f} x real time" if audio else "")

        def within(done: float, whole: float | None) -> None:
            factor = (audio + done) / (time.perf_counter() - started)
            of = f" of {_clock(whole)}" if whole else ""
            speed = f"{_clock(done)}{of} of sound, {factor:.1f} x real time"
            bar.update(line, speed=speed, refresh=True)

        with listening(within):
            yield advance


def _clock(seconds: float) -> str:
    """As ``1:02:03``."""
    return str(timedelta(seconds=round(seconds)))


def done_before(folder: Path, path: Path, config: dict[str, Any]) -> FileReport | None:
    """The record of an earlier run, if it did the same to the same file and its results are still there."""
    record = read_record(folder)
    if record.get("outcome") != "done" or record.get("config") != plain(config):
        return None
    names = record.get("outputs") or []
    if not all((folder / name).is_file() for name in names) or not _same_file(
        path, record.get("source") or {}
    ):
        return None
    known = {name: record[name] for name in FileReport.__dataclass_fields__ if name in record}
    outputs = [str(folder / name) for name in names]
    return FileReport(**known | {"outcome": "skipped", "outputs": outputs, "seconds": 0.0})


def record_done(folder: Path, path: Path, config: dict[str, Any], report: FileReport) -> None:
    """Say in ``folder`` what was done there, so that ``done_before`` finds it. To be called last."""
    names = [os.path.relpath(output, folder) for output in report.outputs]
    content = report.to_dict() | {"outputs": names, "config": plain(config), "source": _identity(path)}
    write_json(folder / RECORD_NAME, content | {"versions": versions(), "finished": timestamp()})


def forget(folder: Path) -> None:
    """Remove an earlier run's record and results, before new ones are written."""
    record = read_record(folder)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    for name in record.get("outputs") or []:
        if isinstance(name, str) and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)


def read_record(folder: Path) -> dict[str, Any]:
    """What an earlier run says it did in ``folder``; empty where there was none."""
    try:
        content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _identity(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": _sha256(path)}


def _same_file(path: Path, identity: dict[str, Any]) -> bool:
    """Same size and time, or, where only the time differs (a copy, standard input), same content."""
    try:
        status = path.stat()
        if status.st_size != identity.get("bytes"):
            return False
        return status.st_mtime_ns == identity.get("modified_ns") or _sha256(path) == identity.get("sha256")
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
