"""Blind SI-SNR: how near are estimates to the truth, on talkers, rooms, noises and separators nobody trained on?

    unbabble train configs/blind_sisnr_bands.yaml configs/corpora/separated.yaml --out runs/scorer    # the packaged one
    python benchmarks/blind_score.py train --runs runs/blind --set steps=2000        # the others
    python benchmarks/blind_score.py score --runs runs/blind --weights pool=runs/scorer/best.safetensors

Every estimator learns from ``configs/corpora/separated.yaml``: from a *pool* of separators (*brief*: in as few steps
as the following), from one separator of it (*single*), or from all but one family (*unheard*: leave one out). Test
mixtures are of test speakers, test noises and the test states of the measured room, of 4 and of 8 seconds; each is
separated by all separators.

Truth: SI-SNR against the talker that the best assignment gives an estimate, within -15 and 30 dB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
import torch
import yaml
from scipy.stats import pearsonr, spearmanr
from separation import put_scores

from unbabble.base.config import load_yaml, parse_assignments
from unbabble.data.dynamic import DynamicMixing
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import HIGHEST_DB, LOWEST_DB, NeuralScorer, true_db
from unbabble.signal.metrics import si_sdr
from unbabble.training.sets.separated import (
    ScoredItem,
    ScoredItems,
    Separated,
    SeparatedData,
    SeparatedMixtures,
    SeparatedPart,
)

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "configs" / "corpora" / "separated.yaml"
RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, NO, SECONDS = "blind_score", 0, "no_", (4.0, 8.0)
SINGLE = "sepformer.2talkers_8k"
FAMILIES = ("huang2014", "deep_clustering", "conv_tasnet", "sepformer", "bsrnn", "blind")
CONDITIONS = {"clean": ("clean",), "noisy, reverberant": ("noisy, reverberant",)}
ARRAYS = ("two microphones", "three microphones", "seven microphones")
WHOLE, DEGRADED_ITEMS, BINS = "made better or worse", 500, 10
TEST_ITEMS = 30
BASELINE, PUBLISHED_LABEL = "unlike the mixture", "published"
"""Both without intervals of their own."""
PUBLISHED = """\
Published (Subakan et al., ICASSP 2022; WSJ0 and LibriMix voices, WHAMR! rooms and noises, separators trained for days):
Pearson correlation .79 to .87 by separator and condition, mean absolute error 1.7 dB over scores within 0 to 10 dB."""


def family(separator: str) -> str:
    """The method behind a separator's name."""
    name = Path(separator).parent.name.partition("-")[0] if "/" in separator else separator.partition(".")[0]
    return "blind" if name in ("auxiva", "ilrma", "tiss") else name


def sections(corpus: Path = CORPUS) -> dict[str, dict]:
    """The parts that estimators learn from."""
    return load_yaml(corpus)["train"]["parts"]


def pool() -> list[str]:
    return sorted({name for part in sections().values() for name in part["separators"]})


def sets_to_test(
    items: int, seconds: float = SECONDS[0], corpus: Path = CORPUS
) -> dict[str, SeparatedMixtures]:
    parts = sections(corpus)
    names = {1: "one_microphone", 2: "two_microphones", 3: "three_microphones", 7: "seven_microphones"}
    speech = DATA / "speech.csv"

    def made(
        talkers: int, noisy: float, echoing: float, count: int, microphones: int = 1
    ) -> SeparatedMixtures:
        mixing = DynamicMixing(
            speech,
            "test",
            talkers=(talkers,),
            seconds=seconds,
            level_spread_db=2.5,
            overlap=(0.7, 1.0),
            noise=DATA / "noise.csv" if noisy else None,
            noise_share=noisy,
            snr_db=(0.0, 15.0) if microphones == 1 else (5.0, 25.0),
            rooms=DATA / "rir.csv" if echoing else None,
            room_share=echoing,
            microphones=microphones,
        )
        part = parts[names[microphones]]
        separators, options = tuple(part["separators"]), part.get("options", {})
        return SeparatedMixtures(SeparatedPart(mixing, separators, items=count, options=options), SEED)

    return {
        "clean": made(2, 0, 0, items),
        "noisy, reverberant": made(2, 1, 1, items),
        "three talkers": made(3, 0.5, 0.5, items // 2),
        "one talker": made(1, 0.7, 0.5, items // 3),
        "two microphones": made(2, 0.5, 1, items // 2, 2),
        "three microphones": made(3, 0.5, 1, items // 3, 3),
        "seven microphones": made(2, 0.5, 1, items // 3, 7),
    }


def truth(item: Separated | ScoredItem) -> np.ndarray:
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
        by_mixture[row["set"], row.get("seconds"), row["mixture"]].append(
            (row["true"].mean(), row["db"].mean())
        )
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


def numbered(mixtures: SeparatedMixtures | ScoredItems) -> Iterator[tuple[int, Separated]]:
    """What separators made of each mixture, with its number."""
    if isinstance(mixtures, SeparatedMixtures):
        yield from ((number, item) for number in range(len(mixtures)) for item in mixtures.of(number))
        return
    for number in range(DEGRADED_ITEMS):
        mixture, estimates, references = mixtures[number]
        there = (np.abs(estimates).max(-1) > 0) & (np.abs(references).max(-1) > 0)
        if there.any():
            yield number, Separated(mixture, estimates[there], references[there], references[there], WHOLE)


def evaluate(
    estimators: dict[str, NeuralScorer | None], sets: dict[str, SeparatedMixtures] | dict[str, ScoredItems]
) -> list[dict]:
    """One row for each estimator, mixture and separator."""
    rows = []
    for name, mixtures in sets.items():
        for number, item in numbered(mixtures):
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
        elif run.startswith(NO):
            leave_out = [name for name in names if family(name) in run.removeprefix(NO).split("+")]
        else:
            leave_out = []
        recipe = arguments.runs / f"{run}.yaml"
        sections = {section: {"leave_out": leave_out} for section in ("train", "validation")}
        recipe.write_text(yaml.safe_dump(sections))
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
    estimators: dict[str, NeuralScorer | None] = {BASELINE: None}
    left_out: dict[str, list[str]] = {}
    for label, path in weights.items():
        place, _, changed = str(path).partition("?")
        network = networks.load(place, **parse_assignments([changed] if changed else [])).network
        assert isinstance(network, NeuralScorer)
        estimators[label] = network
        if label.startswith(NO):
            left_out |= {name: [*left_out.get(name, []), label] for name in label.removeprefix(NO).split("+")}
    rows, sets = [], {}
    for seconds in arguments.seconds:
        found_sets = sets_to_test(arguments.items, seconds, arguments.corpus)
        sets[seconds] = found_sets
        rows += [row | {"seconds": seconds} for row in evaluate(estimators, found_sets)]
    shortest = sets[min(sets)]
    whole = evaluate({"pool": estimators["pool"]}, {WHOLE: whole_range(shortest)})
    found = {
        "machine": common.machine(),
        "command": common.command(),
        "seed": SEED,
        "estimators": {
            label: {
                "parameters": sum(each.numel() for each in network.parameters()) if network else 0,
                "all": measured(picked(rows, label)),
                "sets": {
                    name: measured(picked(rows, label, sets=(name,)))
                    for name in dict.fromkeys(row["set"] for row in rows)
                },
            }
            for label, network in estimators.items()
        },
        "seconds": {
            label: {
                f"{seconds:g}": measured([row for row in picked(rows, label) if row["seconds"] == seconds])
                for seconds in arguments.seconds
            }
            for label in estimators
        },
        "whole_range": measured(whole),
        "separators": by_separator(rows, left_out),
    }
    common.save(arguments.name, common.rounded(found))
    (RESULTS / f"{arguments.name}.md").write_text(text_of(common.rounded(found)))
    if arguments.card:
        put_scores(arguments.card, card_scores(common.rounded(found, 3)["estimators"]["pool"]))
    scatter(rows, whole, left_out, RESULTS / f"{arguments.name}.png")
    reliability(picked(rows, "pool"), RESULTS / f"{arguments.name}_reliability.png")
    print(text_of(common.rounded(found)))


def card_scores(pool: dict) -> dict[str, dict[str, float]]:
    """What the weights say of themselves."""
    sets = {"all": pool["all"]} | pool["sets"]
    return {name: {key: each[key] for key in ("pearson", "error_db", "held")} for name, each in sets.items()}


def picked(rows: list[dict], label: str, name: str | None = None, sets: tuple[str, ...] = ()) -> list[dict]:
    """The rows of one estimator: of one family of separators, of some sets."""
    return [
        row
        for row in rows
        if row["estimator"] == label
        and (name is None or family(row["separator"]) == name)
        and (not sets or row["set"] in sets)
    ]


def whole_range(sets: dict[str, SeparatedMixtures]) -> ScoredItems:
    """What separators made of the clean and the noisy test mixtures, made better or worse: from -15 to 30 dB."""
    parts = {"one": sets["clean"].part, "other": sets["noisy, reverberant"].part}
    return ScoredItems(SeparatedData(parts, degraded_share=1.0), SEED)


def by_separator(rows: list[dict], left_out: dict[str, list[str]]) -> dict[str, dict]:
    """Of each family and condition: by the pool, by an estimator that has not heard it, by that of one separator."""
    found: dict[str, dict] = {}
    for name in FAMILIES:
        for condition, sets in CONDITIONS.items() if name != "blind" else {"arrays": ARRAYS}.items():
            cells = {}
            for column, labels in (
                ("pool", ["pool"]),
                ("brief", ["brief"]),
                ("single", ["single"]),
                ("unheard", left_out.get(name, [])),
            ):
                if there := [row for label in labels for row in picked(rows, label, name, sets)]:
                    cells[column] = measured(there)
            if cells:
                found[f"{name}, {condition}"] = cells
    return found


def text_of(found: dict) -> str:
    """The tables."""
    labels = list(found["estimators"])
    sets = list(found["estimators"][labels[0]]["sets"])
    head = ["estimator", "parameters", "Pearson", "MAE, dB", "MAE within 0 to 10 dB", "rank", "held", *sets]
    lines = [
        "How near blind scores are to the true SI-SNR; on the right, by kind of mixture: Pearson / MAE in dB.",
        "",
        table_line(head),
        table_line("-" * len(head)),
    ]
    for label in labels:
        each = found["estimators"][label]
        whole = each["all"]
        cells = [label, each["parameters"], f"{whole['pearson']:.3f}", f"{whole['error_db']:.2f}"]
        held = "" if label in (BASELINE, PUBLISHED_LABEL) else f"{whole['held']:.3f}"
        cells += [f"{whole['error_0_to_10_db']:.2f}", f"{whole['rank']:.2f}", held]
        cells += [f"{row['pearson']:.2f} / {row['error_db']:.2f}" for row in each["sets"].values()]
        lines.append(table_line(cells))
    whole = found["estimators"]["pool"]["all"]
    constant = [f"{row['constant_error_db']:.2f}" for row in found["estimators"]["pool"]["sets"].values()]
    cells = ["always the median", 0, "", f"{whole['constant_error_db']:.2f}", "", "", ""]
    lines += [table_line([*cells, *(f"/ {each}" for each in constant)]), ""]
    if len(found.get("seconds", {}).get(labels[0], {})) > 1:
        lines += by_length(found["seconds"])
    columns = list(dict.fromkeys(column for cells in found["separators"].values() for column in cells))
    unheard = "unheard" in columns
    wide = found["whole_range"]
    lines += [
        f"{whole['estimates']} estimates. *rank*: Spearman's correlation of the separators of one recording, mean over "
        "recordings. *held*: share of true scores within the interval, of which 0.9 are promised; the pool's is "
        f"{whole['width_db']:.1f} dB wide in the mean."
        + (" *published*: REAL-M's network, trained here on the pool." if PUBLISHED_LABEL in labels else ""),
        "",
        f"Over the whole range ({wide['estimates']} estimates made better or worse, -15 to 30 dB) the pool has Pearson "
        f"{wide['pearson']:.3f}, MAE {wide['error_db']:.2f} dB, {wide['held']:.3f} held; the median alone "
        f"{wide['constant_error_db']:.2f} dB.",
        "",
        "By separator, Pearson / MAE in dB"
        + (
            "; *unheard*: the estimator never heard this family, and learnt as briefly as *brief*."
            if unheard
            else "."
        ),
        "",
        table_line(["separator", *columns]),
        table_line("-" * (1 + len(columns))),
    ]
    for name, cells in found["separators"].items():
        told = [
            f"{cells[column]['pearson']:.2f} / {cells[column]['error_db']:.2f}" if column in cells else ""
            for column in columns
        ]
        lines.append(table_line([name, *told]))
    lines += [
        "",
        PUBLISHED,
        "",
        f"{found['machine']['cpu']}, {found['machine']['date']}; seed {found['seed']}. Made by",
        "",
        f"    {found['command']}",
    ]
    return "\n".join(lines) + "\n"


def by_length(found: dict[str, dict]) -> list[str]:
    """By duration of the mixtures."""
    lengths = list(next(iter(found.values())))
    lines = ["By duration of the mixtures: Pearson / MAE in dB / held.", ""]
    lines += [
        table_line(["estimator", *(f"{each} s" for each in lengths)]),
        table_line("-" * (1 + len(lengths))),
    ]
    for label, each in found.items():
        cells = [f"{row['pearson']:.3f} / {row['error_db']:.2f} / {row['held']:.3f}" for row in each.values()]
        lines.append(table_line([label, *cells]))
    medians = [f"/ {row['constant_error_db']:.2f}" for row in next(iter(found.values())).values()]
    return [*lines, table_line(["always the median", *medians]), ""]


def table_line(cells) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def scatter(rows: list[dict], whole: list[dict], left_out: dict[str, list[str]], path: Path) -> None:
    """True against estimated score."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    unheard = [
        row for name, labels in left_out.items() for label in labels for row in picked(rows, label, name)
    ]
    panels = {
        "separators of the pool": picked(rows, "pool"),
        "separators that were left out": unheard,
        "made better or worse": whole,
    }
    panels = {title: there for title, there in panels.items() if there}
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 4.4), sharex=True, sharey=True, constrained_layout=True
    )
    for (title, there), axis in zip(panels.items(), np.atleast_1d(axes), strict=True):
        true, told = (np.concatenate([row[key] for row in there]) for key in ("true", "db"))
        image = axis.hexbin(
            true, told, gridsize=45, extent=(-15, 30, -15, 30), bins="log", mincnt=1, cmap="viridis"
        )
        axis.plot([-15, 30], [-15, 30], color="black", linewidth=0.8)
        found = measured(there)
        axis.set_title(
            f"{title}\nPearson {found['pearson']:.2f}, MAE {found['error_db']:.2f} dB", fontsize=10
        )
        axis.set(xlabel="true SI-SNR, dB", aspect="equal")
    np.atleast_1d(axes)[0].set(ylabel="estimated SI-SNR, dB")
    figure.colorbar(image, ax=axes, label="estimates", shrink=0.8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def reliability(rows: list[dict], path: Path) -> None:
    """What is promised and what is held: of the score itself, and of its interval by how wide it is."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    true, told, low, high = (
        np.concatenate([row[key] for row in rows]) for key in ("true", "db", "low", "high")
    )
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), constrained_layout=True)
    parts = np.array_split(np.argsort(told), BINS)
    axes[0].errorbar(
        [told[part].mean() for part in parts],
        [true[part].mean() for part in parts],
        [true[part].std() for part in parts],
        fmt="o-",
        capsize=3,
    )
    ends = [told.min(), told.max()]
    axes[0].plot(ends, ends, color="black", linewidth=0.8)
    axes[0].set(xlabel="estimated SI-SNR, dB", ylabel="true SI-SNR, dB (mean, deviation)")
    held = (low <= true) & (true <= high)
    parts = np.array_split(np.argsort(high - low), BINS)
    axes[1].plot([(high - low)[part].mean() for part in parts], [held[part].mean() for part in parts], "o-")
    axes[1].axhline(0.9, color="black", linewidth=0.8)
    axes[1].axhspan(0.85, 0.95, alpha=0.15)
    axes[1].set(xlabel="width of the interval, dB", ylabel="share of true scores within", ylim=(0.6, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("--what", nargs="*", default=["brief", "single", *(NO + name for name in FAMILIES)])
    training.add_argument("--config", type=Path, default=ROOT / "configs" / "blind_sisnr_bands.yaml")
    training.add_argument("--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE")
    training.set_defaults(call=train)
    scoring = commands.add_parser("score")
    scoring.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE[?OPTION=VALUE]")
    scoring.add_argument("--items", type=int, default=TEST_ITEMS)
    scoring.add_argument(
        "--seconds", type=float, nargs="*", default=list(SECONDS), help="of the test mixtures"
    )
    scoring.add_argument("--corpus", type=Path, default=CORPUS, help="names the separators")
    scoring.add_argument("--name", default=NAME)
    scoring.add_argument(
        "--card", type=Path, help="write the pool's scores into the card of this weights file"
    )
    scoring.set_defaults(call=score)
    for each in (training, scoring):
        each.add_argument("--runs", type=Path, default=Path("runs/blind"))
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
