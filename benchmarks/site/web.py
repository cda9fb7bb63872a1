"""Does the site lose anything when hundreds upload at once and its processes are killed?

200 contributors at once send a recording of ten seconds each (48 kHz, 16 bits) to ``unbabble serve`` on this machine,
in pieces of 256 KiB, by the calls that a browser makes; they run in a process of their own, on the same cores. Then the
same with kill -9 of the server, twice, and of a worker while it separates; both are started again after a second.
Nothing may be lost: every accepted upload lies in the storage with its hash, what is heard in it has its length, and
each job has left one result, once.

    python -m benchmarks web                       # SQLite and PostgreSQL, ten minutes
    python -m benchmarks web --databases sqlite
    python -m benchmarks web --quick               # twenty contributors, SQLite, not saved
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
from sqlalchemy import func, select

import unbabble
from benchmarks.kit.table import grid, page
from benchmarks.site._contributors import PIECE, RATE, SECONDS, recording
from benchmarks.site._servers import PATIENCE_SECONDS, Contributors, Process, postgresql, serve, sqlite
from unbabble.web.database import Database
from unbabble.web.queue import queue
from unbabble.web.storage import Storage
from unbabble.web.tables import all_tables
from unbabble.web.tables.jobs import Job
from unbabble.web.tables.uploads import Upload

CONTRIBUTORS, JOBS, ITERATIONS = 200, 24, 200
DEMO = Path(unbabble.__file__).parent / "demo" / "mixture.flac"
PERCENTILES = (50, 95, 99)
DATABASES = {"sqlite": sqlite, "postgresql": postgresql}
QUICK = {"contributors": 20, "databases": ["sqlite"]}


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def one_run(kind: str, count: int, killing: bool) -> dict:
    """On a new site."""
    with tempfile.TemporaryDirectory(prefix="unbabble-load-") as name, DATABASES[kind](Path(name)) as url:
        data, workers = Path(name), []
        server, address = serve(data, url)
        try:
            if killing:
                ask(data, url)
                words = ("-m", "unbabble.web.worker", str(data), url, str(data / "recordings"))
                workers = [Process(*words) for _ in range(2)]
                killer = threading.Thread(target=kill_at_work, args=(url, workers[0]))
                killer.start()
            load, people = os.getloadavg()[0], Contributors(address, count)
            if killing:
                people.wait_for("piece", count)
                server.again()
                people.wait_for("finish", count // 3)
                server.again()
            people.join()
            found = judged(people.result, data, url, count) | {"load": load}
            found["server_cpu_per_recording"] = server.cpu_seconds() / count
            if killing:
                killer.join()
                wait_for_jobs(url, JOBS)
                found |= jobs_judged(data, url)
                found["kills"] = {"server": server.kills, "worker": workers[0].kills}
        finally:
            for process in (server, *workers):
                process.kill()
    return {"database": kind, "killed": killing, "contributors": count} | found


def judged(told: dict, data: Path, url: str, count: int) -> dict:
    """What is lost, how fast it was."""
    whole = 0
    with opened(url) as database, database.reading() as session:
        for each in told["uploads"]:
            upload = session.get(Upload, each["key"])
            if upload is not None and upload.state == each["state"] == "stored":
                content = (data / "recordings" / str(upload.key)).read_bytes()
                frames = soundfile.info(data / "recordings" / str(upload.heard_key)).frames
                same = hashlib.sha256(content).hexdigest() == each["sha256"]
                whole += same and frames == round(SECONDS * RATE)
    calls = {name: told["latencies"][name] for name in ("page", "begin", "piece", "finish")}
    return {
        "seconds": told["seconds"],
        "recordings_per_second": count / told["seconds"],
        "megabytes_per_second": len(recording(0)) * count / told["seconds"] / 1e6,
        "accepted": len(told["uploads"]),
        "lost_uploads": len(told["uploads"]) - whole,
        "lost_pieces": sum(each["lost"] for each in told["uploads"]),
        "lost_connections": len(told["latencies"]["lost connections"]),
        "latency_seconds": {
            name: {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES} | {"count": len(values)}
            for name, values in calls.items()
            if values
        },
    }


def ask(data: Path, url: str) -> None:
    """Jobs for the workers: separations of the demo recording."""
    all_tables()
    Storage(str(data / "recordings")).put("demo/mixture.flac", DEMO)
    parameters = {"model": "auxiva.iss", "sources": 2, "iterations": ITERATIONS}
    given = {"role": "mixture", "name": "mixture.flac", "key": "demo/mixture.flac"}
    with opened(url) as database, database.writing() as session:
        for _ in range(JOBS):
            queue.enqueue(session, "separate", None, parameters, [given])


def kill_at_work(url: str, worker: Process) -> None:
    """Kill this worker when it has a job in its hands, and start it again."""
    held = (
        select(Job.id).where(Job.state == "running", Job.worker.endswith(f":{worker.process.pid}")).limit(1)
    )
    left, found = select(Job.id).where(Job.state.in_(("waiting", "running"))).limit(1), None
    with opened(url) as database:
        while found is None:
            with database.reading() as session:
                found = session.scalar(held)
                if found is None and session.scalar(left) is None:
                    raise RuntimeError("the worker had nothing to do")
            time.sleep(0.02)
    worker.again()


def wait_for_jobs(url: str, count: int) -> None:
    """Until so many are finished."""
    deadline, done = time.monotonic() + PATIENCE_SECONDS, 0
    ended = select(func.count()).where(Job.state.in_(("done", "failed")))
    with opened(url) as database:
        while done < count and time.monotonic() < deadline:
            time.sleep(0.2)
            with database.reading() as session:
                done = session.scalar(ended) or 0


def jobs_judged(data: Path, url: str) -> dict:
    """How many have left one result, and whether anything else lies about."""
    with opened(url) as database, database.reading() as session:
        jobs = session.scalars(select(Job)).all()
    folder, once = data / "recordings", 0
    for job in jobs:
        files = {path.relative_to(folder).as_posix() for path in folder.glob(f"jobs/*/{job.id}/*/*")}
        visible = [each["key"] for each in job.outputs]
        once += job.state == "done" and len(visible) == 2 and set(visible) <= files
    again = sum(job.attempts > 1 for job in jobs)
    return {"jobs": len(jobs), "jobs_finished_once": once, "jobs_tried_again": again}


def measure(
    databases: Annotated[Sequence[str], tuple(DATABASES)] = tuple(DATABASES), contributors: int = CONTRIBUTORS
) -> Iterator[dict]:
    runs: list[dict] = []
    for database in databases:
        for killing in (False, True):
            runs.append(one_run(database, contributors, killing))
            print(runs[-1], flush=True)
            yield {"runs": runs}


def row_of(run: dict) -> list[object]:
    times = {
        name: " / ".join(f"{run['latency_seconds'][name][f'p{p}']:.2f}" for p in PERCENTILES) + " s"
        for name in ("piece", "finish")
    }
    killed, jobs, cpu = "no", "", f"{1000 * run['server_cpu_per_recording']:.0f} ms a recording"
    if run["killed"]:
        killed, cpu = f"server {run['kills']['server']}, worker {run['kills']['worker']}", ""
        jobs = f"{run['jobs_finished_once']} of {run['jobs']}, {run['jobs_tried_again']} tried again"
    rates = [f"{run[key]:.1f}" for key in ("load", "recordings_per_second", "megabytes_per_second")]
    lost = [run["accepted"], run["lost_uploads"], run["lost_pieces"]]
    return [run["database"], killed, *rates, cpu, *times.values(), *lost, jobs]


def table(result: dict) -> str:
    made = result["machine"]
    return page(
        "# The site under load",
        f"{CONTRIBUTORS} contributors at once, {SECONDS:g} s of 48 kHz each ({len(recording(0)) / 1e6:.2f} MB in "
        f"pieces of {PIECE >> 10} KiB), on loopback; they and the server share {made['cores']} cores "
        f"({made['cpu']}), and other work runs beside them: the load before each run is in the table, "
        f"{made['cores']} would be full. A piece is acknowledged when it is on disk; finishing hashes the file, "
        "decodes it in a process of its own, and stores both. Killed: kill -9 of the server twice (after as many "
        "pieces as contributors, and when a third had finished) and of a worker while jobs run; both start again "
        "after a second. Latencies are of calls that were answered, waiting for their turn included; all contributors "
        f"come in one moment, so that the last waits for all others. `{result['command']}`, {made['date']}.",
        grid(
            "database | killed | load before | recordings/s | MB/s | server's processor time "
            "| piece p50 / p95 / p99 | finish p50 / p95 / p99 | accepted | lost "
            "| lost acknowledged pieces | jobs finished once",
            map(row_of, result["runs"]),
        ),
    )
