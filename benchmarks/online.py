"""Online AuxIVA against the batch, with talkers who stay and talkers who move.

Two voices of the test split in a measured room, two microphones of a real array (as ``mixtures.py``), 30 s. After
15 s one talker, or both, are somewhere else in the same room, within 50 ms. The same voices at their first places
throughout are the static case. SI-SDR improvement over the first microphone is taken in windows of 3 s. Which
estimate is which talker is decided once for each recording (``fixed``: a source that jumped to the other file
costs), or in each window (``free``: the separation alone). The options were chosen on a few scenes of the dev split
(``--split dev``)::

    python benchmarks/online.py --count 20        # writes results/online.json and results/online.md
    python benchmarks/online.py --quick
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from mixtures import DATA, DISTANCE_M, MICROPHONES, PANELS

from unbabble.base.registry import create
from unbabble.data import corpora
from unbabble.data.mixing import mix
from unbabble.data.rooms import MeasuredRooms
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RESULTS = Path(__file__).parent / "results"
SAMPLE_RATE = 16000
SECONDS, MOVE = 30.0, 15.0
FADE_SECONDS, WINDOW_SECONDS = 0.05, 3.0
SPANS = {"0-6 s": (0, 6), "6-15 s": (6, 15), "15-18 s": (15, 18), "18-24 s": (18, 24), "24-30 s": (24, 30)}
METHODS = {
    "batch": ("auxiva.ip", {"source_model": "gauss"}),
    "online": ("online_auxiva", {}),
    "online, gauss": ("online_auxiva", {"source_model": "gauss"}),
    "online, window 0.256 s": ("online_auxiva", {"window_length": 4096}),
}


def voice(rng: np.random.Generator, utterances: list[corpora.Utterance], samples: int) -> np.ndarray:
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < samples:
        recording, rate = corpora.read(utterances[rng.integers(len(utterances))].path)
        parts.append(corpora.resample(recording.mean(axis=0), rate, SAMPLE_RATE))
    return np.concatenate(parts)[:samples]


def scene(seed: int, index: int, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By number of movers: (mixture, references) of the same two voices in the same room."""
    rng = np.random.default_rng([seed, index])
    speakers: dict[str, list[corpora.Utterance]] = {}
    for utterance in corpora.speech(DATA / "speech.csv", split):
        speakers.setdefault(utterance.speaker, []).append(utterance)
    speakers = {name: all_ for name, all_ in speakers.items() if sum(u.seconds for u in all_) >= SECONDS}
    samples = round(SECONDS * SAMPLE_RATE)
    voices = [
        voice(rng, speakers[str(name)], samples) for name in rng.choice(sorted(speakers), 2, replace=False)
    ]
    places = [
        p for p in corpora.responses(DATA / "rir.csv", split) if split != "test" or p.room.endswith(PANELS)
    ]
    room = MeasuredRooms(tuple(places), channels=MICROPHONES, distance_m=DISTANCE_M)
    heard = room.draw(rng, 4, len(MICROPHONES), SAMPLE_RATE).responses[:, :2]
    noise = rng.standard_normal((2, samples))
    fade = np.clip((np.arange(samples) / SAMPLE_RATE - MOVE) / FADE_SECONDS, 0, 1)
    before, after = (
        mix(voices, responses, samples=samples, sample_rate=SAMPLE_RATE, snr_db=30.0, noise=noise)
        for responses in (heard[:2], heard[2:])
    )
    found = {}
    for name, movers in (("nobody", []), ("one talker", [0]), ("both talkers", [0, 1])):
        images = before.images.copy()
        for k in movers:
            images[k] = (1 - fade) * before.images[k] + fade * after.images[k]
        found[name] = (images.sum(0) + before.noise, images[:, 0])
    return found


def score(estimates: torch.Tensor, references: torch.Tensor, mixture: torch.Tensor) -> dict[str, np.ndarray]:
    """SI-SDR improvement in dB, mean of talkers, in each window, by either way to pair them."""
    whole = best_permutation(pairwise(estimates, references, si_sdr))
    length = round(WINDOW_SECONDS * SAMPLE_RATE)
    gains: dict[str, list[float]] = {"fixed": [], "free": []}
    for start in range(0, references.shape[-1] - length + 1, length):
        e, r, m = (x[..., start : start + length] for x in (estimates, references, mixture))
        table = pairwise(e, r, si_sdr)
        unprocessed = pairwise(m[None], r, si_sdr)[0]
        for how, order in (("fixed", whole), ("free", best_permutation(table))):
            gains[how].append(float((table[order, torch.arange(len(r))] - unprocessed).mean()))
    return {how: np.array(values) for how, values in gains.items()}


def interval(values: np.ndarray) -> list[float]:
    """Mean over recordings and its 95 % bootstrap interval."""
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return [round(float(x), 2) for x in (values.mean(), *np.percentile(means, [2.5, 97.5]))]


def measure(count: int, seed: int, split: str, methods: dict) -> dict:
    curves: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {}
    spent = dict.fromkeys(methods, 0.0)
    for model, options in methods.values():  # compile
        create(model, **options)(torch.randn(1, 2, SAMPLE_RATE), sample_rate=SAMPLE_RATE)
    for index in range(count):
        for case, (mixture, references) in scene(seed, index, split).items():
            x, r = torch.from_numpy(mixture).float(), torch.from_numpy(references)
            for name, (model, options) in methods.items():
                started = time.process_time()
                y = create(model, **options)(x[None], sample_rate=SAMPLE_RATE)[0]
                spent[name] += time.process_time() - started
                for how, gains in score(y.double(), r, x[0].double()).items():
                    curves.setdefault(case, {}).setdefault(name, {}).setdefault(how, []).append(gains)
    spans = {}
    for case, by_method in curves.items():
        for name, by_way in by_method.items():
            for how, gains in by_way.items():
                for span, (first, last) in SPANS.items():
                    part = np.stack(gains)[:, int(first / WINDOW_SECONDS) : int(last / WINDOW_SECONDS)]
                    spans.setdefault(case, {}).setdefault(name, {}).setdefault(how, {})[span] = interval(
                        part.mean(1)
                    )
    audio = count * 3 * SECONDS
    return {
        "si_sdr_improvement_db": spans,
        "windows_db": {
            case: {
                name: {how: np.stack(g).mean(0).round(2).tolist() for how, g in ways.items()}
                for name, ways in methods_.items()
            }
            for case, methods_ in curves.items()
        },
        "cpu_seconds_per_second": {name: round(value / audio, 4) for name, value in spent.items()},
    }


def table(result: dict) -> str:
    lines = ["# Online AuxIVA", "", result["about"], ""]
    for case, by_method in result["si_sdr_improvement_db"].items():
        lines += [f"Who moves at 15 s: {case}. SI-SDR improvement in dB, 95 % interval.", ""]
        lines += ["| method | pairing | " + " | ".join(SPANS) + " |", "|-|-|" + "-|" * len(SPANS)]
        for name, by_way in by_method.items():
            for how, spans in by_way.items():
                cells = " | ".join(f"{m:.1f} ({a:.1f} ... {b:.1f})" for m, a, b in spans.values())
                lines.append(f"| {name} | {how} | {cells} |")
        lines.append("")
    lines += ["| method | CPU seconds per second of audio |", "|-|-|"]
    lines += [f"| {name} | {value} |" for name, value in result["cpu_seconds_per_second"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--quick", action="store_true", help="two recordings, nothing written")
    a = parser.parse_args()
    torch.set_num_threads(1)
    count = 2 if a.quick else a.count
    result = measure(count, a.seed, a.split, METHODS)
    result |= {
        "count": count,
        "seed": a.seed,
        "split": a.split,
        "options": METHODS,
    }
    result["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, one thread used"
    result["about"] = (
        f"{count} scenes of two talkers and two microphones ({a.split} split), seed {a.seed}, each with nobody, one "
        f"and both talkers moving after 15 s of 30 s; `python benchmarks/online.py --count {count} --seed {a.seed}`. "
        "fixed: one pairing of estimates and talkers per recording; free: one per window of 3 s."
    )
    print(table(result))
    if not a.quick and a.split == "test":
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "online.json").write_text(json.dumps(result, indent=1) + "\n")
        (RESULTS / "online.md").write_text(table(result))


if __name__ == "__main__":
    main()
