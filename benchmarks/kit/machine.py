"""What this machine is, and what it can do at most: multiply float32 matrices, read and write memory.

python benchmarks/kit/machine.py [SECONDS]      # with 1 and 2 threads, a few seconds each
"""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

MATRIX = 2048
STREAM_MB = 256


def machine() -> dict:
    """What a result says of the machine, and of what else it did."""
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


def peak_flops(seconds: float) -> float:
    """Best float32 matrix product, floating-point operations per second."""
    a = torch.rand(MATRIX, MATRIX)
    out = torch.empty_like(a)
    torch.mm(a, a, out=out)
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, a, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX**3 / best


def stream_bytes(seconds: float) -> tuple[float, float]:
    """Best read (a sum) and copy (read and write counted), bytes per second, arrays far beyond the caches."""
    a = torch.ones(STREAM_MB * 2**18)
    b = torch.empty_like(a)
    b.copy_(a)
    best_read = best_copy = np.inf
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a.sum()
        middle = time.perf_counter()
        b.copy_(a)
        best_read = min(best_read, middle - start)
        best_copy = min(best_copy, time.perf_counter() - middle)
    size = a.numel() * 4
    return size / best_read, 2 * size / best_copy


def measure(seconds: float) -> dict[str, float]:
    """In this process, with as many threads as the environment says."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    read, copy = stream_bytes(seconds)
    return {"gemm_f32_flops": peak_flops(seconds), "read_bytes": read, "copy_bytes": copy}


def limits(threads: int, seconds: float = 3.0) -> dict[str, float]:
    """Measure in a fresh process, so that the number of threads holds for every library."""
    names = ("OMP", "OPENBLAS", "MKL")
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(seconds)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def operations(update: str, channels: int, bins: int, frames: int) -> float:
    """Floating-point operations that one iteration over all frames cannot do without.

    Source steering: for each of M outputs, M weighted inner products and M subtractions. The others: M weighted
    covariances of M (M + 1) / 2 entries, and the demixing. Small matrices are not counted.
    """
    m = channels
    each = 20 * m**2 if update == "iss" else 2 * m**3 + 11 * m**2 + 3 * m
    return float(each) * bins * frames


def traffic(channels: int, bins: int, frames: int) -> float:
    """Bytes that one iteration moves at least: complex64 outputs read once and written once."""
    return 2.0 * 8 * channels * bins * frames


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(float(sys.argv[2]))))
    else:
        for count in (1, 2):
            found = limits(count, *map(float, sys.argv[1:]))
            print(
                f"{count} thread(s):",
                ", ".join(f"{name} {each / 1e9:.1f} G/s" for name, each in found.items()),
            )
