"""What the benchmarks of blind separation share: scenes, workers, scores, the machine's description."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import permutations
from pathlib import Path

import numpy as np
import torch

from unbabble.signal.blind.whitening import Whitened, whiten
from unbabble.signal.stft import Stft

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
PEERS = Path(os.environ.get("UNBABBLE_PEERS", Path.home() / ".cache" / "unbabble-peers"))
STFT = Stft(4096, 1024)
SAMPLE_RATE = 16000
OURS = "unbabble"
PEER_NAMES = ("pyroomacoustics", "torchiva", "ssspy", "authors")


@dataclass
class Scene:
    """A mixture at its audible frequencies, white; and what was in it."""

    mixture: torch.Tensor  # (microphone, frequency, frame)
    whitened: Whitened
    references: torch.Tensor | None  # (talker, time), as the first microphone hears them
    waveforms: torch.Tensor  # (microphone, time)
    seconds: float

    @cached_property
    def file(self) -> Path:
        """The npz that workers read."""
        path = Path(_temporary.name) / f"{id(self)}.npz"
        bins = self.whitened.bins
        np.savez(
            path,
            whitened=self.whitened.spectrogram.numpy(),
            mixture=self.mixture[:, bins].transpose(0, 1).contiguous().numpy(),
        )
        return path

    def improvement(self, estimate: np.ndarray, linear: bool = True) -> float:
        """Mean SI-SDR improvement in dB, best permutation; ``estimate`` as workers trace it.

        A demixing matrix (in white coordinates) is followed by projection back to the first microphone; a
        spectrogram is taken as an image there.
        """
        bins, frames = self.whitened.bins, self.mixture.shape[-1]
        if linear:
            total = torch.from_numpy(estimate).to(torch.complex128) @ self.whitened.transform.to(
                torch.complex128
            )
            scale = torch.linalg.inv(total)[:, 0]
            y = (scale[:, :, None] * total).to(torch.complex64) @ self.mixture[:, bins].transpose(0, 1)
        else:
            y = torch.from_numpy(estimate)
        spectrogram = torch.zeros((y.shape[1], self.mixture.shape[1], frames), dtype=torch.complex64)
        spectrogram[:, bins] = y.transpose(0, 1)
        return self.improvement_of(STFT.synthesise(spectrogram, self.waveforms.shape[-1]))

    def improvement_of(self, estimates: torch.Tensor) -> float:
        """Mean SI-SDR improvement over the mixture at the first microphone, best permutation."""
        assert self.references is not None
        gains = si_sdr_table(estimates, self.references) - si_sdr_table(self.waveforms[:1], self.references)
        return best_mean(gains.numpy())

    @property
    def mixture_si_sdr(self) -> float:
        """Mean SI-SDR of the unprocessed first microphone."""
        assert self.references is not None
        return float(si_sdr_table(self.waveforms[:1], self.references).mean())


_temporary = tempfile.TemporaryDirectory(prefix="unbabble-benchmark-")


def scene(waveforms: np.ndarray, references: np.ndarray | None) -> Scene:
    x = torch.from_numpy(np.ascontiguousarray(waveforms)).float()
    mixture = STFT.analyse(x)
    refs = None if references is None else torch.from_numpy(np.ascontiguousarray(references)).float()
    return Scene(mixture, whiten(mixture, channels=len(x)), refs, x, x.shape[-1] / SAMPLE_RATE)


def scenes(talkers: int, count: int, seed: int, microphones: int | None = None, **options) -> list[Scene]:
    """Real voices in a real room (see ``mixtures.py``), as many microphones as talkers unless said."""
    from mixtures import load_mixtures

    return [
        scene(item.mixture, item.images[:, 0])
        for item in load_mixtures(talkers, microphones or talkers, count, seed, **options)
    ]


def instantaneous_scene(channels: int, seconds: float, seed: int) -> Scene:
    """Laplacian sources with a common envelope, mixed at random at each frequency: for timing at any size."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE)
    envelopes = np.repeat(rng.exponential(size=(channels, samples // 1600 + 1)), 1600, axis=1)[:, :samples]
    sources = rng.laplace(size=(channels, samples)) * envelopes
    taps = rng.standard_normal((channels, channels, 8))
    mixed = sum(
        np.stack([np.convolve(s, taps[m, k])[:samples] for m in range(channels)])
        for k, s in enumerate(sources)
    )
    return scene(mixed / np.abs(mixed).max(), None)


def si_sdr_table(estimates: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """SI-SDR in dB of every estimate (row) against every reference (column), means removed."""
    e, r = (x.double() - x.double().mean(-1, keepdim=True) for x in (estimates, references))
    share = (e @ r.T).square() / (e.square().sum(1)[:, None] * r.square().sum(1)).clamp_min(1e-300)
    return 10 * torch.log10(share.clamp_min(1e-12) / (1 - share).clamp_min(1e-12))


def best_mean(gains: np.ndarray) -> float:
    """Largest mean over one-to-one assignments of estimates (rows) to references (columns)."""
    if min(gains.shape) <= 4:
        choices = permutations(range(gains.shape[0]), gains.shape[1])
        return max(float(np.mean([gains[e, r] for r, e in enumerate(choice)])) for choice in choices)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains, maximize=True)
    return float(gains[rows, columns].mean())


def interval(values, statistic=np.mean, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """A statistic over recordings and its 95 % bootstrap interval."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(draws)]
    return float(statistic(values)), float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))


class Absent(Exception):
    """A peer is not installed."""


class Worker:
    """A runner of ``peers/`` in its own environment, kept alive so that runs of several can be interleaved."""

    def __init__(self, name: str, threads: int = 1) -> None:
        python = Path(sys.executable) if name == OURS else PEERS / name / "bin" / "python"
        if name != OURS and not (PEERS / name / "complete").exists():
            raise Absent(name)
        limits = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        environment = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in limits}
        if name == OURS:
            source = str(FOLDER.parent / "src")
            environment["PYTHONPATH"] = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
        self.name, self.threads = name, threads
        self.process = subprocess.Popen(
            [python, FOLDER / "peers" / f"run_{name}.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._errors: list[str] = []
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()
        hello = self._read()
        self.algorithms, self.versions = tuple(hello["algorithms"]), hello["versions"]

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)
            del self._errors[:-20]

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._drain.join(1)
            raise RuntimeError(f"{self.name} stopped: {''.join(self._errors)}")
        return json.loads(line)

    def ask(self, mode: str, scene: Scene, algorithm: str, iterations: int, **fields) -> dict:
        assert self.process.stdin is not None
        request = {"mode": mode, "data": str(scene.file), "algorithm": algorithm, "iterations": iterations}
        print(json.dumps(request | fields), file=self.process.stdin, flush=True)
        return self._read()

    def trace(
        self, scene: Scene, algorithm: str, checkpoints: list[int], seed: int = 0
    ) -> dict[int, np.ndarray]:
        """Demixing matrices at the checkpoints that the package can stop at."""
        out = Path(_temporary.name) / f"trace-{self.name}-{os.getpid()}.npz"
        reply = self.ask(
            "trace", scene, algorithm, max(checkpoints), checkpoints=checkpoints, out=str(out), seed=seed
        )
        if "error" in reply:
            raise RuntimeError(f"{self.name} {algorithm}: {reply['error']}")
        with np.load(out) as file:
            return {int(name): file[name] for name in file.files}

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def present(names=PEER_NAMES) -> tuple[list[str], list[str]]:
    """Which peers are installed, which are not."""
    there = [name for name in names if (PEERS / name / "complete").exists()]
    return there, [name for name in names if name not in there]


def machine() -> dict:
    cpu = platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def command() -> str:
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def load(name: str) -> dict:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save(name: str, result: dict) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    part = RESULTS / f".{name}.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(RESULTS / f"{name}.json")


@dataclass(frozen=True)
class Rows:
    """What a long benchmark has so far, an object a line: it goes on where it was, also in several processes."""

    path: Path

    def read(self) -> list[dict]:
        return (
            [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.is_file() else []
        )

    def add(self, key: dict, make: Callable[[], dict]) -> None:
        """What ``make`` finds of ``key``, unless that is there."""
        if any(key.items() <= row.items() for row in self.read()):
            return
        row = rounded(key | make(), 4)
        self.path.parent.mkdir(exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def rounded(value, digits: int = 4):
    """The same structure with floats at ``digits`` significant digits, for readable JSON."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    return value
