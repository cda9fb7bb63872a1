"""What do seconds of clean speech bring, by the way to learn and by size?

Test speakers, each in one place, as in ``adapt``: their own noisy recordings, and 0, 3, 10 or 30 s of clean speech
that is not in them. Every way to adapt learns from the recordings, and where there is clean speech half of what it
learns from is that, in their noise; ``fine_tuning`` learns from nothing else. SI-SDR improvement, PESQ and eSTOI over
the test, with 95 % intervals over speakers; by sex, and of the least lucky speaker. Beside them the noisy recording and
the ideal ratio mask.

    python -m benchmarks few_shot                   # goes on where it was; --shard 0/2 and 1/2: two processes
    python -m benchmarks few_shot --minutes 0       # the tables of what there is so far
    python -m benchmarks few_shot --name few_shot_sizes --ways contrastive_mixtures --clean 0 10 \\
      --students tiny=runs/conv_tiny/best.safetensors small=runs/conv_small/best.safetensors ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.kit.people import (
    IDEAL,
    NOISY,
    RATE,
    SEXES,
    Person,
    adapted,
    card_of,
    ideal,
    own_cache,
    people,
    pieces,
    sha256,
)
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.rows import Rows
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.networks import load as networks
from unbabble.signal.metrics import estoi, pesq, si_sdr
from unbabble.signal.statistics import bootstrap
from unbabble.training import personal

NAMES = ("few_shot", "few_shot_sizes", "without_clean", "few_shot_dev")
TEST_SECONDS, OWN_SECONDS, CLEAN_SECONDS = 40.0, 90.0, (0.0, 3.0, 10.0, 30.0)
BEFORE, ALONE = "before", "fine_tuning"
METRICS = {"si_sdri_db": "SI-SDR improvement, dB", "pesq": "PESQ", "estoi": "eSTOI"}
Heard = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From what is heard, and what is true, (1, time) each, to what comes out."""
PUBLISHED = """\
Published (Sivaraman & Kim, JSTSP 2022; LibriSpeech, premixtures with FSD50K, MUSAN noises, Conv-TasNet): personalised
networks as good as generalists with 85 % fewer parameters, from 3 s of clean speech on."""
QUICK = {
    "split": "dev",
    "speakers": 1,
    "ways": ["distillation", ALONE],
    "clean": [0.0, 3.0],
    "steps": 5,
    "rows": None,
}


@torch.no_grad()
def measured(person: Person, snr_db: float, call: Heard) -> dict[str, float]:
    """Means over the pieces of the test."""
    found: list[tuple[float, float, float]] = []
    for heard, true in pieces(person.tested(snr_db), person.test):
        estimate = call(heard, true)
        gain = float(si_sdr(estimate, true) - si_sdr(heard, true))
        found.append((gain, float(pesq(estimate, true, RATE)), float(estoi(estimate, true, RATE))))
    return dict(zip(METRICS, np.nanmean(found, 0).tolist(), strict=True))


def by(network) -> Heard:
    """A network at its usual level."""
    return lambda heard, true: network.estimate(heard / heard.square().mean().sqrt())[:, 0]


def learnt(person: Person, snr_db: float, seconds: float, **options) -> dict[str, float]:
    """Of a student that has learnt from the recordings, and from so much clean speech."""
    # A third of what `adapt` is given judges, and is not learnt from.
    network, found = adapted(
        person.recorded([snr_db]), person.clean[: round(1.5 * seconds * RATE)], **options
    )
    return {"told_db": found.gain.mean_db} | measured(person, snr_db, by(network))


def add(
    rows: Rows, person: Person, snr_db: float, students: dict, teacher: str, jobs: list, steps: int
) -> None:
    """What is not there yet of a person; ``jobs`` are ways and seconds."""
    about = person.about | {"snr_db": snr_db}
    trivial = {NOISY: lambda heard, true: heard, IDEAL: lambda heard, true: ideal(heard[0], true[0])[None]}
    for name, call in trivial.items():
        rows.add(about | {"student": name}, lambda call=call: measured(person, snr_db, call))
    for name, weights in students.items():
        key = about | {"student": name, "sha256": sha256(weights)}
        rows.add(
            key | {"way": BEFORE, "clean": 0.0, "steps": 0},
            lambda weights=weights: measured(person, snr_db, by(networks.load(weights, "enhancer").network)),
        )
        for way, seconds in jobs:
            options = {"student": weights, "teacher": teacher, "method": way, "steps": steps}
            rows.add(
                key | {"teacher": sha256(teacher), "way": way, "clean": seconds, "steps": steps},
                lambda seconds=seconds, options=options: learnt(person, snr_db, seconds, **options),
            )
    personal.forget()


def measure(
    students: Sequence[str] = (f"2x64={personal.STUDENT}",),
    teacher: str = personal.TEACHER,
    ways: Sequence[str] = tuple(personal.ways()),
    clean: Sequence[float] = CLEAN_SECONDS,
    speakers: int = 6,
    snr: float = 0.0,
    split: Literal["dev", "test"] = "test",
    steps: int = 40,
    shard: str = "0/1",
    rows: Path | None = Path("runs/few_shot.jsonl"),
    note: str = "",
    minutes: float = float("inf"),
) -> dict | None:
    """Person by person.

    Args:
        students: NAME=WEIGHTS.
        teacher: whose word says what is noise.
        clean: seconds.
        split: dev, to choose by.
        shard: K/N, every N-th speaker, from the K-th on; several make no table.
        rows: where rows are kept, and read again.
        note: what else there is to say of these runs, for the table.
        minutes: begin nothing new after so long.
    """
    os.environ["UNBABBLE_CACHE"] = own_cache("few-shot")
    named, kept = dict(each.split("=", 1) for each in students), Rows(rows, minutes)
    first, count = map(int, shard.split("/"))
    jobs = [(way, seconds) for way in ways for seconds in clean if seconds or way != ALONE]
    for person in people(split, speakers, (TEST_SECONDS, 1.5 * max(CLEAN_SECONDS), OWN_SECONDS))[
        first::count
    ]:
        add(kept, person, snr, named, teacher, jobs, steps)
    if count > 1:
        return None
    cards = {}
    for name, weights in named.items():
        found = networks.load(weights, "enhancer")
        cards[name] = card_of(weights, found.network) | {"training": found.card.training}
    about = {"snr_db": snr, "steps": steps, "note": note, "students": cards}
    about["teacher"] = {"name": teacher, "sha256": sha256(teacher)}
    return about | {"rows": chosen(kept.read(), named, about, split, ways)}


def chosen(
    rows: list[dict], students: dict[str, str], about: dict, split: str, ways: Sequence[str]
) -> list[dict]:
    """The rows of these students, this teacher and these ways, in their order."""
    hashes, teacher = (
        {name: sha256(weights) for name, weights in students.items()},
        about["teacher"]["sha256"],
    )
    wanted = {"": 0, BEFORE: 0, **dict.fromkeys(ways, about["steps"])}
    found = [
        row
        for row in rows
        if (row["split"], row["snr_db"]) == (split, about["snr_db"])
        and (row["student"] in (NOISY, IDEAL) or row["sha256"] == hashes.get(row["student"]))
        and row.get("teacher", teacher) == teacher
        and row.get("steps", 0) == wanted.get(row.get("way", ""), -1)
    ]
    there = {row["speaker"] for row in found if row["student"] in students}
    order, by_way = [NOISY, IDEAL, *students], ["", BEFORE, *ways]
    return sorted(
        (row for row in found if row["speaker"] in there),
        key=lambda row: (order.index(row["student"]), by_way.index(row.get("way", ""))),
    )


def table(result: dict) -> str:
    rows, blocks = result["rows"], []
    durations = sorted({row["clean"] for row in rows if "clean" in row})
    of_each: dict[str, list[dict]] = {}
    for row in rows:
        named = row["student"] if len(result["students"]) > 1 or "way" not in row else ""
        of_each.setdefault(", ".join(filter(None, (named, row.get("way", "")))), []).append(row)
    for metric, title in METRICS.items():
        lines = []
        for name, of_it in of_each.items():
            values = [[row[metric] for row in of_it if row.get("clean", 0.0) == each] for each in durations]
            lines.append([name, *(figure(bootstrap(each)) if each else "" for each in values)])
        blocks.append(f"{title} (95 % interval over speakers), by seconds of clean speech.")
        blocks.append(grid([None, *(f"{each:g} s" for each in durations)], lines))
    lines = []
    for name, of_it in of_each.items():
        most = max(row.get("clean", 0.0) for row in of_it)
        there = [row for row in of_it if row.get("clean", 0.0) == most]
        by_sex = [[row["si_sdri_db"] for row in there if row["sex"] == sex] for sex in SEXES]
        least = min(row["si_sdri_db"] for row in there)
        lines.append([name, *(f"{np.mean(each):.2f}" if each else "" for each in by_sex), f"{least:.2f}"])
    training = {name: card["training"] for name, card in result["students"].items()}
    return page(
        *blocks,
        "With the most clean speech: SI-SDR improvement, dB.",
        grid("| women | men | least lucky speaker", lines),
        (
            f"- {name}: {card['parameters']:,} parameters, {card['gmacs_per_second']:.3g} GMAC/s; "
            f"{training[name].get('steps', '?'):g} steps of {training[name].get('batch', '?')} pieces of 2 s before."
            for name, card in result["students"].items()
        ),
        f"{len({row['speaker'] for row in rows})} speakers, {result['snr_db']:g} dB, {result['steps']} steps of 16 "
        "pieces of 2 s, taken whatever `adapt` found itself. Half as much clean speech again is held back and judges. "
        f"Teacher: {result['teacher']['name']}, SHA-256 {result['teacher']['sha256']}.",
        result["note"],
        PUBLISHED,
        made_by(result),
    )
