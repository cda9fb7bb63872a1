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
from benchmarks.personal._few_shot_tables import BEFORE, METRICS, chosen
from benchmarks.personal._few_shot_tables import table as table
from unbabble.networks import load as networks
from unbabble.signal.metrics import estoi, pesq, si_sdr
from unbabble.training import personal

NAMES = ("few_shot", "few_shot_sizes", "without_clean", "few_shot_dev")
TEST_SECONDS, OWN_SECONDS, CLEAN_SECONDS = 40.0, 90.0, (0.0, 3.0, 10.0, 30.0)
ALONE = "fine_tuning"
Heard = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From what is heard, and what is true, (1, time) each, to what comes out."""
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
