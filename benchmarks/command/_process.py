"""A command as a process of its own: how long it takes, and how much of the processors."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.kit.scenes import RATE, load_mixtures

UNBABBLE = [sys.executable, "-m", "unbabble.cli"]


def run(command: Sequence[str], environment: Mapping[str, str] = {}) -> dict[str, float]:
    """Wall time, and processor time of the process and the children it waited for; what it leaves behind is ended."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but take time."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def recording(folder: Path, talkers: int, microphones: int, seconds: float = 12.0) -> str:
    """A mixture of test speakers in a measured room, as a file."""
    (mixture,) = load_mixtures(talkers, max(2, microphones), 1, 0, seconds=seconds)
    path = folder / f"{talkers}talkers_{microphones}microphones.wav"
    soundfile.write(path, np.asarray(mixture.mixture)[:microphones].T, RATE, subtype="FLOAT")
    return str(path)
