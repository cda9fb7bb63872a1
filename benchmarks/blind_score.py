"""Blind SI-SNR: how near are estimates to the truth, on talkers, rooms, noises and separators nobody trained on?

    python benchmarks/blind_score.py train --runs runs/blind      # pool, single, and pools without one separator each
    python benchmarks/blind_score.py score --runs runs/blind

Every estimator learns from ``configs/corpora/separated.yaml`` (a *pool* of separators), from one separator of it
(*single*), or from all but one family (*left out*), with the same steps and seed. Test mixtures are of test speakers,
test noises and the test states of the measured room, 4 s; each is separated by all. ``score`` also takes other weights:
``--weights NAME=FILE``.

Truth: SI-SNR against the talker that the best assignment gives an estimate, within -15 and 30 dB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import common
import numpy as np
import torch
import yaml
from scipy.stats import pearsonr, spearmanr

from unbabble import networks
from unbabble.base.config import load_yaml
from unbabble.data.dynamic import DynamicMixing
from unbabble.nn.scorer import HIGHEST_DB, LOWEST_DB, NeuralScorer, true_db
from unbabble.separated import Separated, SeparatedMixtures, SeparatedPart
from unbabble.signal.metrics import si_sdr

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "configs" / "corpora" / "separated.yaml"
RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED = "blind_score", 0
SINGLE = "sepformer.2talkers_8k"
FAMILIES = ("huang2014", "deep_clustering", "conv_tasnet", "dprnn", "sepformer", "bsrnn", "blind")
PUBLISHED = """\
Published (Subakan et al., ICASSP 2022; WSJ0 and LibriMix voices, WHAMR! rooms and noises, separators trained for days):
Pearson correlation .79 to .87 by separator and condition, mean absolute error 1.7 dB over scores within 0 to 10 dB."""


def family(separator: str) -> str:
    """The method behind a separator's name."""
    name = Path(separator).parent.name.partition("-")[0] if "/" in separator else separator.partition(".")[0]
    return "blind" if name in ("auxiva", "ilrma", "tiss") else name


def sections() -> dict[str, dict]:
    """The parts that estimators learn from."""
    return load_yaml(CORPUS)["train"]["parts"]


def pool() -> list[str]:
    return sorted({name for part in sections().values() for name in part["separators"]})


def test_sets(items: int) -> dict[str, SeparatedMixtures]:
    parts = sections()
    nets, blind = (tuple(parts[name]["separators"]) for name in ("one_microphone", "two_microphones"))
    speech = DATA / "speech.csv"

    def made(
        talkers: int, noisy: float, echoing: float, count: int, microphones: int = 1
    ) -> SeparatedMixtures:
        mixing = DynamicMixing(
            speech,
            "test",
            talkers=(talkers,),
            seconds=4.0,
            level_spread_db=2.5,
            overlap=(0.7, 1.0),
            noise=DATA / "noise.csv" if noisy else None,
            noise_share=noisy,
            snr_db=(0.0, 15.0) if microphones == 1 else (5.0, 25.0),
            rooms=DATA / "rir.csv" if echoing else None,
            room_share=echoing,
            microphones=microphones,
        )
        separators = nets if microphones == 1 else blind
        return SeparatedMixtures(SeparatedPart(mixing, separators, items=count), SEED)

    return {
        "clean": made(2, 0, 0, items),
        "noisy, reverberant": made(2, 1, 1, items),
        "three talkers": made(3, 0.5, 0.5, items // 2),
        "one talker": made(1, 0.7, 0.5, items // 3),
        "two microphones": made(2, 0.5, 1, items // 2, 2),
        "three microphones": made(3, 0.5, 1, items // 3, 3),
    }


def truth(item: Separated) -> np.ndarray:
    true, _ = true_db(torch.from_numpy(item.estimates)[None], torch.from_numpy(item.references)[None])
    return true[0].clamp(LOWEST_DB, HIGHEST_DB).numpy()


def told(network: NeuralScorer, item: Separated) -> np.ndarray:
    """(3, source): score, low, high."""
    found = network.scores(torch.from_numpy(item.mixture)[None], torch.from_numpy(item.estimates)[None])
    return torch.stack([each[0] for each in found]).numpy()


def likeness(item: Separated) -> np.ndarray:
    """A trivial baseline: how unlike the mixture an estimate is, in dB."""
    estimates = torch.from_numpy(item.estimates)
    found = -si_sdr(estimates, torch.from_numpy(item.mixture).expand_as(estimates)).clamp(-30, 30).numpy()
    return np.stack([found] * 3)


def measured(rows: list[dict]) -> dict[str, float]:
    """Of estimates ``rows``: correlation, mean absolute error, share within intervals, ranking by recording."""
    true, db, low, high = (
        np.concatenate([row[key] for row in rows]) for key in ("true", "db", "low", "high")
    )
    by_mixture = defaultdict(list)
    for row in rows:
        by_mixture[row["set"], row["mixture"]].append((row["true"].mean(), row["db"].mean()))
    ranks = [spearmanr(*zip(*pairs, strict=True))[0] for pairs in by_mixture.values() if len(pairs) > 3]
    result = {
        "estimates": len(true),
        "pearson": float(pearsonr(true, db)[0]),
        "error_db": float(np.abs(true - db).mean()),
        "bias_db": float((db - true).mean()),
        "constant_error_db": float(np.abs(true - np.median(true)).mean()),
        "held": float(((low <= true) & (true <= high)).mean()),
        "width_db": float((high - low).mean()),
    }
    inside = (true >= 0) & (true <= 10)
    result["error_0_to_10_db"] = float(np.abs(true - db)[inside].mean()) if inside.any() else float("nan")
    if ranks:
        result["rank"] = float(np.nanmean(ranks))
    return result


def evaluate(estimators: dict[str, NeuralScorer | None], sets: dict[str, SeparatedMixtures]) -> list[dict]:
    """One row for each estimator, mixture and separator."""
    rows = []
    for name, mixtures in sets.items():
        for number in range(len(mixtures)):
            for item in mixtures.of(number):
                true = truth(item)
                for label, network in estimators.items():
                    db, low, high = likeness(item) if network is None else told(network, item)
                    about = {"estimator": label, "set": name, "mixture": number, "separator": item.separator}
                    rows.append(about | {"true": true, "db": db, "low": low, "high": high})
        print(name, flush=True)
    return rows


def train(arguments: argparse.Namespace) -> None:
    arguments.runs.mkdir(parents=True, exist_ok=True)
    names = pool()
    for run in arguments.what:
        if run == "single":
            leave_out = [name for name in names if name != SINGLE]
        elif run.startswith("no_"):
            leave_out = [name for name in names if family(name) == run.removeprefix("no_")]
        else:
            leave_out = []
        recipe = arguments.runs / f"{run}.yaml"
        recipe.write_text(yaml.safe_dump({"train": {"leave_out": leave_out}}))
        command = [
            sys.executable,
            "-m",
            "unbabble.cli",
            "train",
            str(arguments.config),
            str(CORPUS),
            str(recipe),
        ]
        command += ["--out", str(arguments.runs / run), "--resume", "--device", "cpu"]
        for change in arguments.set:
            command += ["--set", change]
        subprocess.run(command, check=True)


def score(arguments: argparse.Namespace) -> None:
    weights = {path.parent.name: path for path in sorted(arguments.runs.glob("*/best.safetensors"))}
    weights |= {name: Path(path) for name, path in (each.split("=", 1) for each in arguments.weights)}
    estimators: dict[str, NeuralScorer | None] = {"unlike the mixture": None}
    for label, path in weights.items():
        network = networks.load_network(str(path)).network
        assert isinstance(network, NeuralScorer)
        estimators[label] = network
    rows = evaluate(estimators, test_sets(arguments.items))
    for label in estimators:
        mine = [row for row in rows if row["estimator"] == label]
        print(f"\n{label}: {common.rounded(measured(mine), 3)}")
        for name in dict.fromkeys(row["set"] for row in mine):
            print("   ", name, common.rounded(measured([row for row in mine if row["set"] == name]), 3))
        for name in FAMILIES:
            if there := [row for row in mine if family(row["separator"]) == name]:
                print("       ", name, common.rounded(measured(there), 3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument(
        "--what", nargs="*", default=["pool", "single", *(f"no_{name}" for name in FAMILIES)]
    )
    training.add_argument("--config", type=Path, default=ROOT / "configs" / "blind_sisnr_bands.yaml")
    training.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    training.set_defaults(call=train)
    scoring = commands.add_parser("score")
    scoring.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE")
    scoring.add_argument("--items", type=int, default=60)
    scoring.set_defaults(call=score)
    for each in (training, scoring):
        each.add_argument("--runs", type=Path, default=Path("runs/blind"))
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
