"""The site under load, and killed in the middle of it.

200 contributors at once send a recording of ten seconds each (48 kHz, 16 bits) to ``unbabble serve`` on this machine,
in pieces of 256 KiB, by the calls that a browser makes; they run in a process of their own, on the same cores. Then the
same with kill -9 of the server, twice, and of a worker while it separates; both are started again after a second.
Nothing may be lost: every accepted upload lies in the storage with its hash, what is heard in it has its length, and
each job has left one result, once.

    python benchmarks/web.py                       # SQLite and PostgreSQL, ten minutes
    python benchmarks/web.py --databases sqlite
    python benchmarks/web.py --quick               # twenty contributors, SQLite, not saved
    python benchmarks/web.py --report              # the table again
"""

from __future__ import annotations

import argparse
import asyncio
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile
from common import RESULTS, command, load, machine, rounded, save

CONTRIBUTORS, SECONDS, RATE, PIECE = 200, 10.0, 48000, 1 << 18
JOBS, ITERATIONS = 24, 200
RESTART_SECONDS, PATIENCE_SECONDS = 1.0, 900.0
BUSY = (429, 502, 503, 504, 507)
DEMO = Path(__file__).parents[1] / "src" / "unbabble" / "demo" / "mixture.flac"
PROGRAM = "import sys; from unbabble.cli import run; sys.exit(run(sys.argv[1:]))"
PERCENTILES = (50, 95, 99)


# --- the contributors' process ---


def recording(seed: int) -> bytes:
    """WAV of noise at the level of speech."""
    samples = 0.05 * np.random.default_rng(seed).standard_normal(round(SECONDS * RATE))
    data = np.round(32767 * samples.clip(-1, 1)).astype("<i2").tobytes()
    head = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += b"\1\0\1\0" + RATE.to_bytes(4, "little") + (2 * RATE).to_bytes(4, "little") + b"\2\0\x10\0"
    return head + b"data" + len(data).to_bytes(4, "little") + data


class Contributor:
    """A browser with one recording; goes on after whatever happens to the server."""

    def __init__(self, number: int, address: str, told: dict[str, list[float]]) -> None:
        forwarded = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        limits = httpx.Limits(max_connections=1)
        self.client = httpx.AsyncClient(
            base_url=address, headers={"x-forwarded-for": forwarded}, timeout=300, limits=limits
        )
        self.content, self.told = recording(number), told
        self.acknowledged = self.lost = 0

    async def call(self, name: str, method: str, path: str, **options) -> httpx.Response:
        """Until the server answers with something else than that it is busy."""
        for turn in range(200):
            begun = time.monotonic()
            try:
                answer = await self.client.request(method, path, **options)
            except httpx.TransportError:
                self.told["lost connections"].append(begun)
            else:
                if answer.status_code not in BUSY:
                    self.told[name].append(time.monotonic() - begun)
                    return answer
            await asyncio.sleep(min(2.0, 0.1 * 1.3**turn))
        raise RuntimeError(f"{method} {path} was never answered")

    async def run(self) -> dict:
        """From the first page to a finished upload."""
        page = await self.call("page", "GET", "/", headers={"accept": "text/html"})
        found = re.search(r'name="csrf" content="([^"]+)"', page.text)
        assert found
        self.client.headers["x-csrf-token"] = found[1]
        new = {"name": "a.wav", "bytes": len(self.content), "purpose": "collect"}
        key = (await self.call("begin", "POST", "/api/uploads", json=new)).json()["id"]
        while self.acknowledged < len(self.content):
            start = self.acknowledged
            piece = self.content[start : start + PIECE]
            answer = await self.call("piece", "PUT", f"/api/uploads/{key}?offset={start}", content=piece)
            if answer.status_code == 409:  # the answer to this piece was lost
                answer = await self.call("state", "GET", f"/api/uploads/{key}")
            received = answer.raise_for_status().json()["received"]
            self.lost += received < self.acknowledged
            self.acknowledged = received
            print("piece", flush=True)
        digest = hashlib.sha256(self.content).hexdigest()
        answer = await self.call("finish", "POST", f"/api/uploads/{key}/finish", json={"sha256": digest})
        print("finish", flush=True)
        await self.client.aclose()
        state = answer.raise_for_status().json()["state"]
        return {"key": key, "sha256": digest, "state": state, "lost": self.lost}


async def contribute(address: str, count: int) -> dict:
    """All at once."""
    told: dict[str, list[float]] = {
        name: [] for name in ("page", "begin", "piece", "state", "finish", "lost connections")
    }
    everybody = [Contributor(number, address, told) for number in range(count)]
    begun = time.monotonic()
    found = await asyncio.gather(*(each.run() for each in everybody))
    return {"seconds": time.monotonic() - begun, "uploads": found, "latencies": told}


# --- the servers ---


class Process:
    """Something that is killed and started again."""

    def __init__(self, *words: str, ready: str | None = None) -> None:
        self.words, self.ready, self.kills = [sys.executable, *words], ready, 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ready is not None and time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("the server ended")
            try:
                if httpx.get(self.ready, timeout=60).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def again(self) -> None:
        """Killed, and started after a while."""
        self.kill()
        time.sleep(RESTART_SECONDS)
        self.start()


@contextmanager
def postgresql(folder: Path):
    """URL of a new server of this machine."""
    programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    place = Path(tempfile.mkdtemp(prefix="unbabble-load-"))
    runner: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
        runner = ["runuser", "-u", "postgres", "--"]

    def run(*words: str) -> None:
        subprocess.run([*runner, *words], check=True, capture_output=True, cwd="/")

    run(f"{programs}/initdb", "-D", f"{place}/data", "-U", "postgres", "--auth=trust")
    options = f"-c listen_addresses= -c unix_socket_directories={place}"
    run(f"{programs}/pg_ctl", "-D", f"{place}/data", "-w", "-l", f"{place}/log", "-o", options, "start")
    try:
        yield f"postgresql://postgres@/postgres?host={place}"
    finally:
        run(f"{programs}/pg_ctl", "-D", f"{place}/data", "-m", "immediate", "stop")
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def sqlite(folder: Path):
    """URL of a file."""
    yield f"sqlite:///{folder / 'unbabble.db'}"


DATABASES = {"sqlite": sqlite, "postgresql": postgresql}


def serve(data: Path, database: str) -> tuple[Process, str]:
    """The site, without workers; who calls is told by the contributors, as a proxy does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = ("serve", "--data", str(data), "--database", database, "--port", str(port))
    options = ("--workers", "0", "--proxy", "127.0.0.1", "--quiet")
    return Process("-c", PROGRAM, *words, *options, ready=f"{address}/health"), address


class Contributors(threading.Thread):
    """Their process, and how far they are."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__()
        words = [sys.executable, __file__, "--client", address, "--contributors", str(count)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.done = {"piece": 0, "finish": 0}
        self.result: dict = {}
        self.start()

    def run(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() in self.done:
                self.done[line.strip()] += 1
            else:
                self.result = json.loads(line)
        self.process.wait()

    def wait_for(self, what: str, count: int) -> None:
        while self.done[what] < count and self.is_alive():
            time.sleep(0.01)


def measure(kind: str, count: int, killing: bool) -> dict:
    """One run on a new site."""
    with tempfile.TemporaryDirectory(prefix="unbabble-load-") as name:
        data = Path(name)
        with DATABASES[kind](data) as url:
            server, address = serve(data, url)
            workers: list[Process] = []
            killer = None
            try:
                if killing:
                    ask(data, url)
                    words = ("-m", "unbabble.web.worker", str(data), url, str(data / "recordings"))
                    workers = [Process(*words) for _ in range(2)]
                    killer = threading.Thread(target=kill_at_work, args=(url, workers[0]))
                    killer.start()
                before = os.getloadavg()[0]
                people = Contributors(address, count)
                if killing:
                    people.wait_for("piece", count)
                    server.again()
                    people.wait_for("finish", count // 3)
                    server.again()
                people.join()
                found = judged(people.result, data, url, count) | {"load": before}
                found["server_cpu_per_recording"] = cpu_seconds(server.process.pid) / count
                if killer is not None:
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
    from unbabble.web.database import Database
    from unbabble.web.tables.uploads import Upload

    database = Database(url)
    whole = 0
    for each in told["uploads"]:
        with database.reading() as session:
            upload = session.get(Upload, each["key"])
        if upload is None or upload.state != "stored" or each["state"] != "stored":
            continue
        content = (data / "recordings" / str(upload.key)).read_bytes()
        heard = soundfile.info(data / "recordings" / str(upload.heard_key))
        whole += hashlib.sha256(content).hexdigest() == each["sha256"] and heard.frames == round(
            SECONDS * RATE
        )
    database.close()
    latencies = {
        name: {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES} | {"count": len(values)}
        for name, values in told["latencies"].items()
        if values and name in ("page", "begin", "piece", "finish")
    }
    size = len(recording(0)) * count
    return {
        "seconds": told["seconds"],
        "recordings_per_second": count / told["seconds"],
        "megabytes_per_second": size / told["seconds"] / 1e6,
        "accepted": len(told["uploads"]),
        "lost_uploads": len(told["uploads"]) - whole,
        "lost_pieces": sum(each["lost"] for each in told["uploads"]),
        "lost_connections": len(told["latencies"]["lost connections"]),
        "latency_seconds": latencies,
    }


def ask(data: Path, url: str) -> None:
    """Jobs for the workers: separations of the demo recording."""
    from unbabble.web.database import Database
    from unbabble.web.queue import queue
    from unbabble.web.storage import Storage
    from unbabble.web.tables import all_tables

    all_tables()
    Storage(str(data / "recordings")).put("demo/mixture.flac", DEMO)
    database = Database(url)
    parameters = {"model": "auxiva.iss", "sources": 2, "iterations": ITERATIONS}
    given = {"role": "mixture", "name": "mixture.flac", "key": "demo/mixture.flac"}
    with database.writing() as session:
        for _ in range(JOBS):
            queue.enqueue(session, "separate", None, parameters, [given])
    database.close()


def kill_at_work(url: str, worker: Process) -> None:
    """Kill this worker when it has a job in its hands, and start it again."""
    from sqlalchemy import select

    from unbabble.web.database import Database
    from unbabble.web.tables.jobs import Job

    database = Database(url)
    held = select(Job.id).where(Job.state == "running", Job.worker.endswith(f":{worker.process.pid}"))
    left = select(Job.id).where(Job.state.in_(("waiting", "running")))
    while True:
        with database.reading() as session:
            if session.scalar(held.limit(1)) is not None:
                break
            if session.scalar(left.limit(1)) is None:
                raise RuntimeError("the worker had nothing to do")
        time.sleep(0.02)
    database.close()
    worker.again()


def cpu_seconds(pid: int) -> float:
    """Of a process of this machine, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_jobs(url: str, count: int) -> None:
    """Until so many are finished."""
    from sqlalchemy import func, select

    from unbabble.web.database import Database
    from unbabble.web.tables.jobs import Job

    database, deadline = Database(url), time.monotonic() + PATIENCE_SECONDS
    done, ended = 0, select(func.count()).where(Job.state.in_(("done", "failed")))
    while done < count and time.monotonic() < deadline:
        time.sleep(0.2)
        with database.reading() as session:
            done = session.scalar(ended) or 0
    database.close()


def jobs_judged(data: Path, url: str) -> dict:
    """How many have left one result, and whether anything else lies about."""
    from sqlalchemy import select

    from unbabble.web.database import Database
    from unbabble.web.tables.jobs import Job

    database = Database(url)
    with database.reading() as session:
        jobs = session.scalars(select(Job)).all()
    database.close()
    folder = data / "recordings"
    once = repeated = 0
    for job in jobs:
        files = [path.relative_to(folder).as_posix() for path in folder.glob(f"jobs/*/{job.id}/*/*")]
        visible = sorted(each["key"] for each in job.outputs)
        once += job.state == "done" and len(visible) == 2 and set(visible) <= set(files)
        repeated += job.attempts > 1
    return {"jobs": len(jobs), "jobs_finished_once": once, "jobs_tried_again": repeated}


# --- the table ---


def report(result: dict) -> str:
    """Markdown."""
    made = result["machine"]
    lines = [
        "# The site under load",
        "",
        f"{CONTRIBUTORS} contributors at once, {SECONDS:g} s of 48 kHz each ({len(recording(0)) / 1e6:.2f} MB in "
        f"pieces of {PIECE >> 10} KiB), on loopback; they and the server share {made['cores']} cores "
        f"({made['cpu']}), and other work runs beside them: the load before each run is in the table, "
        f"{made['cores']} would be full. A piece is acknowledged when it is on disk; finishing hashes the file, "
        "decodes it in a process of its own, and stores both. Killed: kill -9 of the server twice (after as many "
        "pieces as contributors, and when a third had finished) and of a worker while jobs run; both start again "
        "after a second. Latencies are of calls that were answered, waiting for their turn included; all contributors "
        f"come in one moment, so that the last waits for all others. `{result['command']}`, {made['date']}.",
        "",
        "| database | killed | load before | recordings/s | MB/s | server's processor time "
        "| piece p50 / p95 / p99 | finish p50 / p95 / p99 | accepted | lost "
        "| lost acknowledged pieces | jobs finished once |",
        "|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    for run in result["runs"]:
        told = {
            name: " / ".join(f"{run['latency_seconds'][name][f'p{p}']:.2f}" for p in PERCENTILES) + " s"
            for name in ("piece", "finish")
        }
        killed = (
            f"server {run['kills']['server']}, worker {run['kills']['worker']}" if run["killed"] else "no"
        )
        cpu = "" if run["killed"] else f"{1000 * run['server_cpu_per_recording']:.0f} ms a recording"
        jobs = (
            f"{run['jobs_finished_once']} of {run['jobs']}, {run['jobs_tried_again']} tried again"
            if run["killed"]
            else ""
        )
        lines.append(
            f"| {run['database']} | {killed} | {run['load']:.1f} | {run['recordings_per_second']:.1f} "
            f"| {run['megabytes_per_second']:.1f} | {cpu} | {told['piece']} | {told['finish']} | {run['accepted']} "
            f"| {run['lost_uploads']} | {run['lost_pieces']} | {jobs} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--contributors", type=int, default=CONTRIBUTORS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        print(json.dumps(asyncio.run(contribute(arguments.client, arguments.contributors))))
        return
    result = load("web")
    if not arguments.report:
        count = 20 if arguments.quick else arguments.contributors
        databases = ["sqlite"] if arguments.quick else arguments.databases
        result = {"command": command(), "machine": machine(), "runs": []}
        for database in databases:
            for killing in (False, True):
                result["runs"].append(rounded(measure(database, count, killing)))
                print(json.dumps(result["runs"][-1]), flush=True)
    text = report(result)
    print(text)
    if not arguments.quick:
        save("web", result)
        (RESULTS / "web.md").write_text(text)


if __name__ == "__main__":
    main()
