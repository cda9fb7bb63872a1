"""How much faster than real time do live enhancers run?

Frame by frame on one core, and what do eight bits cost? Each size of ``gru`` with the weights that are named, the
packaged ones where there are some, else random ones (as fast): PyTorch's stream, and the exported step in ONNX Runtime,
in 32 bits and in 8. There is a frame every 16 ms; all are 32 ms late. The loss of eight bits is SI-SDR on noisy test
voices, where there are weights. Idle machine.

    python -m benchmarks live
    python -m benchmarks live --weights gru.2x128=runs/gru_2x128_1200/best.safetensors ...
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.kit.people import RATE, recordings
from benchmarks.kit.table import grid, made_by, page
from benchmarks.kit.timing import seconds
from unbabble.base.registry import create
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.networks.onnx_step import OnnxStep, export_step, streamed
from unbabble.signal.metrics import si_sdr

SIZES = ("2x32", "2x64", "2x128", "2x256", "2x512", "2x1024", "3x1024")
SECONDS = 20.0
QUICK = {"sizes": ["2x32"], "rounds": 1, "each": 1}


def typical(rounds: int, call, *arguments) -> float:
    """Times faster than real time, the median of several rounds."""
    return SECONDS / float(np.median([seconds(call, *arguments) for _ in range(rounds)]))


def in_torch(network, samples: torch.Tensor) -> None:
    streamer = network.streamer()
    for block in samples.split(network.frames.hop_length):
        streamer.push(block)
    streamer.flush()


def in_onnx(path: Path, samples: torch.Tensor) -> torch.Tensor:
    return streamed(OnnxStep(path), samples)


def measure(
    sizes: Sequence[str] = SIZES, rounds: int = 3, each: int = 10, weights: Mapping[str, str] = {}
) -> dict:
    """Size by size.

    Args:
        each: recordings to compare eight bits on.
        weights: of sizes that are not packaged, or others.
    """
    given = {name: name for name in packaged()} | weights
    samples = torch.randn(round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    rows = []
    for size in sizes:
        name, (layers, hidden) = f"gru.{size}", map(int, size.split("x"))
        known, network = given.get(name), create("gru", hidden=hidden, layers=layers).eval()
        network = networks.load(known, "enhancer").network if known else network
        row = {"name": name, "parameters": parameter_count(network), "mmacs": macs_per_second(network) / 1e6}
        row["torch"] = typical(1, in_torch, network, samples)
        with tempfile.TemporaryDirectory() as folder:
            for bits in (32, 8):
                path = Path(folder) / f"{bits}.onnx"
                export_step(network, path, int8=bits == 8)
                row[f"onnx{bits}"] = typical(rounds, in_onnx, path, samples)
                row[f"bytes{bits}"] = path.stat().st_size
                if known:
                    pairs = ((noisy, true) for noisy, true, _ in recordings("test", each, 5.0))
                    scores = [float(si_sdr(in_onnx(path, noisy), true[None])) for noisy, true in pairs]
                    row[f"si_sdr{bits}"] = float(np.mean(scores))
        rows.append(row)
        print(row, flush=True)
    return {"rows": rows}


def table(result: dict) -> str:
    rows = [row | {f"kb{bits}": row[f"bytes{bits}"] / 1e3 for bits in (32, 8)} for row in result["rows"]]
    return page(
        "Times faster than real time, frame by frame, one thread.",
        grid(
            "model | parameters | million MAC/s | PyTorch | ONNX Runtime | in 8 bits | kB, 32 and 8 "
            "| SI-SDR, 32 and 8",
            rows,
            "{name} | {parameters} | {mmacs:.1f} | {torch:.0f} | {onnx32:.0f} | {onnx8:.0f} | {kb32:.0f}, {kb8:.0f} "
            "| {si_sdr32:.2f}, {si_sdr8:.2f} dB",
        ),
        made_by(result),
    )
