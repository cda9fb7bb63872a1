"""Is ONNX Runtime faster than PyTorch, network by network? Parity on the way.

    python benchmarks/onnx_runtime.py [--quick] [--only NAME] [--repeats 5] [--seconds 1 4 30] [--threads 2]

Both run in turn, on as many threads, so that whatever else the machine does hits both alike; what counts is the ratio
of each turn. The result decides ``FASTER`` in ``unbabble/onnx_networks.py``: methods whose median ratio is above 1.1
at every length. Threads wait for one another: on a busy machine only one thread gives ratios that mean something.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from common import command, load, machine, rounded, save

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
SECONDS = (1, 4, 30)
NAME = "onnx_runtime"


def compare(name: str, repeats: int, seconds: tuple[int, ...]) -> dict:
    method, options = NETWORKS[name]
    torch.manual_seed(0)
    network = registry.create(method, **options).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        started = time.process_time()
        difference = export(network, path)
        row = {
            "method": method,
            "threads": torch.get_num_threads(),
            "difference": difference,
            "export_cpu_s": time.process_time() - started,
        }
        row |= {"megabytes": path.stat().st_size / 1e6, "lengths": {}}
        estimate = OnnxEstimate(path)
        for length in seconds:
            mixture = torch.randn(1, 8000 * length, generator=torch.Generator().manual_seed(0))
            turns = []
            for _ in range(1 + repeats):
                started = time.perf_counter()
                network.estimate(mixture)
                between = time.perf_counter()
                estimate(mixture)
                turns.append((between - started, time.perf_counter() - between))
            ratios = [ours / theirs for ours, theirs in turns[1:]]  # the first warms up
            row["lengths"][str(length)] = {
                "torch_s": min(ours for ours, _ in turns),
                "onnx_s": min(theirs for _, theirs in turns),
                "ratio": statistics.median(ratios),
                "ratios": sorted(ratios),
            }
    return row


def table(result: dict) -> str:
    lines = [
        "# PyTorch and ONNX Runtime",
        "",
        "Seconds for a recording at 8 kHz, the best of several turns, and the median of the turns' "
        "ratios: above 1, ONNX Runtime is faster. Made by `benchmarks/onnx_runtime.py`.",
        "",
        "| network | "
        + " | ".join(f"{s} s: PyTorch, ONNX, ratio" for s in SECONDS)
        + " | difference | export |",
        "|-|-|" + "-|" * (len(SECONDS) + 2),
    ]
    for name, row in result["networks"].items():
        cells = [
            f"{each['torch_s']:.3g}, {each['onnx_s']:.3g}, **{each['ratio']:.2f}**" if each else ""
            for each in (row["lengths"].get(str(s)) for s in SECONDS)
        ]
        lines.append(
            f"| {name} | "
            + " | ".join(cells)
            + f" | {row['difference']:.0e} | {row['export_cpu_s']:.0f} s of CPU |"
        )
    about = result["machine"]
    lines += ["", f"{about['cpu']} x {about['cores']}, load before {about['load_before']}, {about['date']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=NETWORKS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = {"networks": {}} | load(NAME)
    result |= {"machine": machine(), "command": command()}
    for name in [arguments.only] if arguments.only else NETWORKS:
        seconds, repeats = ((1,), 1) if arguments.quick else (tuple(arguments.seconds), arguments.repeats)
        row = compare(name, repeats, seconds)
        result["networks"][name] = rounded(row, 3)
        print(name, rounded(row, 3), flush=True)
        if not arguments.quick:
            save(NAME, result)
            Path(__file__).with_name("results").joinpath(f"{NAME}.md").write_text(table(result))


if __name__ == "__main__":
    main()
