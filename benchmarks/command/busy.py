"""What does work cost on a machine that others keep busy?

Processor time of a whole command beside as many processes that only burn time as there are processors, over that of the
same command on the idle machine; the median of rounds in turn. Wall time is at least doubled by them, and told beside.

    python -m benchmarks busy
"""

import os
import shlex
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.kit.process import UNBABBLE, busy, medians, recording, run
from benchmarks.kit.scenes import DATA
from benchmarks.kit.table import grid, made_by, page
from benchmarks.kit.timing import by_turns
from unbabble.base.files import DEMO_FOLDER

QUICK = {"rounds": 1}
MOST = 1.3
KERNELS_FIRST = {"UNBABBLE_KERNELS": "first"}
"""The round that is not counted compiles the inner loops for all that follow."""
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def commands(folder: Path) -> dict[str, list[str]]:
    four, one = recording(folder, 3, 4), recording(folder, 2, 1)
    alone = str(next((DATA / "speech" / "test").rglob("*.flac")))
    out = ["--out", str(folder / "out"), "--overwrite"]
    steps = ("steps=10", "validation_items=4", "validate_every=10", "save_every=10", "workers=0", "batch=4")
    recipe = [str(CONFIGS / "conv_tasnet.yaml"), str(CONFIGS / "corpora" / "clean_2talkers.yaml")]
    settings = (word for step in steps for word in ("--set", step))
    run_folder = folder / "run"
    train = [*UNBABBLE, "train", *recipe, *settings, "--device", "cpu", "--out", str(run_folder)]
    return {
        "separate, three talkers, four microphones": [*UNBABBLE, "separate", four, "--sources", "3", *out],
        "separate, two recordings at once": [*UNBABBLE, "separate", four, one, "--sources", "2", "--jobs", "2", *out],
        "separate, SepFormer": [*UNBABBLE, "separate", one, "--model", "sepformer.2talkers_8k", *out],
        "separate, ONNX Runtime": [
            *UNBABBLE, "separate", one, "--model", "conv_tasnet.2talkers_8k", "--runtime", "onnx", *out,
        ],
        "enhance": [*UNBABBLE, "enhance", one, *out],
        "extract": [*UNBABBLE, "extract", one, "--enroll", alone, *out],
        "stream": [*UNBABBLE, "stream", four, "--sources", "3", *out],
        "score": [*UNBABBLE, "score", *(str(path) for path in sorted(DEMO_FOLDER.glob("*.flac")))],
        "train, 10 steps": ["sh", "-c", f"rm -rf {run_folder}; exec {shlex.join(train)}"],
    }  # fmt: skip


def crowded(command: list[str]) -> dict[str, float]:
    with busy(os.cpu_count() or 1):
        return run(command, KERNELS_FIRST)


def measure(before: dict, rounds: int = 2) -> Iterator[dict]:
    rows = before.get("rows", [])
    measured = {row["command"] for row in rows}
    with tempfile.TemporaryDirectory() as temporary:
        for name, command in commands(Path(temporary)).items():
            if name in measured:
                continue
            calls = {"idle": partial(run, command, KERNELS_FIRST), "busy": partial(crowded, command)}
            row = {"command": name} | medians(by_turns(calls, rounds))
            rows.append(row | {"ratio": row["busy_cpu_s"] / row["idle_cpu_s"]})
            print(rows[-1], flush=True)
            yield {"rows": rows, "processes": os.cpu_count() or 1}


def table(result: dict) -> str:
    about = f"Beside {result['processes']} busy processes; at most {MOST} is wanted of the last column. "
    return page(
        grid(
            "command | idle, s | busy, s | idle, processor s | busy, processor s | processor time, busy / idle",
            result["rows"],
            "{command} | {idle_wall_s:.1f} | {busy_wall_s:.1f} | {idle_cpu_s:.1f} | {busy_cpu_s:.1f} | {ratio:.2f}",
        ),
        made_by(result, about),
    )
