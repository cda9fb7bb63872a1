"""Is ONNX Runtime faster?

Than PyTorch, network by network; parity on the way. Both run in turn, on as many threads, so that whatever else the
machine does hits both alike; what counts is the ratio of each turn. The result decides ``FASTER`` in
``unbabble/networks/onnx.py``: methods whose median ratio is above 1.1 at every length. Threads wait for one another: on
a busy machine only one thread gives ratios that mean something.

    python -m benchmarks onnx_runtime [--only NAME ...] [--repeats 5] [--seconds 1 4 30] [--threads 2]
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import torch

from benchmarks.kit.table import grid, page
from benchmarks.kit.timing import by_turns
from benchmarks.kit.timing import seconds as taken
from unbabble.base import registry
from unbabble.methods.separation.sepformer import COMPACT
from unbabble.networks.onnx import OnnxEstimate, export

NETWORKS = {
    "bsrnn, compact": ("bsrnn", {}),
    "conv_tasnet, paper": ("conv_tasnet", {}),
    "conv_tasnet, causal": ("conv_tasnet", {"causal": True, "filters": 256, "hidden": 256, "blocks": 6}),
    "dprnn, paper": ("dprnn", {}),
    "sepformer, compact": ("sepformer", COMPACT),
}
SECONDS, DIGITS = (1, 4, 30), 3
QUICK = {"seconds": [1], "repeats": 1, "only": ["bsrnn, compact"]}


def compare(name: str, repeats: int, seconds: Sequence[int]) -> dict:
    method, options = NETWORKS[name]
    torch.manual_seed(0)
    network = registry.create(method, **options).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        path, started = Path(folder) / "network.onnx", time.process_time()
        row = {"method": method, "threads": torch.get_num_threads(), "difference": export(network, path)}
        row |= {"export_cpu_s": time.process_time() - started, "megabytes": path.stat().st_size / 1e6}
        estimate, lengths = OnnxEstimate(path), {}
        for length in seconds:
            mixture = torch.randn(1, 8000 * length, generator=torch.Generator().manual_seed(0))
            calls = {
                "torch_s": partial(taken, network.estimate, mixture),
                "onnx_s": partial(taken, estimate, mixture),
            }
            times = by_turns(calls, repeats)
            ratios = sorted(ours / theirs for ours, theirs in zip(*times.values(), strict=True))
            best = {key: min(each) for key, each in times.items()}
            lengths[str(length)] = best | {"ratio": median(ratios), "ratios": ratios}
    return row | {"lengths": lengths}


def measure(
    before: dict,
    only: Annotated[Sequence[str], tuple(NETWORKS)] = tuple(NETWORKS),
    repeats: int = 5,
    seconds: Sequence[int] = SECONDS,
    threads: int = 2,
) -> Iterator[dict]:
    """Network by network."""
    before.pop("machine", None)  # the one of the last run is named
    for name in only:
        row = before.setdefault("networks", {})[name] = compare(name, repeats, seconds)
        print(name, row, flush=True)
        yield before


def table(result: dict) -> str:
    rows, about = [], result["machine"]
    for name, row in result["networks"].items():
        cells = [
            f"{each['torch_s']:.3g}, {each['onnx_s']:.3g}, **{each['ratio']:.2f}**" if each else ""
            for each in (row["lengths"].get(str(s)) for s in SECONDS)
        ]
        rows.append([name, *cells, f"{row['difference']:.0e}", f"{row['export_cpu_s']:.0f} s of CPU"])
    return page(
        "# PyTorch and ONNX Runtime",
        "Seconds for a recording at 8 kHz, the best of several turns, and the median of the turns' ratios: above 1, "
        "ONNX Runtime is faster. Made by `benchmarks/onnx_runtime.py`.",
        grid(["network", *(f"{s} s: PyTorch, ONNX, ratio" for s in SECONDS), "difference", "export"], rows),
        f"{about['cpu']} x {about['cores']}, load before {about['load_before']}, {about['date']}.",
    )
