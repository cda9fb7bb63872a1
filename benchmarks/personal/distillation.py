"""Which students gain by adaptation, and is it worth a size?

Students of every size, before and after each has learnt from a large network. Each of ten test speakers is in one place
(a noise that no network has learnt from). Their own recordings, up to three minutes in the first half of the noise, are
a quarter each at the four input SNRs, as those of a day are; ``adapt`` gets these and nothing else, once for each
student and each teacher. The test minute, in the second half of the noise, is heard at every SNR, before and after.
Mean SI-SDR improvement over its pieces of 4 s, with 95 % intervals over speakers.

The claim: every student improves, small ones most, and 2x64 adapted by Conv-TasNet reaches 2x1024 as it was, with a
small part of the operations. What the table says of it is computed from the rows.

    python -m benchmarks distillation               # goes on where it was; --shard 0/2 and 1/2: two processes
    python -m benchmarks distillation --minutes 0   # the table of what there is so far
"""

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.kit.people import (
    IDEAL,
    NOISY,
    SNRS_DB,
    Person,
    adapted,
    card_of,
    gained_by,
    ideal,
    own_cache,
    people,
    pieces,
    sha256,
)
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.rows import Rows
from benchmarks.personal._distilled import PRECISION, SIZES, claim, collected
from benchmarks.personal._distilled import table as table
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.signal.metrics import si_sdr
from unbabble.training import personal

STUDENTS = [f"{size}=runs/gru_{size}_1200/best.safetensors" for size in SIZES] + ["2x64, packaged=gru.2x64"]
"""The packaged one has had more training than the others, which had equally many steps."""
TEACHERS = ("Conv-TasNet=runs/conv_large/best.safetensors", "3x1024=runs/gru_3x1024/best.safetensors")
QUICK = {"students": ["2x64=gru.2x64"], "teachers": ["band-split=bsrnn.1talker_16k"], "split": "dev"}
QUICK |= {"speakers": 1, "steps": 10, "rows": None}


def named(given: Sequence[str]) -> dict[str, str]:
    """Those that have weights yet."""
    pairs = dict(each.split("=", 1) for each in given)
    return {name: path for name, path in pairs.items() if path in packaged() or Path(path).is_file()}


def gains_of(network, person: Person) -> dict[str, list[float]]:
    """SI-SDR improvement at each input SNR."""
    return {"db": [gained_by(network, person.tested(snr_db), person.test) for snr_db in SNRS_DB]}


def trivial(person: Person, name: str) -> dict[str, list[float]]:
    """SI-SDR of the noisy recordings, or by how much the ideal ratio mask, which knows the truth, improves it."""
    found = []
    for snr_db in SNRS_DB:
        heard_true = list(pieces(person.tested(snr_db), person.test))
        before = [float(si_sdr(heard, true)) for heard, true in heard_true]
        after = [float(si_sdr(ideal(heard[0], true[0])[None], true)) for heard, true in heard_true]
        found.append(float(np.mean(before if name == NOISY else np.subtract(after, before))))
    return {"db": found}


def learnt(person: Person, student: str, teacher: str, steps: int) -> dict[str, Any]:
    """Of a student that has learnt from the person's own recordings."""
    began, options = time.process_time(), {"student": student, "teacher": teacher, "steps": steps}
    network, found = adapted(person.recorded(SNRS_DB), precision=PRECISION, **options)
    told = {"kept": found.kept, "told_db": found.gain.mean_db, "core_seconds": time.process_time() - began}
    return gains_of(network, person) | told


def add(
    rows: Rows, person: Person, students: Mapping[str, str], teachers: Mapping[str, str], steps: int
) -> None:
    """What is not there yet of a person."""
    for name in (NOISY, IDEAL):
        rows.add(person.about | {"network": name}, lambda name=name: trivial(person, name))
    for name, weights in (*students.items(), *teachers.items()):
        key = person.about | {"network": name, "sha256": sha256(weights), "teacher": ""}
        rows.add(key, lambda weights=weights: gains_of(networks.load(weights, "enhancer").network, person))
    for student, teacher in itertools.product(students, teachers):
        pair = students[student], teachers[teacher]
        key = person.about | {"network": student, "sha256": sha256(pair[0]), "teacher": teacher}
        key |= {"teacher_sha256": sha256(pair[1]), "steps": steps}
        rows.add(key, lambda pair=pair: learnt(person, *pair, steps))
    personal.forget()


def measure(
    students: Sequence[str] = tuple(STUDENTS),
    teachers: Sequence[str] = TEACHERS,
    speakers: int = 10,
    split: Literal["dev", "test"] = "test",
    steps: int = 100,
    shard: str = "0/1",
    rows: Path | None = Path("runs/distillation.jsonl"),
    note: str = "",
    minutes: float = float("inf"),
) -> dict | None:
    """Person by person.

    Args:
        students: NAME=WEIGHTS; those without weights yet are left out.
        teachers: likewise.
        split: dev, to choose by.
        shard: K/N, every N-th speaker, from the K-th on; several make no table.
        rows: where rows are kept, and read again.
        note: what else there is to say of these runs, for the table.
        minutes: begin nothing new after so long.
    """
    os.environ["UNBABBLE_CACHE"] = own_cache("distillation")
    first, count = map(int, shard.split("/"))
    small, large, kept = named(students), named(teachers), Rows(rows, minutes)
    for person in people(split, speakers, (60.0, 10.0, 180.0))[first::count]:
        add(kept, person, small, large, steps)
    if count > 1:
        return None
    hashes = {name: sha256(weights) for name, weights in (small | large).items()}
    there = collected(kept.read(), hashes, split, steps)
    result: dict[str, Any] = {"steps": steps, "snrs_db": SNRS_DB, "split": split, "note": note, "rows": there}
    for key, those in (("students", small), ("teachers", large)):
        result[key] = {}
        for name, weights in those.items():
            found = networks.load(weights, "enhancer")
            about = {"training": found.card.training, "sha256": hashes[name]}
            result[key][name] = card_of(weights, found.network) | about
    macs = {name: card["gmacs_per_second"] for name, card in result["students"].items()}
    return result | {"claim": claim(there, list(small), list(large), macs)}
