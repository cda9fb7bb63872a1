"""What this machine is, and what it can do at most: multiply matrices, read and write memory.

OMP_NUM_THREADS=1 python benchmarks/kit/machine.py SECONDS      # of each; rates per second as JSON
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

MATRIX, STREAM_BYTES = 2048, 2**28


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


def rate(work: float, call: Callable[[], object], seconds: float) -> float:
    """``work`` per second of the fastest call within so many seconds; the first warms up."""
    call()
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return work / best


def measure(seconds: float) -> dict[str, float]:
    """In this process, with as many threads as the environment says; arrays are far larger than the caches."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    a, stream = torch.rand(MATRIX, MATRIX), torch.ones(STREAM_BYTES // 4)
    b, product, copy = a.bfloat16(), torch.empty_like(a), torch.empty_like(stream)
    return {
        "gemm_f32_flops": rate(2 * MATRIX**3, lambda: torch.mm(a, a, out=product), seconds),
        "gemm_bf16_flops": rate(2 * MATRIX**3, lambda: b @ b, seconds),
        "read_bytes": rate(STREAM_BYTES, stream.sum, seconds),
        "copy_bytes": rate(2 * STREAM_BYTES, lambda: copy.copy_(stream), seconds),
    }


def limits(threads: int, seconds: float = 3.0) -> dict[str, float]:
    """Measured in a fresh process, so that the number of threads holds for every library."""
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, __file__, str(seconds)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
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
    print(json.dumps(measure(float(sys.argv[1]))))
