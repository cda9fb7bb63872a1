"""How much faster than real time do live enhancers run, frame by frame on one core, and what do eight bits cost?

    python benchmarks/live.py
    python benchmarks/live.py --weights gru.2x128=runs/gru_2x128_1200/best.safetensors ...

Each size of ``gru`` with the weights that are named, the packaged ones where there are some, else random ones (as
fast): PyTorch's stream, and the exported step in ONNX Runtime, in 32 bits and in 8. There is a frame every 16 ms; all
are 32 ms late. The loss of eight bits is SI-SDR on noisy test voices, where there are weights. Idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import torch
from enhance import RATE, recordings

from unbabble.base.registry import create
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.networks.onnx_step import export_step, run_steps
from unbabble.signal.metrics import si_sdr

RESULTS = Path(__file__).parent / "results"
NAME = "live"
SIZES = ((2, 32), (2, 64), (2, 128), (2, 256), (2, 512), (2, 1024), (3, 1024))
SECONDS = 20.0


def typical(rounds: int, call, *arguments) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def streamed(network, samples: torch.Tensor) -> None:
    streamer = network.streamer()
    for block in samples.split(network.frames.hop_length):
        streamer.push(block)
    streamer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", type=int, default=10, help="recordings to compare eight bits on")
    parser.add_argument(
        "--weights", nargs="*", default=[], metavar="NAME=FILE", help="where not the packaged ones"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = dict(each.split("=", 1) for each in arguments.weights)
    samples = torch.randn(round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    rows = []
    for layers, hidden in SIZES:
        name = f"gru.{layers}x{hidden}"
        weights = given.get(name, name if name in packaged() else "")
        network: torch.nn.Module = (
            networks.load(weights, "enhancer").network
            if weights
            else create("gru", hidden=hidden, layers=layers).eval()
        )
        row = {
            "name": name,
            "parameters": parameter_count(network),
            "mmacs": macs_per_second(network) / 1e6,  # type: ignore[arg-type]
            "torch": SECONDS / typical(1, streamed, network, samples),
        }
        with tempfile.TemporaryDirectory() as folder:
            for bits in (32, 8):
                path = Path(folder) / f"{bits}.onnx"
                export_step(network, path, int8=bits == 8)  # type: ignore[arg-type]
                row[f"onnx{bits}"] = SECONDS / typical(arguments.rounds, run_steps, path, network, samples)
                row[f"bytes{bits}"] = path.stat().st_size
                if weights:
                    row[f"si_sdr{bits}"] = float(
                        np.mean(
                            [
                                float(si_sdr(run_steps(path, network, noisy)[None], voice[None]))
                                for noisy, voice, _ in recordings("test", arguments.each, 5.0)
                            ]
                        )
                    )
        rows.append(row)
        print(row, flush=True)
    result = {"machine": common.machine(), "command": common.command(), "rows": common.rounded(rows)}
    common.save(NAME, result)
    lines = [
        "Times faster than real time, frame by frame, one thread.",
        "",
        "| model | parameters | million MAC/s | PyTorch | ONNX Runtime | in 8 bits | kB, 32 and 8 | SI-SDR, 32 and 8 |",
        "|-|-|-|-|-|-|-|-|",
    ]
    for row in result["rows"]:
        loss = f"{row['si_sdr32']:.2f}, {row['si_sdr8']:.2f} dB" if "si_sdr32" in row else ""
        lines.append(
            f"| {row['name']} | {row['parameters']} | {row['mmacs']:.1f} | {row['torch']:.0f} | {row['onnx32']:.0f} "
            f"| {row['onnx8']:.0f} | {row['bytes32'] / 1e3:.0f}, {row['bytes8'] / 1e3:.0f} | {loss} |"
        )
    lines += [
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}. Made by",
        "",
        f"    {result['command']}",
    ]
    (RESULTS / f"{NAME}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
