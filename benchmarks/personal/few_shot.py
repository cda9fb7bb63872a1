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

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.kit import people
from benchmarks.kit.people import IDEAL, NOISY, RATE, Person, sha256
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
QUICK = {"split": "dev", "speakers": 1, "ways": ["distillation", ALONE], "clean": [0.0, 3.0], "steps": 5}
QUICK |= {"rows": None}
Heard = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a mixture and the true voice, (1, time) each, to what comes out."""


@torch.no_grad()
def measured(person: Person, snr_db: float, call: Heard) -> dict[str, float]:
    """Means over the pieces of the test."""
    result: list[tuple[float, float, float]] = []
    for mixture, true in people.pieces(person.tested(snr_db), person.test):
        estimate = call(mixture, true)
        gain = float(si_sdr(estimate, true) - si_sdr(mixture, true))
        result.append((gain, float(pesq(estimate, true, RATE)), float(estoi(estimate, true, RATE))))
    return dict(zip(METRICS, np.nanmean(result, 0).tolist(), strict=True))


def by(network) -> Heard:
    """A network at its usual level."""
    return lambda mixture, true: network.estimate(mixture / mixture.square().mean().sqrt())[:, 0]


def learnt(person: Person, snr_db: float, seconds: float, **options) -> dict[str, float]:
    """Of a student that has learnt from the recordings, and from so much clean speech."""
    clean = person.clean[: round(1.5 * seconds * RATE)]  # a third judges, and is not learnt from
    network, report = people.adapted(person.recorded([snr_db]), clean, **options)
    return {"told_db": report.gain.mean_db} | measured(person, snr_db, by(network))


def add(
    rows: Rows,
    person: Person,
    snr_db: float,
    students: Mapping[str, str],
    teacher: str,
    jobs: Sequence[tuple[str, float]],
    steps: int,
) -> None:
    """What is not there yet of a person; ``jobs`` are ways and seconds."""
    about = person.about | {"snr_db": snr_db}
    trivial = {
        NOISY: lambda mixture, true: mixture,
        IDEAL: lambda mixture, true: people.ideal(mixture[0], true[0])[None],
    }
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
    students: Mapping[str, str] = {"2x64": personal.STUDENT},
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
        students: weights by name.
        teacher: whose word says what is noise.
        clean: seconds.
        rows: where rows are kept, and read again.
    """
    people.own_cache()
    kept = Rows(rows, minutes, shard)
    jobs = [(way, seconds) for way in ways for seconds in clean if seconds or way != ALONE]
    seconds = (TEST_SECONDS, 1.5 * max(CLEAN_SECONDS), OWN_SECONDS)
    for person in kept.mine(people.people(split, speakers, seconds)):
        add(kept, person, snr, students, teacher, jobs, steps)
    if not kept.whole:
        return None
    about = {"snr_db": snr, "steps": steps, "note": note, "students": people.cards(students)}
    about["teacher"] = {"name": teacher, "sha256": sha256(teacher)}
    return about | {"rows": chosen(kept.read(), students, about, split, ways)}
