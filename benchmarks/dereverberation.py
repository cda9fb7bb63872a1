"""What taking reverberation away does to separation: AuxIVA, WPE and then AuxIVA, and T-ISS, which does both at once.

The mixtures of ``mixtures.py``: real voices, measured room (RT60 0.5 to 0.75 s), test splits, two talkers. Each is
scored three times: against the talkers' whole images at the first microphone, against their first 50 ms, and against
their direct sound. What removes reverberation loses on the first and gains on the others. Taps, delay and window of
``tiss`` were chosen on the dev splits of voices and room states::

    OMP_NUM_THREADS=1 python benchmarks/dereverberation.py --count 12 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/dereverberation.py --quick      # three mixtures, nothing written
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from itertools import permutations
from pathlib import Path

import mixtures as scenes
import numpy as np
import torch

import unbabble
from unbabble.data.mixing import EARLY_SECONDS, Mixture, MixtureSet, Reference
from unbabble.data.rooms import MeasuredRooms
from unbabble.signal.metrics import si_sdr_matrix

RESULTS = Path(__file__).parent / "results"
REFERENCES: tuple[Reference, ...] = ("image", "early", "direct")
METHODS: dict[str, dict] = {
    "auxiva.iss": {"name": "auxiva.iss"},
    "tiss": {"name": "tiss", "dereverb": "joint"},
    "wpe + auxiva.iss": {"name": "auxiva.iss", "dereverb": "wpe"},
}
TALKERS = 2
OPTIONS = {"source_model": "gauss", "window_length": 4096, "sources": TALKERS}


def load(reference: Reference, count: int, seed: int, seconds: float) -> list[Mixture]:
    """The mixtures of ``mixtures.load_mixtures``, with another reference."""
    speech, responses = scenes._corpus()
    places = tuple(place for place in responses if place.room.endswith(scenes.PANELS))
    channels = scenes.MICROPHONES
    room = MeasuredRooms(places, channels=channels, distance_m=scenes.DISTANCE_M)
    mixtures = MixtureSet(
        speech=speech,
        room=room,
        talkers=TALKERS,
        microphones=len(channels),
        seconds=seconds,
        count=count,
        seed=seed,
        reference=reference,
    )
    return [mixtures[index] for index in range(count)]


def improvement(estimates: torch.Tensor, references: torch.Tensor, heard: torch.Tensor) -> float:
    """Mean SI-SDR over talkers less that of the unprocessed microphone, best assignment, dB."""
    before = si_sdr_matrix(heard.expand_as(references), references).diagonal().mean()
    after = si_sdr_matrix(estimates, references)
    orders = permutations(range(len(estimates)), len(references))
    return float(max(after[list(order), range(len(references))].mean() for order in orders) - before)


def interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """95 % bootstrap interval of the mean over recordings."""
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (2000, len(values))).mean(1)
    return [round(float(x), 2) for x in np.percentile(means, [2.5, 97.5])]


def measure(microphones: int, method: str, whole: dict[Reference, list[Mixture]]) -> dict:
    """One row: the scores of every mixture against every reference."""
    model = unbabble.load(**METHODS[method], **OPTIONS, device="cpu")
    scores: dict[Reference, list[float]] = {name: [] for name in REFERENCES}
    spent = 0.0
    for index, item in enumerate(whole["image"]):
        mixture = torch.from_numpy(item.mixture[:microphones].copy())
        if index == 0:  # compile
            model(mixture[:, : item.sample_rate], item.sample_rate)
        started = time.process_time()
        separated = model(mixture, item.sample_rate).sources
        spent += time.process_time() - started
        for name in REFERENCES:
            references = torch.from_numpy(whole[name][index].references).float()
            scores[name].append(improvement(separated, references, mixture[0]))
    row: dict = {
        "method": method,
        "microphones": microphones,
        "cpu_seconds": round(spent / len(whole["image"]), 2),
    }
    for name, values in scores.items():
        mean = round(float(np.mean(values)), 2)
        row[name] = {
            "mean": mean,
            "interval": interval(np.array(values)),
            "values": [round(value, 2) for value in values],
        }
    return row


def processor() -> str:
    """The processor's name, as the machine gives it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(results: dict) -> str:
    a = results["arguments"]
    early = 1000 * EARLY_SECONDS["early"]
    lines = [
        "# Two talkers in an echoing room: with and without their reverberation",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/dereverberation.py --count {a['count']} --seed {a['seed']}`: "
        f"{a['count']} mixtures of {a['seconds']:g} s, two test talkers 1.5 or 2 m away, "
        "measured room with RT60 0.5 to 0.75 s, sensor noise 30 dB below. "
        "SI-SDR improvement in dB over the first microphone, with the 95 % interval of the mean, "
        f"against three references: the talker's whole image there, its first {early:g} ms, and its direct sound. "
        f"All with the Gauss source model, a window of {OPTIONS['window_length']} samples and otherwise the "
        "defaults. CPU seconds for one mixture, one thread. "
        f"Machine: {results['machine']}, "
        f"torch {results['torch']}, unbabble {results['unbabble']}.",
        "",
        "| method | microphones | whole image | early | direct | CPU seconds |",
        "|-|-|-|-|-|-|",
    ]
    for row in results["rows"]:
        cells = ["{:.2f} ({:.1f} ... {:.1f})".format(row[n]["mean"], *row[n]["interval"]) for n in REFERENCES]
        lines.append(
            f"| {row['method']} | {row['microphones']} | {' | '.join(cells)} | {row['cpu_seconds']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=scenes.SECONDS)
    parser.add_argument("--microphones", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--quick", action="store_true", help="three mixtures, nothing written")
    a = parser.parse_args()
    torch.set_num_threads(1)
    count = 3 if a.quick else a.count
    arguments = {"count": count, "seed": a.seed, "seconds": a.seconds}
    whole: dict[Reference, list[Mixture]] = {name: load(name, **arguments) for name in REFERENCES}
    file = RESULTS / "dereverberation.json"
    rows: dict[tuple[str, int], dict] = {}
    if file.exists() and not a.quick:
        known = json.loads(file.read_text())
        if known["arguments"] == arguments:  # a part measured anew joins the rest
            rows = {(row["method"], row["microphones"]): row for row in known["rows"]}
    for microphones in a.microphones:
        for method in a.methods:
            row = rows[method, microphones] = measure(microphones, method, whole)
            print(
                method, microphones, *(f"{name} {row[name]['mean']:.2f}" for name in REFERENCES), flush=True
            )
    results = {
        "arguments": arguments,
        "machine": processor(),
        "torch": torch.__version__,
        "unbabble": unbabble.__version__,
        "rows": [rows[key] for key in sorted(rows, key=lambda key: (key[1], list(METHODS).index(key[0])))],
    }
    if a.quick:
        print(table(results))
        return
    RESULTS.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    file.with_suffix(".md").write_text(table(results))


if __name__ == "__main__":
    main()
