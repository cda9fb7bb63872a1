"""Does an encoder that learns without labels forget less of the sounds that it learnt before?

Ten classes of UrbanSound8K arrive two at a time (folds 1 to 3; what is also in ESC-50 is left out); an encoder of
400,000 parameters learns each pair for 80 steps by CSUP (with labels), SimCLR, Barlow Twins or MoCo, and what it was is
kept by distillation: of its vectors (MSE, similarity) or its logits (KLD, of CSUP). After each pair a fresh linear
classifier is fitted to the vectors of the clips so far, with all their labels (LEP) or 10 % of them (SLEP), and tested
on fold 10. A is the mean accuracy of all pairs at the end, F the mean fall of each from its best. Besides: an encoder
with random weights; all classes at once (offline), with as many steps; CSUP's own last layer, which has no second look
at earlier pairs. Out of domain, the encoder at the end is probed on 21 classes of ESC-50 (folds 1 to 4; tested on 5).

    python -m benchmarks continual                  # one run after another, each kept; called again, it goes on
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.kit.claim import FOLDER
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import registry
from unbabble.data.clips import ClipItems, Clips, ClipStream
from unbabble.signal.retention import average_accuracy, forgetting
from unbabble.training.probe import LinearProbe, share_of_each
from unbabble.training.recipe import Updates
from unbabble.training.run import Run
from unbabble.training.tasks.continual import Continual

EVENTS = FOLDER.parents[1] / "shared" / "data" / "events"
GROUPS = (
    ("dog_bark", "street_music"),
    ("siren", "drilling"),
    ("car_horn", "jackhammer"),
    ("engine_idling", "children_playing"),
    ("gun_shot", "air_conditioner"),
)
TRAIN, TEST, ESC_TRAIN, ESC_TEST = ("1", "2", "3"), ("10",), ("1", "2", "3", "4"), ("5",)
ENCODER = {"width": 8, "bands": 40, "hop_ms": 20.0}
SHARE = 0.1
AT_ONCE = 32
GROUP_STEPS = 80
SEEDS = (1, 2, 3)
NAMES_OF = {
    "csup": "CSUP",
    "simclr": "SimCLR",
    "barlow_twins": "Barlow Twins",
    "moco": "MoCo",
    "random": "random",
}
RUNS = (
    ("random", "none", "stream"),
    ("csup", "none", "stream"),
    ("simclr", "none", "stream"),
    ("csup", "none", "offline"),
    ("simclr", "none", "offline"),
    ("simclr", "similarity", "stream"),
    ("csup", "kld", "stream"),
    ("csup", "similarity", "stream"),
    ("simclr", "mse", "stream"),
    ("barlow_twins", "none", "stream"),
    ("moco", "none", "stream"),
    ("csup", "mse", "stream"),
    ("barlow_twins", "similarity", "stream"),
    ("moco", "similarity", "stream"),
    ("barlow_twins", "mse", "stream"),
    ("moco", "mse", "stream"),
)
"""Objective, distillation, and whether classes come pair by pair; what decides claims comes first."""
T_OF_THREE = 4.303
"""97.5 % quantile of Student's t of two degrees of freedom."""
QUICK = {"group_steps": 2, "seeds": 1, "most": 3}


class Observed(Continual):
    """The task, and what is known after each group."""

    def __init__(self, encoder: Any, probed: "Probed", **options: Any) -> None:
        super().__init__(encoder, **options)
        self.probed = probed

    def after(self, step: int, batch: Any) -> None:
        """As ever; then the probes."""
        super().after(step, batch)
        if step % self.probed.every == 0:
            logits = getattr(self.network.objective, "logits", None)
            vectors = self.probed.vectors(self.network.encoder)
            self.probed.look(*vectors, logits, offline=not self.group_steps)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"probed": None}


class Probed:
    """Accuracies on each pair after each, by protocol.

    Args:
        group_steps: after so many the encoder is probed.
        seed: of the draw of SLEP's clips.
    """

    def __init__(self, group_steps: int, seed: int) -> None:
        table = Clips(EVENTS / "us8k.csv")
        self.train, self.test = (
            ClipItems(Clips(EVENTS / "us8k.csv", folds=folds, leave_out="also_in_esc50"))
            for folds in (TRAIN, TEST)
        )
        self.groups = [[table.known.index(label) for label in group] for group in GROUPS]
        self.every, self.seed = group_steps, seed
        self.tables: dict[str, list[list[float]]] = {"LEP": [], "SLEP": [], "own": []}

    def vectors(self, encoder: Any) -> tuple[np.ndarray, np.ndarray]:
        """Of all clips of the folds to learn from, and to test with."""
        return vectors_of(encoder, self.train), vectors_of(encoder, self.test)

    def look(
        self, vectors: np.ndarray, tested: np.ndarray, logits: Any = None, offline: bool = False
    ) -> None:
        """Probe the encoder as it is by now.

        Args:
            vectors: of the clips to learn from.
            tested: of those to test with.
            logits: of vectors, the last layer that the encoder has learnt with.
            offline: of all classes at once.
        """
        known = len(self.groups) if offline else len(self.tables["LEP"]) + 1
        seen = np.isin(self.train.label, [label for group in self.groups[:known] for label in group])
        numbers = np.flatnonzero(seen)
        few = numbers[share_of_each(self.train.label[seen], SHARE, self.seed)]
        said = {
            name: LinearProbe(vectors[chosen], self.train.label[chosen])(tested)
            for name, chosen in (("LEP", numbers), ("SLEP", few))
        }
        if logits is not None:
            with torch.no_grad():
                said["own"] = logits(torch.from_numpy(tested)).argmax(-1).numpy()
        for name, labels in said.items():
            right = labels == self.test.label
            row = [float(right[np.isin(self.test.label, group)].mean()) for group in self.groups[:known]]
            self.tables[name].append(row + [0.0] * (len(self.groups) - known))

    def result(self) -> dict[str, float]:
        """A and F by protocol."""
        found = {}
        for name, rows in self.tables.items():
            if rows:
                found[f"A {name}"] = average_accuracy(np.array(rows))
            if len(rows) > 1:
                found[f"F {name}"] = forgetting(np.array(rows))
        return found


@torch.no_grad()
def vectors_of(encoder: Any, items: ClipItems) -> np.ndarray:
    """Of whole clips, those of one length together."""
    training = encoder.training
    encoder.eval()
    clips = [items.clip(number) for number in range(len(items))]
    vectors = np.zeros((len(clips), encoder.dimension), np.float32)
    for length in sorted({len(each) for each in clips}):
        numbers = [number for number, each in enumerate(clips) if len(each) == length]
        for first in range(0, len(numbers), AT_ONCE):
            some = numbers[first : first + AT_ONCE]
            waveforms = torch.from_numpy(np.stack([clips[number] for number in some]))
            vectors[some] = encoder.trunk(encoder.mel(waveforms)).numpy()
    encoder.train(training)
    return vectors


def out_of_domain(encoder: Any, seed: int) -> dict[str, float]:
    """Accuracies on ESC-50."""
    train, test = (ClipItems(Clips(EVENTS / "esc50.csv", folds=folds)) for folds in (ESC_TRAIN, ESC_TEST))
    vectors, tested = vectors_of(encoder, train), vectors_of(encoder, test)
    few = share_of_each(train.label, SHARE, seed)
    found = {}
    for name, chosen in (("LEP", np.arange(len(train))), ("SLEP", few)):
        said = LinearProbe(vectors[chosen], train.label[chosen])(tested)
        found[f"ESC-50 {name}"] = float((said == test.label).mean())
    return found


def one(objective: str, distillation: str, order: str, seed: int, group_steps: int) -> dict[str, Any]:
    """A run, and what its encoder knows."""
    began = time.process_time()
    torch.manual_seed(seed)
    encoder = registry.create("sound_encoder", **ENCODER)
    offline = order == "offline"
    steps = group_steps * len(GROUPS)
    probed = Probed(steps if offline else group_steps, seed)
    if objective == "random":
        vectors = probed.vectors(encoder)
        for _ in GROUPS:
            probed.look(*vectors)
    else:
        clips = Clips(EVENTS / "us8k.csv", folds=TRAIN, leave_out="also_in_esc50")
        stream = ClipStream(clips, () if offline else GROUPS, group_steps)
        options: dict[str, Any] = {"objective": objective, "distillation": distillation}
        task = Observed(encoder, probed, **options)
        items = task.curriculum(stream).open(seed)
        updates = Updates(
            steps=steps, batch=32, optimizer="adamw", learning_rate=1e-3, weight_decay=5e-4, schedule="cosine",
            warmup_steps=10, cycles=1 if offline else len(GROUPS), save_every=steps, workers=0, seed=seed,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            Run(task, items, updates, Path(folder)).train(lambda _: None)
    found = probed.result() | out_of_domain(encoder, seed)
    return {"accuracies": probed.tables, **found, "cpu_seconds": time.process_time() - began}


def measure(
    before: dict, group_steps: int = GROUP_STEPS, seeds: int = len(SEEDS), most: int = 0
) -> Iterator[dict]:
    """Run after run.

    Args:
        group_steps: for each pair of classes.
        seeds: how many.
        most: runs of each seed; 0 for all.
    """
    runs = before.get("runs", {})
    for number, (objective, distillation, order) in enumerate(RUNS):
        for seed in SEEDS[:seeds]:
            name = f"{objective} {distillation} {order} {seed}"
            if name not in runs and (not most or number < most):
                runs[name] = one(objective, distillation, order, seed, group_steps)
                yield {"runs": runs}
    yield {"runs": runs}


def estimate(values: list[float]) -> str:
    """In per cent: the mean of the seeds, and its 95 % interval by Student's t."""
    if not values:
        return ""
    mean = 100 * float(np.mean(values))
    if len(values) < len(SEEDS):
        return f"{mean:.1f} ({len(values)} seed{'s' * (len(values) > 1)})"
    reach = 100 * T_OF_THREE * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{mean:.1f} ({mean - reach:.1f} to {mean + reach:.1f})"


def of(runs: Mapping[str, Any], objective: str, distillation: str, order: str, figure: str) -> list[float]:
    """A figure of each seed that was run."""
    names = [f"{objective} {distillation} {order} {seed}" for seed in SEEDS]
    return [runs[name][figure] for name in names if figure in runs.get(name, {})]


def claim(text: str, differences: list[float]) -> str:
    """A sentence: whether differences that should be positive are so for every seed."""
    if len(differences) < len(SEEDS):
        return f"- {text}: not measured with all {len(SEEDS)} seeds yet."
    better = sum(each > 0 for each in differences)
    word = {len(SEEDS): "confirmed", 0: "refuted"}.get(better, "neither confirmed nor refuted")
    return f"- {text}: **{word}**, {estimate(differences)} points, {better} of {len(SEEDS)} seeds."


def less(one: list[float], other: list[float], margin: float = 0.0) -> list[float]:
    """By how much ``one`` is above ``other`` and a margin, seed by seed."""
    return [a - b - margin for a, b in zip(one, other, strict=False)]


def table(result: dict) -> str:
    """The page."""
    runs = result["runs"]
    figures = ("A LEP", "F LEP", "A SLEP", "F SLEP", "ESC-50 LEP", "ESC-50 SLEP", "A own", "F own")
    rows = [
        [NAMES_OF[run[0]], *run[1:], *(estimate(of(runs, *run, figure)) for figure in figures)]
        for run in sorted(RUNS, key=lambda run: ([*NAMES_OF].index(run[0]), run[2], RUNS.index(run)))
    ]

    def value(objective: str, figure: str, distillation: str = "none", order: str = "stream") -> list[float]:
        return of(runs, objective, distillation, order, figure)

    gap = [
        less(less(value("simclr", f"A {name}"), value("csup", f"A {name}")), [0.0] * len(SEEDS))
        for name in ("SLEP", "LEP")
    ]
    claims = [
        claim(
            "SimCLR's LEP is at least 15 points above that of random weights (here less 15)",
            less(value("simclr", "A LEP"), value("random", "A LEP"), 0.15),
        ),
        *(
            claim(
                f"{NAMES_OF[name]} forgets less than CSUP (LEP)",
                less(value("csup", "F LEP"), value(name, "F LEP")),
            )
            for name in ("simclr", "barlow_twins", "moco")
        ),
        *(
            claim(
                f"distillation by {kind} raises {NAMES_OF[name]}'s A (LEP)",
                less(value(name, "A LEP", kind), value(name, "A LEP")),
            )
            for name, kind in (
                ("csup", "kld"),
                ("csup", "similarity"),
                ("csup", "mse"),
                ("simclr", "similarity"),
                ("simclr", "mse"),
                ("barlow_twins", "similarity"),
                ("barlow_twins", "mse"),
                ("moco", "similarity"),
                ("moco", "mse"),
            )
        ),
        claim("SimCLR is further above CSUP by SLEP than by LEP", less(*gap)),
        claim(
            "CSUP with all classes at once is above SimCLR pair by pair (LEP)",
            less(value("csup", "A LEP", order="offline"), value("simclr", "A LEP")),
        ),
    ]
    return page(
        "# What encoders of sounds forget",
        (__doc__ or "").partition("\n\n")[2].partition("\n\n    ")[0].strip(),
        "Per cent, mean of three seeds and its 95 % interval (Student's t). The classifier of LEP and SLEP sees clips "
        "of all pairs so far; accuracies also fall because there are more classes to confuse, as F of random weights "
        "says. *Own* is CSUP's last layer, without a second look.",
        grid(["objective", "distillation", "order", *figures], rows),
        claims,
        made_by(result),
    )
