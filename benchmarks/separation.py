"""How well networks separate one microphone: clean, noisy, reverberant mixtures of test speakers nobody trained on.

    python benchmarks/separation.py --models bsrnn.2talkers_8k conv_tasnet.2talkers_8k

Sets (all of ``../shared/data``, test splits):

- clean: ``libri2mix_test_subset.csv``, the rows of Libri2Mix's test set whose talkers are both at hand (min, 8 kHz);
- noisy, reverberant, both: drawn from the same speakers, seed 0, 6 s, full overlap, noise at 0 to 15 dB, one measured
  room (RT60 0.5 to 0.75 s); a reference is the talker's image with all its reverberation;
- clean3 and so on: three talkers, drawn likewise;
- drawn_train, drawn_dev, drawn_test: clean, 4 s, of the speakers of that split: people a network has heard and others.

Results are kept by model and set, so that models can be added one by one.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from functools import cache
from pathlib import Path

import common
import numpy as np
import torch
from torch import Tensor

import unbabble
from unbabble.base import registry, weights
from unbabble.base.weights import WeightsCard
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.librimix import LibriMixSet
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.signal.metrics import sdr_sir_sar, si_sdr
from unbabble.signal.permutation import align

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
SECONDS, DRAWN_SECONDS, SNR_DB, SEED = 6.0, 4.0, (0.0, 15.0), 0
MIXTURE = "mixture"
CONDITIONS = ("clean", "noisy", "reverberant", "both")
TABLES = {
    "Two talkers": [*CONDITIONS],
    "Three talkers": [f"{name}3" for name in CONDITIONS],
    "Two talkers, drawn from the speakers of each split": ["drawn_train", "drawn_dev", "drawn_test"],
}
PUBLISHED = """\
Published, other data: on all of Libri2Mix (clean, min, 8 kHz), trained on its 212 hours: Conv-TasNet 14.7 dB, SepFormer
20.2 dB SI-SNRi. On Libri3Mix: Conv-TasNet 10.4, SepFormer 18.2. On WHAM! (noise) Conv-TasNet 12.7, SepFormer 16.4; on
WHAMR! (noise and reverberation) 8.3 and 14.0. Ours have heard 4.4 hours of clean speech by 277 speakers."""


def test_set(name: str, count: int, sample_rate: int):
    """(mixture, sources) of a set."""
    talkers = 3 if name.endswith("3") else 2
    kind, _, split = name.removesuffix("3").partition("_")
    if name == "clean":
        ready = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech/test", "min", sample_rate)
        items = (ready[index] for index in range(min(count or len(ready), len(ready))))
    else:
        noisy, echoing = kind in ("noisy", "both"), kind in ("reverberant", "both")
        mixing = DynamicMixing(
            DATA / "speech.csv",
            split or "test",
            talkers=(talkers,),
            seconds=DRAWN_SECONDS if split else SECONDS,
            sample_rate=sample_rate,
            noise=DATA / "noise.csv" if noisy else None,
            noise_share=float(noisy),
            snr_db=SNR_DB,
            rooms=DATA / "rir.csv" if echoing else None,
            room_share=float(echoing),
        )
        made = DynamicMixtures(mixing, SEED)
        items = (made[index] for index in range(count or 100))
    for item in items:
        yield torch.from_numpy(np.ascontiguousarray(item.mixture)), torch.from_numpy(item.sources)


@cache
def baseline(name: str, count: int, sample_rate: int) -> list[tuple[Tensor, Tensor]]:
    """SI-SDR and SDR of the mixture itself, for each item of a set."""
    return [
        (si_sdr(plain, sources), sdr_sir_sar(plain, sources)[0])
        for mixture, sources in test_set(name, count, sample_rate)
        for plain in [mixture.expand_as(sources)]
    ]


def score(network: NeuralSeparator | None, name: str, count: int, sample_rate: int) -> dict[str, float]:
    gains = {"si_snri": [], "sdri": []}
    seconds = audio = 0.0
    items = zip(test_set(name, count, sample_rate), baseline(name, count, sample_rate), strict=True)
    for (mixture, sources), (plain_si_sdr, plain_sdr) in items:
        began = time.perf_counter()
        estimates = mixture.expand(len(sources), -1) if network is None else network(mixture[None, None])[0]
        seconds += time.perf_counter() - began
        audio += len(mixture) / sample_rate
        found = align(estimates, sources)
        ordered = torch.where(found.estimates.abs().amax(-1, keepdim=True) > 0, found.estimates, mixture)
        gains["si_snri"].append(float((si_sdr(ordered, sources) - plain_si_sdr).mean()))
        gains["sdri"].append(float((sdr_sir_sar(ordered, sources)[0] - plain_sdr).mean()))
    result: dict[str, float] = {"items": len(gains["si_snri"]), "real_time_factor": seconds / audio}
    rng = np.random.default_rng(0)
    for metric, values in gains.items():
        means = np.mean(np.array(values)[rng.integers(len(values), size=(2000, len(values)))], axis=1)
        result |= {metric: float(np.mean(values)), f"{metric}_low": float(np.quantile(means, 0.025))}
        result |= {f"{metric}_high": float(np.quantile(means, 0.975))}
    return result


def table(results: dict[str, dict], sets: list[str]) -> str:
    """The models that were scored on any of these sets."""
    names = ["model", "parameters", "GMAC/s", "real-time factor", "wall hours of training"]
    lines = ["| " + " | ".join([*names, *sets]) + " |", "|" + "-|" * (len(names) + len(sets))]
    for model, row in results.items():
        found = [row["sets"].get(name) for name in sets]
        factors = [each["real_time_factor"] for each in found if each and "parameters" in row]
        if not any(found):
            continue
        factor = f"{float(np.median(factors)):.3f}" if factors else ""
        cells = [model, row.get("parameters", ""), row.get("gmacs", ""), factor, row.get("hours", "")]
        shown = "{si_snri:.2f} ({si_snri_low:.2f} to {si_snri_high:.2f}; {sdri:.2f})"
        cells += [shown.format(**each) if each else "" for each in found]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def tables(results: dict[str, dict]) -> str:
    """One for each kind of set."""
    known = {name for row in results.values() for name in row["sets"]}
    parts = []
    for title, sets in TABLES.items():
        if there := [name for name in sets if name in known]:
            parts.append(
                f"{title}: SI-SNRi (95 % interval over mixtures; SDRi), dB\n\n{table(results, there)}"
            )
    return "\n\n".join(parts)


def _packaged() -> list[str]:
    return [name for name in sorted(weights.packaged()) if registry.find(name)[0].contract == "separator"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=_packaged())
    parser.add_argument("--sets", nargs="*", default=[*CONDITIONS])
    parser.add_argument("--items", type=int, default=0, help="of each set; 308 and 100 by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="separation")
    parser.add_argument("--card", type=Path, help="write the scores into the card of this weights file")
    parser.add_argument("--report", action="store_true", help="only the table, from what is kept")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = common.load(arguments.name)
    if arguments.report:
        return report(arguments.name, result)
    results = result.setdefault("models", {})
    commands = result.setdefault("commands", [])
    commands += [common.command()] * (common.command() not in commands)
    result |= {"machine": common.machine(), "threads": arguments.threads}
    for model in [MIXTURE, *arguments.models]:
        network = None if model == MIXTURE else unbabble.load(model).separator(model)
        rate = network.sample_rate if network is not None else 8000
        label = Path(model).parent.name if model.endswith(weights.SUFFIX) else model
        row = results.setdefault(label, {"sets": {}})
        if network is not None:
            row["parameters"] = parameter_count(network)
            row["hours"] = networks.load(model).card.training.get("hours", "")
            row["gmacs"] = round(macs_per_second(network) / 1e9, 3)
        for name in arguments.sets:
            if network is not None and network.sources != (3 if name.endswith("3") else 2):
                continue
            if network is None and name in row["sets"]:
                continue
            row["sets"][name] = score(network, name, arguments.items, rate)
            print(label, name, {key: round(value, 3) for key, value in row["sets"][name].items()}, flush=True)
        common.save(arguments.name, result)
        if arguments.card and network is not None:
            write_scores(arguments.card, row["sets"])
    report(arguments.name, result)


def report(name: str, result: dict) -> None:
    """The table, from what is kept."""
    made = "\n".join(f"    {each}" for each in result["commands"])
    machine = result["machine"]
    text = (
        f"{tables(result['models'])}\n\n"
        f"Real-time factors of the last run: {result['threads']} thread(s).\n\n{PUBLISHED}\n\n"
        f"{machine['cpu']}, {machine['date']}; seed {SEED}. Made by\n\n{made}\n"
    )
    (RESULTS / f"{name}.md").write_text(text)
    print(text)


def write_scores(path: Path, sets: dict[str, dict[str, float]]) -> None:
    scores = {
        name: {
            "si_snri_db": round(found["si_snri"], 2),
            "sdri_db": round(found["sdri"], 2),
            "items": found["items"],
        }
        for name, found in sets.items()
        if math.isfinite(found["si_snri"])
    }
    put_scores(path, scores)


def put_scores(path: Path, scores: dict[str, dict[str, float]]) -> None:
    """Put the scores into the card of a weights file; its tensors stay as they are."""
    card = weights.read_card(path)
    content = card.to_dict() | {"scores": card.scores | scores}
    half = any(
        each["dtype"] == "F16" for name, each in weights.read_header(path).items() if name != "__metadata__"
    )
    weights.save(path, weights.read_tensors(path), WeightsCard(**content), half=half)


if __name__ == "__main__":
    main()
