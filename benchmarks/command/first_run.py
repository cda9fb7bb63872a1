"""How long does a newcomer wait, on a fresh machine and on one that has run it before?

Whole processes, as typed; the median of several, cold (no compiled kernels, no cache of ours; the operating system has
the files) and warm by turns. What would be compiled after a cold run is not.

    python -m benchmarks first_run
"""

import sys
import tempfile
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.kit.process import UNBABBLE, medians, recording, run
from benchmarks.kit.table import grid, made_by, page
from benchmarks.kit.timing import by_turns
from unbabble.base.files import DEMO_FOLDER
from unbabble.signal.kernels.afterwards import compile_default
from unbabble.signal.kernels.cache import mark

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
            fresh = (folder / f"{len(rows)}-{number}" for number in count())

            def cold(command=command, fresh=fresh) -> dict[str, float]:
                return run(command, {"NUMBA_CACHE_DIR": "", "UNBABBLE_CACHE": str(next(fresh))})

            times = by_turns({"cold": cold, "warm": partial(run, command)}, rounds)
            rows.append({"command": name, "bar_s": BARS.get(name)} | medians(times))
            print(rows[-1], flush=True)
    return {"rows": rows}


def table(result: dict) -> str:
    return page(
        grid(
            "command | cold, s | processor, s | warm, s | processor, s | at most, s",
            result["rows"],
            "{command} | {cold_wall_s:.2f} | {cold_cpu_s:.2f} | {warm_wall_s:.2f} | {warm_cpu_s:.2f} | {bar_s:g}",
        ),
        made_by(result, "Whole processes, medians. "),
    )
