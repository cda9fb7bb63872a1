"""Networks that separate, scored on the same sets; results are kept by model and set, so that models can be added.

Sets (all of ``../shared/data``, test splits):

- clean: ``libri2mix_test_subset.csv``, the rows of Libri2Mix's test set whose talkers are both at hand (min, 8 kHz);
- noisy, reverberant, both: drawn from the same speakers, seed 0, 6 s, full overlap, noise at 0 to 15 dB, one measured
  room (RT60 0.5 to 0.75 s); a reference is the talker's image with all its reverberation;
- clean3 and so on: three talkers, drawn likewise;
- drawn_train, drawn_dev, drawn_test: clean, 4 s, of the speakers of that split: people a network has heard and others.
"""

import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.scenes import DATA, drawn, items
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import weights
from unbabble.data.librimix import LibriMixSet
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines.separate import load
from unbabble.signal.metrics import sdr_sir_sar, si_sdr
from unbabble.signal.permutation import align
from unbabble.signal.statistics import bootstrap

SEED, MIXTURE, MOST_DRAWN = 0, "mixture", 100
CONDITIONS = ("clean", "noisy", "reverberant", "both")
THREE = tuple(f"{name}3" for name in CONDITIONS)
TABLES = {
    "Two talkers": CONDITIONS,
    "Three talkers": THREE,
    "Two talkers, drawn from the speakers of each split": ("drawn_train", "drawn_dev", "drawn_test"),
}
HEAD = ("model", "parameters", "GMAC/s", "real-time factor", "wall hours of training")
PUBLISHED = """\
Published, other data: on all of Libri2Mix (clean, min, 8 kHz), trained on its 212 hours: Conv-TasNet 14.7 dB, SepFormer
20.2 dB SI-SNRi. On Libri3Mix: Conv-TasNet 10.4, SepFormer 18.2. On WHAM! (noise) Conv-TasNet 12.7, SepFormer 16.4; on
WHAMR! (noise and reverberation) 8.3 and 14.0. Ours have heard 4.4 hours of clean speech by 277 speakers."""


def test_set(name: str, count: int, sample_rate: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(mixture, sources) of a set, all of it (or 100 that are drawn) where ``count`` is 0."""
    kind, _, split = name.removesuffix("3").partition("_")
    if name == "clean":
        made = LibriMixSet(DATA / "libri2mix_test_subset.csv", DATA / "speech/test", "min", sample_rate)
        for item in (made[index] for index in range(min(count or len(made), len(made)))):
            yield torch.from_numpy(np.ascontiguousarray(item.mixture)), torch.from_numpy(item.sources)
        return
    noisy, echoing = kind in ("noisy", "both"), kind in ("reverberant", "both")
    options = {"seconds": 4.0 if split else 6.0, "sample_rate": sample_rate}
    mixing = drawn(split or "test", 3 if name.endswith("3") else 2, noisy, echoing, **options)
    for (mixture,), sources in items(mixing, count or MOST_DRAWN, SEED):
        yield mixture, sources


@cache
def baseline(name: str, count: int, sample_rate: int) -> list[tuple[Tensor, Tensor]]:
    """SI-SDR and SDR of the mixture itself, for each item of a set."""
    return [
        (si_sdr(plain, sources), sdr_sir_sar(plain, sources)[0])
        for mixture, sources in test_set(name, count, sample_rate)
        for plain in [mixture.expand_as(sources)]
    ]


def score(network: NeuralSeparator | None, name: str, count: int, sample_rate: int) -> dict[str, float]:
    """Gains over the mixture with their intervals; None is the mixture itself."""
    gains: dict[str, list[float]] = {"si_snri": [], "sdri": []}
    seconds = audio = 0.0
    pairs = zip(test_set(name, count, sample_rate), baseline(name, count, sample_rate), strict=True)
    for (mixture, sources), (plain_si_sdr, plain_sdr) in pairs:
        began = time.perf_counter()
        estimates = mixture.expand(len(sources), -1) if network is None else network(mixture[None, None])[0]
        seconds, audio = seconds + time.perf_counter() - began, audio + len(mixture) / sample_rate
        aligned = align(estimates, sources).estimates
        ordered = torch.where(aligned.abs().amax(-1, keepdim=True) > 0, aligned, mixture)
        gains["si_snri"].append(float((si_sdr(ordered, sources) - plain_si_sdr).mean()))
        gains["sdri"].append(float((sdr_sir_sar(ordered, sources)[0] - plain_sdr).mean()))
    result: dict[str, float] = {"items": len(gains["si_snri"]), "real_time_factor": seconds / audio}
    rng = np.random.default_rng(0)
    for metric, values in gains.items():
        keys = (metric, f"{metric}_low", f"{metric}_high")
        result |= dict(zip(keys, bootstrap(values, seed=rng), strict=True))
    return result


def scored(
    before: dict, models: Sequence[str], sets: Sequence[str], count: int, threads: int
) -> Iterator[dict]:
    """``before`` with the scores of these models, one after another."""
    before["threads"] = threads
    before.pop("machine", None)  # the one of the last run is named
    for model in [MIXTURE, *models]:
        network = None if model == MIXTURE else load(model).separator()
        label = Path(model).parent.name if model.endswith(weights.SUFFIX) else model
        row = before.setdefault("models", {}).setdefault(label, {"sets": {}})
        if network is not None:
            row["parameters"] = parameter_count(network)
            row["hours"] = networks.load(model).card.training.get("hours", "")
            row["gmacs"] = round(macs_per_second(network) / 1e9, 3)
        for name in sets:
            fits = name not in row["sets"] if network is None else network.sources == 2 + name.endswith("3")
            if fits:
                row["sets"][name] = score(network, name, count, network.sample_rate if network else 8000)
                print(label, name, row["sets"][name], flush=True)
        yield before


def rows_of(results: dict[str, dict], sets: Sequence[str]) -> Iterator[list[object]]:
    """Of the models that were scored on any of these sets."""
    shown = "{si_snri:.2f} ({si_snri_low:.2f} to {si_snri_high:.2f}; {sdri:.2f})"
    for model, row in results.items():
        scores = [row["sets"].get(name) for name in sets]
        factors = [each["real_time_factor"] for each in scores if each and "parameters" in row]
        if any(scores):
            factor = f"{float(np.median(factors)):.3f}" if factors else ""
            cost = [row.get("parameters", ""), row.get("gmacs", ""), factor, row.get("hours", "")]
            yield [model, *cost, *(shown.format(**each) if each else "" for each in scores)]


def table(result: dict) -> str:
    """A table for each kind of set."""
    blocks = []
    known = {name for row in result["models"].values() for name in row["sets"]}
    for title, sets in TABLES.items():
        if there := [name for name in sets if name in known]:
            blocks.append(f"{title}: SI-SNRi (95 % interval over mixtures; SDRi), dB")
            blocks.append(grid([*HEAD, *there], rows_of(result["models"], there)))
    return page(
        *blocks,
        f"Real-time factors of the last run: {result['threads']} thread(s).",
        PUBLISHED,
        made_by(result, seed=SEED),
    )
