"""What a newcomer should get with several microphones: candidates for ``--model auto``, scored and timed.

Real voices in measured rooms, 12 s, every candidate as ``unbabble separate --sources K --model ...`` runs it, with
its own window and until converged. SI-SDR improvement over the first microphone; seconds are those of the
separation of one recording, transforms included, compiled kernels loaded. ``published`` is ILRMA from random shapes.
Options were chosen on the dev split (``--split dev``); the table is of the test split.

    python benchmarks/default.py                # idle machine
    python benchmarks/default.py --quick
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import RESULTS, command, interval, machine, save
from mixtures import DATA, DISTANCE_M, MICROPHONES, PANELS

from unbabble.base import registry
from unbabble.data import corpora
from unbabble.data.mixing import MixtureSet
from unbabble.data.rooms import MeasuredRooms
from unbabble.pipelines.separate import DEFAULT_MULTICHANNEL
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RATE = 16000
CASES = ((2, 2), (3, 3), (4, 4), (2, 4), (3, 7))
CANDIDATES: dict[str, tuple[str, dict]] = {
    "auxiva.iss": ("auxiva.iss", {"source_model": "gauss"}),
    "auxiva.ipa": ("auxiva.ipa", {"source_model": "gauss"}),
    "overiva.ip2": ("overiva.ip2", {"source_model": "gauss"}),
    "ilrma.ip, published": ("ilrma.ip", {"rank": 2, "warm_up": 0}),
    "ilrma.ip, rank 2": ("ilrma.ip", {"rank": 2}),
    "ilrma.ip": ("ilrma.ip", {}),
    "ilrma.ip, rank 6": ("ilrma.ip", {"rank": 6}),
    "ilrma.ipa": ("ilrma.ipa", {}),
}


def measure(talkers: int, microphones: int, a: argparse.Namespace) -> dict[str, dict]:
    places = tuple(
        p
        for p in corpora.responses(DATA / "rir.csv", a.split)
        if a.split != "test" or p.room.endswith(PANELS)
    )
    mixtures = MixtureSet(
        speech=tuple(corpora.speech(DATA / "speech.csv", a.split)),
        room=MeasuredRooms(places, channels=MICROPHONES, distance_m=DISTANCE_M),
        talkers=talkers,
        microphones=len(MICROPHONES),
        seconds=12.0,
        count=a.count,
        seed=a.seed,
    )
    gains: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for item in mixtures:
        x = torch.from_numpy(item.mixture[:microphones]).float()
        references = torch.from_numpy(item.images[:, 0])
        before = pairwise(x[:1].double(), references, si_sdr)[0]
        for name, (model, options) in CANDIDATES.items():
            if model.startswith("overiva") and talkers == microphones:
                continue
            separator = registry.create(model, sources=talkers, **options)
            if name not in gains:
                separator(x[None], sample_rate=RATE)  # loads the kernels
            start = time.perf_counter()
            voices = separator(x[None], sample_rate=RATE)[0]
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            table = pairwise(voices.double(), references, si_sdr)
            gain = table[best_permutation(table), torch.arange(talkers)] - before
            gains.setdefault(name, []).append(float(gain.mean()))
    return {
        name: {
            "improvement_db": [round(x, 2) for x in interval(values)],
            "worst_db": round(min(values), 2),
            "seconds": round(float(np.median(seconds[name])), 3),
            "each_db": [round(x, 2) for x in values],
        }
        for name, values in gains.items()
    }


def table(result: dict) -> str:
    lines = [
        "# What a newcomer gets",
        "",
        f"{result['count']} mixtures of each kind, {result['split']} split, 12 s, seed {result['seed']}; "
        f"`{result['command']}`. SI-SDR improvement over the first microphone in dB (the mixture itself: 0) with its "
        f"95 % interval, the worst mixture, and median seconds for one recording, {result['threads']} thread(s). The "
        f"default is `{DEFAULT_MULTICHANNEL}`.",
        "",
        "| talkers / microphones | candidate | SI-SDRi | 95 % interval | worst | seconds |",
        "|-|-|-|-|-|-|",
    ]
    for case, rows in result["cases"].items():
        for name, row in rows.items():
            centre, low, high = row["improvement_db"]
            shown = f"**{name}**" if name == DEFAULT_MULTICHANNEL else name
            lines.append(
                f"| {case} | {shown} | {centre:.2f} | {low:.2f} ... {high:.2f} | {row['worst_db']:.1f} "
                f"| {row['seconds']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one mixture of two, not saved")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    cases = CASES[:1] if a.quick else CASES
    a.count = 1 if a.quick else a.count
    result: dict = {
        "command": command(),
        "count": a.count,
        "split": a.split,
        "seed": a.seed,
        "threads": a.threads,
        "machine": machine(),
        "cases": {},
    }
    for talkers, microphones in cases:
        result["cases"][f"{talkers} / {microphones}"] = measure(talkers, microphones, a)
        text = table(result)
        if not a.quick and a.split == "test":
            save("default", result)
            (RESULTS / "default.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
