"""Tasks in worker processes, which are replaced when they die."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from unbabble.base.report import FileReport
from unbabble.jobs.attempt import Named, attempt
from unbabble.jobs.ending import ASKING
from unbabble.jobs.threads import available_cores, limit_threads

GRACE_SECONDS = 5.0
"""How long a worker may take to remove its temporary files when the run is interrupted."""


@dataclass
class _Worker:
    process: Any
    connection: Connection
    index: int | None = None


def in_processes(
    function: Callable[[Any], FileReport], tasks: Sequence[Named], count: int
) -> Generator[tuple[int, FileReport], None, None]:
    """Apply ``function`` to each task in ``count`` worker processes: number and report, in the order of completion.

    A worker that dies fails its task alone; a new one takes the next.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, available_cores() // count)
    pending = list(enumerate(tasks))[::-1]
    workers: list[_Worker] = []

    def start() -> None:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, threads), daemon=True)
        with _signals_held():
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
def _signals_held() -> Iterator[None]:
    """Keep Ctrl-C and its kin from processes that start here, for good; this one gets them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first start would do it, and let go of the signals
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ASKING})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def end_with_starter() -> None:
    """End this process, a worker of ``multiprocessing``, when the one that started it has ended, by whatever.

    It gets SIGTERM; if that does not end it within ``GRACE_SECONDS``, deep in a computation say, it ends all the same.
    """
    starter = multiprocessing.parent_process()
    if starter is not None:
        threading.Thread(target=_outlive, args=(starter.sentinel,), daemon=True).start()


def _outlive(starter: int) -> None:
    wait([starter])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _serve(connection: Connection, threads: int) -> None:
    """A worker process: the function first, then tasks until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be held back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that temporary files are removed
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_starter()
    limit_threads(threads)
    try:
        function = connection.recv()
        limit_threads(threads)
        while True:
            index, task = connection.recv()
            connection.send((index, attempt(function, task)))
    except (EOFError, OSError):
        return


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (perhaps for lack of memory)" if name == "SIGKILL" else ""
        return f"Its worker process was ended by {name}{hint}."
    return f"Its worker process ended unexpectedly (exit code {exit_code})."
