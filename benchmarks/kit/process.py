"""Commands as processes of their own: how long they take, and how much of the processors."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import yaml

from benchmarks.kit.scenes import RATE, load_mixtures
from unbabble.base.errors import InputError

UNBABBLE = [sys.executable, "-m", "unbabble.cli"]


def run(
    command: Sequence[str], environment: Mapping[str, str] = {}, watched: bool = False
) -> dict[str, float]:
    """Wall time, and processor time of the process and the children it waited for; what it leaves behind is ended.

    ``watched``: its peak resident memory too, looked at as it runs. (What ``getrusage`` says of it includes our own.)
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    peak = 0
    while watched and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        peak = max([peak, *(1024 * int(each.split()[1]) for each in lines if each.startswith("VmHWM"))])
        time.sleep(0.1)
    assert process.stderr
    with process.stderr:
        said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": peak}


def medians(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Of each state: wall and processor time."""
    keys = ("wall_s", "cpu_s")
    return {
        f"{state}_{key}": median(each[key] for each in its) for state, its in runs.items() for key in keys
    }


def train(
    recipe: dict, out: Path, *configs: Path, set: Sequence[str] = (), options: Sequence[str] = ()
) -> None:
    """``unbabble train``, which goes on where it was; the recipe is kept beside the folder ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.with_name(f"{out.name}.yaml")
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    command = [*UNBABBLE, "train", *map(str, configs), str(file), *options, "--out", str(out)]
    changes = (word for change in set for word in ("--set", change))
    subprocess.run([*command, "--resume", "--device", "cpu", *changes], check=True)


def validations(run: Path) -> list[dict[str, float]]:
    """What a training run measured on the way, from first to last: the lines of its ``metrics.jsonl``.

    Raises:
        InputError: the folder is not that of a run.
    """
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        raise InputError(f"'{run}' is not the folder of a run: there is no metrics.jsonl.") from None
    return [json.loads(line) for line in lines]


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
