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

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from benchmarks.kit.table import grid, page
from benchmarks.site._contributors import PIECE, SECONDS, recording
from benchmarks.site._jobs import ask, kill_at_work, wait_for_jobs
from benchmarks.site._outcome import PERCENTILES, jobs_judged, uploads_judged
from benchmarks.site._servers import Contributors, Process, postgresql, serve, sqlite

CONTRIBUTORS = 200
DATABASES = {"sqlite": sqlite, "postgresql": postgresql}
QUICK = {"contributors": 20, "databases": ["sqlite"]}


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
            result = uploads_judged(people.result, data, url, count) | {"load": load}
            result["server_cpu_per_recording"] = server.cpu_seconds() / count
            if killing:
                killer.join()
                wait_for_jobs(url)
                result |= jobs_judged(data, url)
                result["kills"] = {"server": server.kills, "worker": workers[0].kills}
        finally:
            for process in (server, *workers):
                process.kill()
    return {"database": kind, "killed": killing, "contributors": count} | result


def measure(
    databases: Annotated[Sequence[str], tuple(DATABASES)] = tuple(DATABASES), contributors: int = CONTRIBUTORS
) -> Iterator[dict]:
    runs: list[dict] = []
    for database in databases:
        for killing in (False, True):
            runs.append(one_run(database, contributors, killing))
            print(runs[-1], flush=True)
            yield {"runs": runs}


def row_of(run: dict) -> dict[str, object]:
    times = {
        name: " / ".join(f"{run['latency_seconds'][name][f'p{p}']:.2f}" for p in PERCENTILES) + " s"
        for name in ("piece", "finish")
    }
    if not run["killed"]:
        cpu = f"{1000 * run['server_cpu_per_recording']:.0f} ms a recording"
        return run | times | {"kills": "no", "cpu": cpu, "finished": ""}
    kills = f"server {run['kills']['server']}, worker {run['kills']['worker']}"
    finished = f"{run['jobs_finished_once']} of {run['jobs']}, {run['jobs_tried_again']} tried again"
    return run | times | {"kills": kills, "cpu": "", "finished": finished}


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
            "{database} | {kills} | {load:.1f} | {recordings_per_second:.1f} | {megabytes_per_second:.1f} | {cpu} "
            "| {piece} | {finish} | {accepted} | {lost_uploads} | {lost_pieces} | {finished}",
        ),
    )
