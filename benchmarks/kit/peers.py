"""Other packages: processes of ``peers/run_NAME.py`` in environments of their own (``peers.sh`` makes them)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.kit.scenes import Scene

FOLDER = Path(__file__).resolve().parents[1]
PEERS = Path(os.environ.get("UNBABBLE_PEERS", Path.home() / ".cache" / "unbabble-peers"))
OURS = "unbabble"
BLIND = ("pyroomacoustics", "torchiva", "ssspy", "authors")
Read = TypeVar("Read")


def there(name: str) -> bool:
    """Whether an environment is whole."""
    return (PEERS / name / "complete").exists()


def present(names: Sequence[str]) -> list[str]:
    """Those that are installed; says which are not."""
    absent = [name for name in names if not there(name)]
    if absent:
        print(f"absent (benchmarks/peers.sh installs them): {', '.join(absent)}", flush=True)
    return [name for name in names if there(name)]


def python(name: str) -> Path:
    """The interpreter that knows a package."""
    return Path(sys.executable) if name == OURS else PEERS / name / "bin" / "python"


def run(name: str, runner: str, given: dict, options: Sequence[str], read: Callable[[Path], Read]) -> Read:
    """What a runner that is called once makes of arrays, read from the file that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(before, **given)
        words = [python(name), FOLDER / "peers" / runner, before, after, *options]
        subprocess.run(list(map(str, words)), check=True)
        return read(after)


class Process:
    """A runner that answers JSON lines, kept alive so that runs of several can be interleaved."""

    def __init__(self, name: str, runner: str, *options: object, threads: int = 1) -> None:
        limits = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        environment = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in limits}
        own = [str(FOLDER.parent / "src"), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(own) if name == OURS else ""
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self.process = subprocess.Popen(
            [str(each) for each in (python(name), FOLDER / "peers" / runner, *options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )
        self.hello = self._read()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} stopped: {self.errors.read()[-2000:]}")
        return json.loads(line)

    def request(self, **fields) -> dict:
        assert self.process.stdin is not None
        print(json.dumps(fields), file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Worker(Process):
    """Blind methods of one package, iteration by iteration."""

    def __init__(self, name: str, threads: int = 1) -> None:
        super().__init__(name, f"run_{name}.py", threads=threads)
        self.algorithms, self.versions = tuple(self.hello["algorithms"]), self.hello["versions"]

    def ask(self, mode: str, scene: Scene, algorithm: str, iterations: int, **fields) -> dict:
        about = {"mode": mode, "data": str(scene.file), "algorithm": algorithm, "iterations": iterations}
        return self.request(**about, **fields)

    def trace(
        self, scene: Scene, algorithm: str, checkpoints: list[int], seed: int = 0
    ) -> dict[int, np.ndarray]:
        """Demixing matrices at the checkpoints that the package can stop at."""
        out = scene.beside(f"trace-{self.name}-{os.getpid()}.npz")
        fields = {"checkpoints": checkpoints, "out": str(out), "seed": seed}
        reply = self.ask("trace", scene, algorithm, max(checkpoints), **fields)
        if "error" in reply:
            raise RuntimeError(f"{self.name} {algorithm}: {reply['error']}")
        with np.load(out) as file:
            return {int(name): file[name] for name in file.files}
