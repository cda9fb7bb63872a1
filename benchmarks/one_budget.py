"""One table, one budget: every network learns from the same mixtures, as many steps, and is scored on the same sets.

    python benchmarks/one_budget.py train --talkers 2 --runs runs/budget
    python benchmarks/one_budget.py train --talkers 3 --runs runs/budget       # goes on from those of two
    python benchmarks/one_budget.py score --runs runs/budget

Networks in compact sizes, ``configs/corpora/clean_*talkers.yaml``, Muon, batches of 4 x 2.5 s, cosine schedule,
bfloat16 matrix products, the first steps with a woman and a man in a fixed order. ``train`` can be stopped and called
again. Scored on every condition, they show how far learning from clean mixtures carries; beside them stand the packaged
networks, which began alike and then learnt in noise and rooms: fine-tuning.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import yaml

from unbabble.base import weights
from unbabble.methods.separation.sepformer import COMPACT

CONFIGS = Path(__file__).parent.parent / "configs"
RESULTS = Path(__file__).parent / "results"
OPTIONS: dict[str, dict] = {
    "huang2014": {"window_length": 512, "sample_rate": 8000},
    "deep_clustering": {"hidden": 128, "layers": 2, "dimension": 20, "dropout": 0.0},
    "conv_tasnet": {
        "filters": 256,
        "kernel": 32,
        "bottleneck": 128,
        "hidden": 256,
        "skip": 128,
        "blocks": 7,
        "repeats": 2,
    },
    "dprnn": {"filters": 64, "kernel": 16, "hidden": 64, "chunk": 100, "blocks": 3},
    "sepformer": COMPACT,
    "bsrnn": {},
}
STEPS = {2: 1000, 3: 300}
COMMON = {
    "batch": 4,
    "optimizer": "muon",
    "learning_rate": 1.0e-3,
    "weight_decay": 0.01,
    "clip_norm": 5.0,
    "schedule": "cosine",
    "warmup_steps": 100,
    "average": 0.995,
    "precision": "bfloat16",
    "validate_every": 250,
    "save_every": 250,
    "workers": 0,
    "seed": 1,
}


def folder(runs: Path, name: str, talkers: int) -> Path:
    return runs / f"{name}-{talkers}"


def train(name: str, talkers: int, runs: Path) -> None:
    run = folder(runs, name, talkers)
    recipe = {"method": name, "options": OPTIONS[name], "steps": STEPS[talkers]} | COMMON
    start = []
    if talkers == 2:
        recipe["fixed_order_steps"] = 400
    else:
        start = ["--from", str(folder(runs, name, 2) / "best.safetensors")]
    runs.mkdir(parents=True, exist_ok=True)
    config = runs / f"{name}-{talkers}.yaml"
    config.write_text(yaml.safe_dump(recipe, sort_keys=False))
    corpus = CONFIGS / "corpora" / f"clean_{talkers}talkers.yaml"
    command = [sys.executable, "-m", "unbabble.cli", "train", str(config), str(corpus), *start]
    subprocess.run([*command, "--out", str(run), "--resume", "--device", "cpu"], check=True)


def plot(runs: Path) -> None:
    """Learning curves: SI-SNR improvement on validation mixtures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for axis, talkers in zip(axes, STEPS, strict=True):
        for name in OPTIONS:
            path = folder(runs, name, talkers) / "metrics.jsonl"
            if path.is_file():
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                axis.plot(
                    [line["step"] for line in lines], [line["si_snri_db"] for line in lines], ".-", label=name
                )
        axis.set(
            title=f"{talkers} talkers",
            xlabel="steps of 4 x 2.5 s",
            ylabel="SI-SNR improvement, validation (dB)",
        )
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(RESULTS / "one_budget.png", dpi=110)


def score(runs: Path, threads: int) -> None:
    models = [
        str(best)
        for name in OPTIONS
        for talkers in STEPS
        if (best := folder(runs, name, talkers) / "best.safetensors").is_file()
    ]
    models += [name for name in weights.packaged() if name.partition(".")[0] in OPTIONS]
    sets = [kind + suffix for suffix in ("", "3") for kind in ("clean", "noisy", "reverberant", "both")]
    command = [
        sys.executable,
        str(Path(__file__).parent / "separation.py"),
        "--models",
        *models,
        "--sets",
        *sets,
    ]
    subprocess.run([*command, "--items", "40", "--threads", str(threads), "--name", "one_budget"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "score"))
    parser.add_argument("--runs", type=Path, default=Path("runs/budget"))
    parser.add_argument("--talkers", type=int, choices=tuple(STEPS), default=2)
    parser.add_argument("--methods", nargs="*", choices=tuple(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "score":
        score(arguments.runs, arguments.threads)
        plot(arguments.runs)
    for name in arguments.methods if arguments.what == "train" else ():
        train(name, arguments.talkers, arguments.runs)


if __name__ == "__main__":
    main()
