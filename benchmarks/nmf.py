"""How far dictionaries bring one microphone: NMF on pairs of real voices, beside the ideal ratio mask.

Two talkers of ``speech/test`` at 0 dB, one channel, no room. Each talker's dictionary is trained on other
utterances of the same talker. Divergence, rank and exponents were chosen on ``speech/dev``: 15 settings on the
six pairs of its four talkers, where the KL settings with 16 to 32 spectra could not be told apart (4.4 to 4.8 dB,
standard error 0.4 to 0.6). The test split chose nothing::

    python benchmarks/nmf.py --count 40 --seed 0
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from unbabble.methods.separation.nmf import Nmf, train_dictionary
from unbabble.signal.stft import Stft

DATA = Path(os.environ.get("UNBABBLE_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
RESULTS = Path(__file__).parent / "results"
SAMPLE_RATE = 16000
EXAMPLE_SECONDS = 30.0
MIXTURE_SECONDS = (4.0, 8.0)
DIVERGENCES = ("kl", "is", "euclidean")


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, means removed."""
    estimate, reference = (x.double() - x.double().mean() for x in (estimate, reference))
    target = (estimate @ reference) / (reference @ reference) * reference
    return float(10 * torch.log10(target.square().sum() / (target - estimate).square().sum()))


def read(file: str) -> torch.Tensor:
    samples, rate = soundfile.read(DATA / "speech" / file, dtype="float32")
    assert rate == SAMPLE_RATE
    return torch.from_numpy(samples)


def talkers() -> dict[str, dict]:
    """For each talker the sex, the utterances to learn from (``EXAMPLE_SECONDS``), and those to mix."""
    found: dict[str, dict] = {}
    with open(DATA / "speech.csv", newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] != "test":
                continue
            talker = found.setdefault(
                row["speaker"], {"sex": row["sex"], "examples": [], "mixtures": [], "seconds": 0.0}
            )
            if talker["seconds"] < EXAMPLE_SECONDS:
                talker["examples"].append(row["file"])
                talker["seconds"] += float(row["seconds"])
            elif float(row["seconds"]) >= MIXTURE_SECONDS[0]:
                talker["mixtures"].append(row["file"])
    return {name: talker for name, talker in found.items() if talker["mixtures"]}


def pairs(people: dict[str, dict], count: int, seed: int) -> list[tuple[str, str, str, str]]:
    rng = np.random.default_rng(seed)
    chosen = []
    for _ in range(count):
        a, b = (str(name) for name in rng.choice(sorted(people), 2, replace=False))
        chosen.append((a, b, str(rng.choice(people[a]["mixtures"])), str(rng.choice(people[b]["mixtures"]))))
    return chosen


def ideal_ratio_mask(references: torch.Tensor) -> torch.Tensor:
    """The sources' true magnitudes as shares: what no mask of this kind can pass by much."""
    transform = Stft(1024, 256)
    spectra = transform.analyse(references.double())
    shares = spectra.abs() / spectra.abs().sum(0).clamp(min=1e-30)
    return transform.synthesise(shares * spectra.sum(0), references.shape[-1])


def interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """95 % bootstrap interval of the mean over recordings."""
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (2000, len(values))).mean(1)
    return [round(float(x), 2) for x in np.percentile(means, [2.5, 97.5])]


def measure(count: int, seed: int, rank: int, iterations: int) -> dict:
    people = talkers()
    examples = {
        name: torch.cat([read(file) for file in talker["examples"]]) for name, talker in people.items()
    }
    dictionaries: dict[tuple[str, str], torch.Tensor] = {}
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    alike = []
    for first, second, *files in pairs(people, count, seed):
        voices = [read(file)[: round(MIXTURE_SECONDS[1] * SAMPLE_RATE)] for file in files]
        length = min(len(voice) for voice in voices)
        references = torch.stack([voice[:length] / voice[:length].norm() for voice in voices])
        mixture = references.sum(0)
        alike.append(people[first]["sex"] == people[second]["sex"])

        def note(name: str, estimates: torch.Tensor, references=references, mixture=mixture) -> None:
            gains = [si_sdr(e, r) - si_sdr(mixture, r) for e, r in zip(estimates, references, strict=True)]
            scores.setdefault(name, []).append(float(np.mean(gains)))

        note("mixture", torch.stack([mixture, mixture]))
        for divergence in DIVERGENCES:
            for name in (first, second):
                if (name, divergence) not in dictionaries:
                    dictionaries[name, divergence] = train_dictionary(
                        [examples[name]], rank, divergence=divergence, iterations=iterations
                    )
            separator = Nmf(
                divergence,
                dictionaries=[dictionaries[name, divergence] for name in (first, second)],
                iterations=iterations,
            )
            start = time.perf_counter()
            estimates = separator(mixture[None, None], sample_rate=SAMPLE_RATE)[0]
            seconds[f"nmf.{divergence}"] = seconds.get(f"nmf.{divergence}", 0) + time.perf_counter() - start
            order = [separator.labels[0].index(f"dictionary {k}") for k in (1, 2)]
            note(f"nmf.{divergence}", estimates[order])
        note("ideal ratio mask", ideal_ratio_mask(references))
    same = np.array(alike)
    audio = sum_seconds(people, count, seed)
    return {
        name: {
            "si_sdr_improvement_db": round(float(np.mean(values)), 2),
            "interval_95": interval(np.array(values)),
            "same_sex_db": round(float(np.array(values)[same].mean()), 2),
            "different_sex_db": round(float(np.array(values)[~same].mean()), 2),
            "worst_db": round(float(np.min(values)), 2),
            "real_time_factor": round(seconds[name] / audio, 3) if name in seconds else None,
            "each_db": [round(value, 2) for value in values],
        }
        for name, values in scores.items()
    } | {"same_sex_mixtures": int(same.sum())}


def sum_seconds(people: dict[str, dict], count: int, seed: int) -> float:
    """Seconds of mixture that were separated."""
    total = 0.0
    for _, _, *files in pairs(people, count, seed):
        lengths = [soundfile.info(DATA / "speech" / file).duration for file in files]
        total += min(*lengths, MIXTURE_SECONDS[1])
    return total


def processor() -> str:
    names = Path("/proc/cpuinfo")
    for line in names.read_text().splitlines() if names.is_file() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def table(result: dict) -> str:
    lines = [
        "# NMF with trained dictionaries, two real voices, one microphone",
        "",
        f"`{result['command']}`: {result['count']} mixtures of test talkers at 0 dB "
        f"({result['methods']['same_sex_mixtures']} of talkers of the same sex), seed {result['seed']}, "
        f"{EXAMPLE_SECONDS:.0f} s of other utterances per talker, {result['rank']} spectra each, "
        f"{result['iterations']} iterations. The real-time factor leaves out the training. "
        f"Machine: {result['machine']}.",
        "",
        "| | SI-SDRi, dB | 95 % interval | same sex | different sex | worst | real-time factor |",
        "|-|-|-|-|-|-|-|",
    ]
    for name, row in result["methods"].items():
        if isinstance(row, dict):
            low, high = row["interval_95"]
            factor = row["real_time_factor"] if row["real_time_factor"] is not None else "-"
            lines.append(
                f"| {name} | {row['si_sdr_improvement_db']} | {low} ... {high} | {row['same_sex_db']} | "
                f"{row['different_sex_db']} | {row['worst_db']} | {factor} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "command": f"python benchmarks/nmf.py --count {a.count} --seed {a.seed} --rank {a.rank} "
        f"--iterations {a.iterations}",
        "count": a.count,
        "seed": a.seed,
        "rank": a.rank,
        "iterations": a.iterations,
        "machine": f"{processor()}, one thread, torch {torch.__version__}",
        "methods": measure(a.count, a.seed, a.rank, a.iterations),
    }
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "nmf.json").write_text(json.dumps(result, indent=1) + "\n")
    (a.out / "nmf.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
