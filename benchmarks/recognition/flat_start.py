"""What are the first steps on phones of equal length worth, and what is Muon, where there is little time to learn?

CTC tells a network nothing at first of where a phone stands: for hundreds of steps it writes blanks alone. So our
recogniser's first steps ask it, frame by frame, for the phones that stand there if all are equally long (*flat start*),
and CTC begins with something to go on with. Three runs of few steps differ in one thing each: as the recipe has it,
without the flat start, and with AdamW for all weights. The decoder learns nothing, so that no run is about it.
``train`` can be stopped and called again, for one run or for all; ``score`` counts phones that are wrong of speakers of
dev, and says how they were on the way there.

    python -m benchmarks flat_start train --runs runs/flat_start        # three runs of 500 processor seconds each
    python -m benchmarks flat_start score --runs runs/flat_start
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from benchmarks.kit import plot as figures
from benchmarks.kit.claim import FOLDER
from benchmarks.kit.process import train, validations
from benchmarks.kit.recognized import error_rate, gain, recognized, spoken
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.config import load_yaml
from unbabble.networks import load as networks

CONFIGS = FOLDER.parent / "configs"
CORPUS = CONFIGS / "corpora" / "read_english_16k.yaml"
FLAT_STEPS, SHORT_STEPS, VALIDATIONS = 100, 50, 9
"""At first, of all: frame by frame, and with short utterances; and how often it is looked how far a run has come."""
AS_IT_IS = "as_it_is"
ADAMW_RATE = 1e-3
"""A usual one; Muon's, which is the recipe's, was looked for."""
RUNS: dict[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "no_flat_start": {"task": {"flat_start_steps": 0}},
    "adamw": {"optimizer": "adamw", "learning_rate": ADAMW_RATE},
}
NAMED = {AS_IT_IS: "Muon, flat start", "no_flat_start": "Muon, no flat start", "adamw": "AdamW, flat start"}
QUICK = {"steps": 4, "utterances": 2, "kinds": [AS_IT_IS], "changes": ["validation_items=1"]}


def learn(kind: str, runs: Path, steps: int, changes: Sequence[str]) -> None:
    """By the recipe of ``conformer_ctc``, but for what the run is about."""
    every = {"steps": steps, "validate_every": -(-steps // VALIDATIONS), "save_every": -(-steps // 40)}
    recipe = load_yaml(CONFIGS / "conformer_ctc.yaml") | every | RUNS[kind]
    task = {"flat_start_steps": min(FLAT_STEPS, steps), "attention_from_step": steps}
    recipe["task"] = task | RUNS[kind].get("task", {})
    train(recipe, runs / kind, CORPUS, set=[f"train.sets.short.steps={SHORT_STEPS}", *changes])


def measure(
    before: dict,
    what: Literal["train", "score"],
    /,
    runs: Path = Path("runs/flat_start"),
    steps: int = 900,
    kinds: Annotated[Sequence[str], tuple(RUNS)] = tuple(RUNS),
    split: str = "dev",
    utterances: int = 200,
    changes: Sequence[str] = (),
) -> Iterator[dict]:
    """Train, or score what is trained.

    Args:
        steps: of each run.
        kinds: runs to train, or to score.
        utterances: to score, at most.
        changes: of every recipe, as ``train --set`` takes them.
    """
    for kind in kinds if what == "train" else ():
        learn(kind, runs, steps, changes)
    before.pop("machine", None)  # that of the last run is named
    for kind in kinds if what == "score" else ():
        weights = runs / kind / "best.safetensors"
        if weights.is_file():
            network = networks.ready(str(weights), torch.device("cpu"), "recognizer")
            counts, _ = recognized(network, spoken(split, utterances, "packaged"), network)
            curve = [
                {"step": each["step"], "hours": each["hours"], "phones": 100 * each["phone_error_rate"]}
                for each in validations(runs / kind)
            ]
            before.setdefault("runs", {})[kind] = {"phones": {"phones": counts["phones"]}, "curve": curve}
        yield before


def table(result: dict) -> str:
    base = result["runs"].get(AS_IT_IS)
    rows = [
        {
            "run": NAMED[kind],
            "phones": list(error_rate(row["phones"], "phones")),
            "more": "" if base in (row, None) else _more(row, base),
            "hours": row["curve"][-1]["hours"],
            "steps": row["curve"][-1]["step"],
        }
        for kind, row in result["runs"].items()
    ]
    steps = [each["step"] for each in next(iter(result["runs"].values()))["curve"]]
    curves = [
        [NAMED[kind], *(f"{each['phones']:.0f}" for each in row["curve"])]
        for kind, row in result["runs"].items()
    ]
    return page(
        "Phones that are wrong of speakers of dev, of the likeliest phone of each frame, in per cent (95 % interval "
        "over speakers); hours are those of a machine that did other work too.",
        grid(
            "run | phones | more than as it is | steps | hours",
            rows,
            "{run} | {phones:.1f} | {more} | {steps:,.0f} | {hours:.2f}",
        ),
        "The same of 60 utterances, on the way, by step.",
        grid(["run", *(f"{step:,.0f}" for step in steps)], curves),
        made_by(result),
    )


def _more(row: dict, base: dict) -> str:
    return "{:.1f} ({:.1f} to {:.1f})".format(*gain(row["phones"], base["phones"], "phones"))


def plot(result: dict) -> None:
    figure, ((axis,),) = figures.axes(figsize=(7, 4))
    for kind, row in result["runs"].items():
        axis.plot(
            *zip(*((each["step"], each["phones"]) for each in row["curve"]), strict=True), label=NAMED[kind]
        )
    axis.set_xlabel("steps")
    axis.set_ylabel("phones wrong, % (no search)")
    axis.set_ylim(0)
    axis.legend()
    figures.write(figure, "flat_start")
