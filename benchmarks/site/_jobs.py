"""The jobs of ``web.py``: what the workers do while one of them is killed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.site._servers import PATIENCE_SECONDS, Process
from unbabble.base.files import DEMO_FOLDER
from unbabble.web.database import Database
from unbabble.web.queue import queue
from unbabble.web.storage import Storage
from unbabble.web.tables import all_tables
from unbabble.web.tables.jobs import Job

JOBS, ITERATIONS = 24, 200


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def ask(data: Path, url: str) -> None:
    """Jobs for the workers: separations of the demo recording."""
    all_tables()
    Storage(str(data / "recordings")).put("demo/mixture.flac", DEMO_FOLDER / "mixture.flac")
    parameters = {"model": "auxiva.iss", "sources": 2, "iterations": ITERATIONS}
    given = {"role": "mixture", "name": "mixture.flac", "key": "demo/mixture.flac"}
    with opened(url) as database, database.writing() as session:
        for _ in range(JOBS):
            queue.enqueue(session, "separate", None, parameters, [given])


def kill_at_work(url: str, worker: Process) -> None:
    """Kill this worker when it has a job in its hands, and start it again."""
    its = Job.worker.endswith(f":{worker.process.pid}")
    held = select(Job.id).where(Job.state == "running", its).limit(1)
    left, result = select(Job.id).where(Job.state.in_(("waiting", "running"))).limit(1), None
    with opened(url) as database:
        while result is None:
            with database.reading() as session:
                result = session.scalar(held)
                if result is None and session.scalar(left) is None:
                    raise RuntimeError("the worker had nothing to do")
            time.sleep(0.02)
    worker.again()


def wait_for_jobs(url: str) -> None:
    """Until all are finished."""
    deadline, done = time.monotonic() + PATIENCE_SECONDS, 0
    ended = select(func.count()).where(Job.state.in_(("done", "failed")))
    with opened(url) as database:
        while done < JOBS and time.monotonic() < deadline:
            time.sleep(0.2)
            with database.reading() as session:
                done = session.scalar(ended) or 0
