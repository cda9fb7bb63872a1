"""What this machine can do at most: multiplications of float32 matrices, and reading and writing memory.

python benchmarks/machine.py            # 1 and 2 threads, a few seconds each
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

MATRIX = 2048
STREAM_MB = 256


def peak_flops(seconds: float) -> float:
    """Best float32 matrix product, floating-point operations per second."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
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
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="half a second each")
    a = parser.parse_args()
    if a.measure:
        read, copy = stream_bytes(a.measure)
        flops = peak_flops(a.measure)
        print(json.dumps({"gemm_f32_flops": flops, "read_bytes": read, "copy_bytes": copy}))
        return
    for threads in (1, 2):
        found = limits(threads, 0.5 if a.quick else 3.0)
        line = ", ".join(f"{name} {value / 1e9:.1f} G/s" for name, value in found.items())
        print(f"{threads} thread(s): {line}")


if __name__ == "__main__":
    main()
