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
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.kit import people
from benchmarks.kit.people import IDEAL, NOISY, SNRS_DB, Person, gained_by, sha256
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.rows import Rows
from benchmarks.personal._distilled import PRECISION, SIZES, claim, collected
from benchmarks.personal._distilled import table as table
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.signal.metrics import si_sdr
from unbabble.training import personal

STUDENTS = {size: f"runs/gru_{size}_1200/best.safetensors" for size in SIZES} | {"2x64, packaged": "gru.2x64"}
"""The packaged one has had more training than the others, which had equally many steps."""
TEACHERS = {"Conv-TasNet": "runs/conv_large/best.safetensors", "3x1024": "runs/gru_3x1024/best.safetensors"}
QUICK = {"students": {"2x64": "gru.2x64"}, "teachers": {"band-split": "bsrnn.1talker_16k"}, "split": "dev"}
QUICK |= {"speakers": 1, "steps": 10, "rows": None}


def there(named: Mapping[str, str]) -> dict[str, str]:
    """Those that have weights yet."""
    return {name: path for name, path in named.items() if path in packaged() or Path(path).is_file()}


def gains_of(network, person: Person) -> dict[str, list[float]]:
    """SI-SDR improvement at each input SNR."""
    return {"db": [gained_by(network, person.tested(snr_db), person.test) for snr_db in SNRS_DB]}


def trivial(person: Person, name: str) -> dict[str, list[float]]:
    """SI-SDR of the noisy recordings, or by how much the ideal ratio mask, which knows the truth, improves it."""
    result = []
    for snr_db in SNRS_DB:
        pairs = list(people.pieces(person.tested(snr_db), person.test))
        before = [float(si_sdr(mixture, true)) for mixture, true in pairs]
        after = [float(si_sdr(people.ideal(mixture[0], true[0])[None], true)) for mixture, true in pairs]
        result.append(float(np.mean(before if name == NOISY else np.subtract(after, before))))
    return {"db": result}


def learnt(person: Person, student: str, teacher: str, steps: int) -> dict[str, Any]:
    """Of a student that has learnt from the person's own recordings."""
    began, options = time.process_time(), {"student": student, "teacher": teacher, "steps": steps}
    network, report = people.adapted(person.recorded(SNRS_DB), precision=PRECISION, **options)
    decision = {
        "kept": report.kept,
        "told_db": report.gain.mean_db,
        "core_seconds": time.process_time() - began,
    }
    return gains_of(network, person) | decision


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
    students: Mapping[str, str] = STUDENTS,
    teachers: Mapping[str, str] = TEACHERS,
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
        students: weights by name; those that are not there yet are left out.
        teachers: likewise.
        rows: where rows are kept, and read again.
    """
    people.own_cache()
    small, large, kept = there(students), there(teachers), Rows(rows, minutes, shard)
    for person in kept.mine(people.people(split, speakers, (60.0, 10.0, 180.0))):
        add(kept, person, small, large, steps)
    if not kept.whole:
        return None
    cards = {"students": people.cards(small), "teachers": people.cards(large)}
    hashes = {name: card["sha256"] for those in cards.values() for name, card in those.items()}
    about = {"steps": steps, "snrs_db": SNRS_DB, "split": split, "note": note}
    result = collected(kept.read(), hashes, split, steps)
    macs = {name: card["gmacs_per_second"] for name, card in cards["students"].items()}
    return about | {"rows": result} | cards | {"claim": claim(result, list(small), list(large), macs)}
