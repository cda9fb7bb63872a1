"""Which network learns most from the same data and steps?

Every network learns from the same mixtures, as many steps, and is scored on the same sets: compact sizes,
``configs/corpora/clean_*talkers.yaml``, Muon, batches of 4 x 2.5 s, cosine schedule, bfloat16 matrix products, the
first steps with a woman and a man in a fixed order. ``train`` can be stopped and called again. Scored on every
condition, they show how far learning from clean mixtures carries; beside them stand the packaged networks, which began
alike and then learnt in noise and rooms: fine-tuning.

    python -m benchmarks one_budget train --talkers 2 --runs runs/budget       # hours
    python -m benchmarks one_budget train --talkers 3 --runs runs/budget       # goes on from those of two
    python -m benchmarks one_budget score --runs runs/budget
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml

from benchmarks.kit.claim import FOLDER
from benchmarks.kit.process import train
from benchmarks.kit.separated import CONDITIONS, THREE, scored
from benchmarks.kit.separated import table as table
from unbabble.base import weights
from unbabble.methods.separation.sepformer import COMPACT

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
COMMON = """\
batch: 4
optimizer: muon
learning_rate: 1.0e-3
weight_decay: 0.01
clip_norm: 5.0
schedule: cosine
warmup_steps: 100
average: 0.995
precision: bfloat16
validate_every: 250
save_every: 250
workers: 0
seed: 1"""


def learn(name: str, talkers: int, runs: Path) -> None:
    """Of three talkers, from what was learnt of two."""
    recipe = {"method": name, "options": OPTIONS[name], "steps": STEPS[talkers]} | yaml.safe_load(COMMON)
    recipe |= {"task": {"fixed_order_steps": 400}} if talkers == 2 else {}
    start = ["--from", str(runs / f"{name}-2" / "best.safetensors")] if talkers == 3 else []
    corpus = FOLDER.parent / "configs" / "corpora" / f"clean_{talkers}talkers.yaml"
    train(recipe, runs / f"{name}-{talkers}", corpus, options=start)


def measure(
    before: dict,
    what: Literal["train", "score"],
    /,
    runs: Path = Path("runs/budget"),
    talkers: int = 2,
    methods: Annotated[Sequence[str], tuple(OPTIONS)] = tuple(OPTIONS),
    threads: int = 2,
) -> Iterator[dict]:
    """Train, or score what is trained.

    Args:
        talkers: 2 or 3, to train with.
        methods: to train.
    """
    if what == "train":
        for name in methods:
            learn(name, talkers, runs)
        return
    paths = (runs / f"{name}-{count}" / "best.safetensors" for name in OPTIONS for count in STEPS)
    models = [str(path) for path in paths if path.is_file()]
    models += [name for name in weights.packaged() if name.partition(".")[0] in OPTIONS]
    yield from scored(before, models, [*CONDITIONS, *THREE], 40, threads)
