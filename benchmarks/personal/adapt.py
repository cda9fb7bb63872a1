"""Does a tiny enhancer get better on one person's own noisy recordings?

True figures, which ``adapt`` never sees. Each of ten test speakers is in one place (a noise that no network has learnt
from), at an input SNR. The first part of what they say, in the first half of the noise, are their own recordings; the
last minute, in the second half of the noise, is the test. ``adapt`` gets the recordings alone, or 10 s of clean speech
besides. Mean SI-SDR improvement over the test minute, in pieces of 4 s, with a 95 % interval over speakers; beside it
the decision that ``adapt`` took without the truth.

    python -m benchmarks adapt --snr 0 5        # --clean: also with ten seconds of clean speech
"""

import time
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from benchmarks.kit.people import KIM, SEXES, SNRS_DB, adapted, card_of, gained_by, people
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.networks import load as networks
from unbabble.signal.statistics import bootstrap
from unbabble.training import personal

KINDS = {"before": "before", "after": "adapted", "after_clean": "adapted, 10 s clean", "teacher": "teacher"}
QUICK = {"speakers": 1, "snr": [0.0], "steps": 2, "split": "dev"}


def measure(
    student: str = personal.STUDENT,
    teacher: str = personal.TEACHER,
    speakers: int = 10,
    snr: Sequence[float] = SNRS_DB,
    split: Literal["dev", "test"] = "test",
    steps: int = 200,
    clean: bool = False,
) -> Iterator[dict]:
    """Person by person.

    Args:
        clean: also with ten seconds of clean speech.
    """
    small, large = (networks.load(name, "enhancer").network for name in (student, teacher))
    rows: list[dict] = []
    result = {"student": card_of(student, small), "teacher": card_of(teacher, large), "rows": rows}
    for snr_db in snr:
        for person in people(split, speakers, (60.0, 10.0, 180.0)):
            mixture = person.tested(snr_db)
            row = {key: person.about[key] for key in ("speaker", "sex", "noise")} | {"snr_db": snr_db}
            for kind, network in (("before", small), ("teacher", large)):
                row[kind] = gained_by(network, mixture, person.test)
            for kind, given in (("after", None), ("after_clean", person.clean))[: 1 + clean]:
                began, options = time.perf_counter(), {"student": student, "teacher": teacher, "steps": steps}
                network, found = adapted(person.recorded([snr_db]), given, **options)
                row[kind] = gained_by(network, mixture, person.test)
                row[f"{kind}_kept"], row[f"{kind}_told_db"] = found.kept, found.gain.mean_db
                row[f"{kind}_blind_db"] = found.blind.mean_db if found.blind else float("nan")
                row[f"{kind}_seconds"] = time.perf_counter() - began
            personal.forget()
            rows.append(row)
            print(row, flush=True)
            yield result


def table(result: dict) -> str:
    rows, gains, sexes = result["rows"], [], []
    kinds = [kind for kind in KINDS if kind in rows[0]]
    for snr_db in sorted({row["snr_db"] for row in rows}):
        there = [row for row in rows if row["snr_db"] == snr_db]
        whole = {kind: all(kind in row for row in there) for kind in kinds}
        cells = [figure(bootstrap([row[kind] for row in there])) if whole[kind] else "" for kind in kinds]
        better = sum(row["after"] > row["before"] for row in there)
        kept = sum(row["after_kept"] for row in there)
        gains.append([f"{snr_db:g}", *cells, f"{better} of {len(there)}", kept])
    for kind in kinds:
        there = [row for row in rows if kind in row]
        means = [f"{np.mean([row[kind] for row in there if row['sex'] == sex]):.2f}" for sex in SEXES]
        sexes.append([KINDS[kind], *means, f"{min(row[kind] for row in there):.2f}"])
    true = [row["after"] - row["before"] for row in rows]
    told, blind = (
        np.corrcoef([row[f"after_{name}_db"] for row in rows], true)[0, 1] if len(rows) > 2 else np.nan
        for name in ("told", "blind")
    )
    wrong = sum(row["after_kept"] and row["after"] < row["before"] for row in rows)
    return page(
        "SI-SDR improvement, dB (95 % interval over speakers and their places); the noisy recording itself has 0.",
        grid(["input SNR, dB", *(KINDS[kind] for kind in kinds), "better", "kept"], gains),
        grid("| women | men | least lucky speaker", sexes),
        f"*better*: truly, in the test minute. *kept*: by what `adapt` found without the truth; {wrong} of these are "
        f"truly worse. The gain that it tells correlates with the true one with {told:.2f}, that of the blind "
        f"score with {blind:.2f}. One adaptation takes {np.median([row['after_seconds'] for row in rows]):.0f} s on "
        "one core.",
        (
            f"- {role}: `{card['name']}`, {card['parameters']:,} parameters, {card['gmacs_per_second']:g} GMAC/s."
            for role in ("student", "teacher")
            for card in [result[role]]
        ),
        KIM,
        made_by(result),
    )
