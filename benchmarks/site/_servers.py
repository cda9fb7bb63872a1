"""What ``web.py`` starts and kills: databases, the server, workers, and the contributors' process."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

RESTART_SECONDS, PATIENCE_SECONDS = 1.0, 900.0
PROGRAM = "import sys; from unbabble.cli import run; sys.exit(run(sys.argv[1:]))"


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

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Contributors(threading.Thread):
    """Their process, and how far they are."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__()
        words = [sys.executable, "-m", "benchmarks.site._contributors", address, str(count)]
        folder = Path(__file__).resolve().parents[2]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder)
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


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """URL of a new server of this machine."""
    programs = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    place = Path(tempfile.mkdtemp(prefix="unbabble-load-"))
    runner: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
        runner = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *words: str) -> None:
        command = [*runner, f"{programs}/{program}", "-D", f"{place}/data", *words]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    run("initdb", "-U", "postgres", "--auth=trust")
    options = f"-c listen_addresses= -c unix_socket_directories={place}"
    run("pg_ctl", "-w", "-l", f"{place}/log", "-o", options, "start")
    try:
        yield f"postgresql://postgres@/postgres?host={place}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """URL of a file."""
    yield f"sqlite:///{folder / 'unbabble.db'}"


def serve(data: Path, database: str) -> tuple[Process, str]:
    """The site, without workers; contributors say who calls, as a proxy does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = ("serve", "--data", str(data), "--database", database, "--port", str(port))
    options = ("--workers", "0", "--proxy", "127.0.0.1", "--quiet")
    return Process("-c", PROGRAM, *words, *options, ready=f"{address}/health"), address
