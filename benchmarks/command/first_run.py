"""How long does a newcomer wait, on a fresh machine and on one that has run it before?

Whole processes, as typed; the median of several, cold (no compiled kernels, no cache of ours; the operating system has
the files) and warm by turns. What would be compiled after a cold run is not.

    python -m benchmarks first_run
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.command._process import UNBABBLE, recording, run
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.files import DEMO_FOLDER
from unbabble.signal.kernels.afterwards import compile_default
from unbabble.signal.kernels.compile import mark

QUICK = {"rounds": 1}
BARS = {"demo": 5.0, "--help": 0.3, "import unbabble": 0.1, "a named network, 12 s, one microphone": 3.0}


def commands(folder: Path) -> dict[str, list[str]]:
    out, mixture = ["--out", str(folder / "out"), "--overwrite"], str(DEMO_FOLDER / "mixture.flac")
    two = recording(folder, 2, 1)
    return {
        "demo": [*UNBABBLE, "separate", mixture, "--sources", "3", *out],
        "--help": [*UNBABBLE, "--help"],
        "import unbabble": [sys.executable, "-c", "import unbabble"],
        "a named network, 12 s, one microphone": [
            *UNBABBLE, "separate", two, "--model", "conv_tasnet.2talkers_8k", *out,
        ],
        "auto, 12 s, one microphone": [*UNBABBLE, "separate", two, *out],
        "auto, 9.5 s, four microphones": [*UNBABBLE, "separate", mixture, *out],
    }  # fmt: skip


def measure(rounds: int = 5) -> dict:
    compile_default()
    mark("compiled").touch()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, command in commands(folder).items():
            run(command)
            times: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
            for number in range(rounds):
                fresh = {"NUMBA_CACHE_DIR": "", "UNBABBLE_CACHE": str(folder / f"{len(rows)}-{number}")}
                times["cold"].append(run(command, fresh))
                times["warm"].append(run(command))
            rows.append(
                {
                    "command": name,
                    "bar_s": BARS.get(name),
                    **{
                        f"{state}_{key}": median(each[key] for each in measured)
                        for state, measured in times.items()
                        for key in ("wall_s", "cpu_s")
                    },
                }
            )
            print(rows[-1], flush=True)
    return {"rows": rows}


def table(result: dict) -> str:
    rows = [
        (
            row["command"],
            *(f"{row[key]:.2f}" for key in ("cold_wall_s", "cold_cpu_s", "warm_wall_s", "warm_cpu_s")),
            f"{row['bar_s']:g}" if row["bar_s"] else "",
        )
        for row in result["rows"]
    ]
    head = "command | cold, s | processor, s | warm, s | processor, s | at most, s"
    return page(grid(head, rows), made_by(result | {"seed": None}, "Whole processes, medians. "))
