"""What do recordings and texts that do not belong together add to a CLAP that has learnt from few pairs?

UI-CLAP (``methods.representation.ui_clap``) at a small scale. A teacher learns from pairs: ESC-50's folds 1 and 2, and
UrbanSound8K without the clips that ESC-50 has too. Recordings without texts: ESC-50's folds 3 and 4. Texts without
recordings: prompts of the names of all fifty classes of ESC-50, of which 21 have recordings here. Students go on from
the teacher, half of each batch from what the teacher has curated, half from the pairs. ``replay`` goes on from the
pairs alone, ``SL`` with targets softened by the teacher; ``DS`` from the pairs whose texts are of the domain; ``DU``
from all recordings x all texts that the teacher finds near, ``ADS`` from recordings x texts of the domain. Near is what
is as near as the median of the teacher's own pairs; a text is of the domain if its cosine to the name of one of the 21
classes is at least .7. Test: ESC-50's fold 5, mean average precision of finding recordings by the names of 21 classes.

    python -m benchmarks ui_clap --runs runs/ui_clap --seeds 0 1 2
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kit.process import train
from benchmarks.kit.rows import Rows
from benchmarks.kit.table import grid, made_by, page
from benchmarks.sounds._data import EVENTS, Clip, averaged, clips, embedded, precision, texts_of
from unbabble.data.captioned import PROMPTS, readable
from unbabble.methods.representation import ui_clap
from unbabble.networks.load import load

ELSEWHERE = (
    "airplane", "breathing", "brushing teeth", "can opening", "car horn", "cat", "chirping birds", "church bells",
    "clapping", "clock alarm", "coughing", "cow", "crickets", "crow", "door knock", "drinking sipping", "fireworks",
    "frog", "glass breaking", "hand saw", "hen", "insects", "keyboard typing", "mouse click", "pig", "pouring water",
    "sheep", "toilet flush", "water drops",
)  # fmt: skip
"""Classes of ESC-50 that have no recordings here."""
VARIANTS = ("replay", "SL", "DS", "DU", "ADS", "DU + SL", "ADS + SL")
TEACHER_STEPS, STEPS, BATCH = 300, 120, 64
OF_THE_DOMAIN = 0.7
QUICK = {"seeds": [0], "steps": 2, "teacher_steps": 2}


def recipe(seed: int, steps: int, text: str, learning_rate: float) -> dict[str, Any]:
    vectors = load(text, "text encoder").network
    options = {name: each for name, each in vectors.resolved_options().items() if each is not None}
    return {
        "method": "clap", "options": {"text_options": options, "channels": 16}, "parts": {"text": text},
        "steps": steps, "batch": BATCH, "optimizer": "adamw", "learning_rate": learning_rate, "weight_decay": 0.05,
        "schedule": "cosine", "warmup_steps": 20, "workers": 0, "seed": seed, "validate_every": steps,
        "save_every": steps, "validation_items": 20,
    }  # fmt: skip


def described(table: Path) -> dict[str, Any]:
    return {"kind": "captioned", "tables": [str(table)]}


def validation() -> dict[str, Any]:
    """Nothing is chosen by it: it is asked once, after the last step."""
    return {"kind": "captioned", "tables": [str(EVENTS / "esc50.csv")], "folds": [1], "in_order": True}


def written(table: Path, rows: Sequence[tuple[Clip, str, str]]) -> Path:
    """Pairs as a table: recording, label and text; an empty text is made of the label by prompts."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("file", "label", "text"), *((str(c.path), label, text) for c, label, text in rows)]
        )
    return table


def curated(
    variant: str, folder: Path, network: Any, pairs: Sequence[Clip], unpaired: Sequence[Clip]
) -> tuple[Path | None, dict[str, float]]:
    """What the teacher has made for a variant, as a table, and how much of it is right."""
    domain = sorted({readable(each.label) for each in unpaired})
    texts = [(name, prompt.format(name)) for name in (*domain, *ELSEWHERE) for prompt in PROMPTS]
    names, vectors = texts_of(network, domain), texts_of(network, [text for _, text in texts])
    if variant == "DS":
        of_pairs = texts_of(network, [readable(each.label) for each in pairs])
        near = ui_clap.domain_specific(of_pairs, names, OF_THE_DOMAIN)
        rows = [(pairs[place], pairs[place].label, "") for place in near]
        return written(folder / "curated.csv", rows), {"pairs": len(rows)}
    if not variant.startswith(("DU", "ADS")):
        return None, {}
    own = (embedded(network, pairs) * texts_of(network, [readable(each.label) for each in pairs])).sum(1)
    least, audio = float(np.median(own)), embedded(network, unpaired)
    if variant.startswith("DU"):
        made = ui_clap.unlabelled(audio, vectors, least)
    else:
        made = ui_clap.audio_of_domain(audio, vectors, names, OF_THE_DOMAIN, least)
    rows = [(unpaired[a], texts[t][0], texts[t][1]) for a, t in zip(made.audio, made.text, strict=True)]
    right = np.mean([readable(clip.label) == label for clip, label, _ in rows]) if rows else float("nan")
    return written(folder / "curated.csv", rows) if rows else None, {
        "pairs": len(rows),
        "right": float(right),
    }


def learnt(folder: Path) -> Any:
    """The network after the last step: nothing is chosen."""
    return load(str(folder / "last.safetensors"), "joint embedder").network


def student(variant: str, seed: int, runs: Path, text: str, steps: int) -> dict[str, float]:
    teacher = runs / f"teacher-{seed}" / "last.safetensors"
    network = learnt(teacher.parent)
    pairs, unpaired = clips("esc50", (1, 2)) + clips("us8k"), clips("esc50", (3, 4))
    folder = runs / f"{variant.replace(' + ', '-')}-{seed}"
    table, about = curated(variant, folder, network, pairs, unpaired)
    sets = {"pairs": described(runs / "pairs.csv") | {"share": 0.5}}
    if table is not None:
        sets["curated"] = described(table) | {"share": 0.5}
    task = {"kind": "pairs"} | ({"teacher": str(teacher)} if variant.endswith("SL") else {})
    corpus = {"train": {"kind": "several", "sets": sets}, "validation": validation(), "task": task}
    train(recipe(seed, steps, text, 3e-4) | corpus, folder, options=["--from", str(teacher)])
    return about | precision(learnt(folder), clips("esc50", (5,)))


def measure(
    seeds: Sequence[int] = (0, 1, 2),
    runs: Path = Path("runs/ui_clap"),
    text: str = "word_vectors.english",
    teacher_steps: int = TEACHER_STEPS,
    steps: int = STEPS,
) -> Iterator[dict]:
    """Teachers, and students of each kind.

    Args:
        seeds: of weights and order.
        runs: folder for what is trained; what is there is not trained again.
        text: text encoder.
        teacher_steps: updates of a teacher.
        steps: updates of a student.
    """
    rows = Rows(runs / "rows.jsonl")
    pairs = clips("esc50", (1, 2)) + clips("us8k")
    written(runs / "pairs.csv", [(clip, clip.label, "") for clip in pairs])
    for seed in seeds:

        def teacher(seed: int = seed) -> dict[str, float]:
            folder = runs / f"teacher-{seed}"
            corpus = {
                "train": described(runs / "pairs.csv"),
                "validation": validation(),
                "task": {"kind": "pairs"},
            }
            train(recipe(seed, teacher_steps, text, 1.5e-3) | corpus, folder)
            return precision(learnt(folder), clips("esc50", (5,)))

        rows.add({"variant": "teacher", "seed": seed}, teacher)
        for variant in VARIANTS:
            rows.add(
                {"variant": variant, "seed": seed}, lambda v=variant, s=seed: student(v, s, runs, text, steps)
            )
        yield {"rows": rows.read(), "steps": steps, "teacher_steps": teacher_steps}


def table(result: dict) -> str:
    """A line for each variant: mean over seeds, and its gain over replay, seed by seed."""
    rows = result["rows"]
    scores = {v: {r["seed"]: r for r in rows if r["variant"] == v} for v in ("teacher", *VARIANTS)}
    lines = []
    for variant, by_seed in scores.items():
        if not by_seed:
            continue
        gains = [
            each["map"] - scores["replay"][seed]["map"]
            for seed, each in by_seed.items()
            if seed in scores["replay"]
        ]
        each = list(by_seed.values())
        lines.append(
            (
                variant, averaged([row["map"] for row in each]), averaged([row["accuracy"] for row in each]),
                " ".join(f"{gain:+.3f}" for gain in gains), averaged([row.get("pairs", np.nan) for row in each], 0),
                averaged([row.get("right", np.nan) for row in each], 2),
            )
        )  # fmt: skip
    head = "what is learnt from | mAP, fold 5 | accuracy | mAP over replay, by seed | curated pairs | of them right"
    return page(
        "# UI-CLAP at a small scale",
        f"Teacher {result['teacher_steps']} steps, students {result['steps']} more, batches of {BATCH}; mean and "
        "deviation over seeds.",
        grid(head, lines),
        made_by(result),
    )
