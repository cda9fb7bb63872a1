"""Students of every size, before and after each has learnt from a large network: who gains, and is it worth a size?

    python benchmarks/distillation.py               # goes on where it was; --shard 0/2 and 1/2: two processes
    python benchmarks/distillation.py --report      # the table of what there is so far

Each of ten test speakers is in one place (a noise that no network has learnt from). Their own recordings, up to three
minutes in the first half of the noise, are a quarter each at the four input SNRs, as those of a day are; ``adapt`` gets
these and nothing else, once for each student and each teacher. The test minute, in the second half of the noise, is
heard at every SNR, before and after. Mean SI-SDR improvement over its pieces of 4 s, with 95 % intervals over speakers.

The claim: every student improves, small ones most, and 2x64 adapted by Conv-TasNet reaches 2x1024 as it was, with a
small part of the operations. What the table says of it is computed from the rows.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import soundfile
import torch
from adapt import (
    PUBLISHED,
    RATE,
    RESULTS,
    SNRS_DB,
    about,
    gained,
    noisy,
    parts,
    pieces,
    places_of,
    speakers_of,
)
from enhance import IDEAL, fairness, fairness_cells, ideal

from unbabble.base.weights import packaged
from unbabble.data.corpora import Noise, Utterance
from unbabble.networks import load as networks
from unbabble.signal.metrics import si_sdr
from unbabble.training import personal as adapting

NAME, SEED, SPEAKERS, STEPS, PRECISION = "distillation", 0, 10, 100, "bfloat16"
ROWS = Path("runs") / f"{NAME}.jsonl"
SIZES = ("2x32", "2x64", "2x128", "2x256", "2x512", "2x1024")
PACKAGED = "2x64, packaged"
"""Has had more training than those of ``SIZES``, which had equally many steps."""
STUDENTS = {size: f"runs/gru_{size}_1200/best.safetensors" for size in SIZES} | {PACKAGED: "gru.2x64"}
TEACHERS = {"Conv-TasNet": "runs/conv_large/best.safetensors", "3x1024": "runs/gru_3x1024/best.safetensors"}
QUICK = ({"2x64": "gru.2x64"}, {"band-split": "bsrnn.1talker_16k"})
"""Packaged networks, to see that it works."""
SMALL, LARGE, CLAIMED_TEACHER, CLAIMED_RATIO = "2x64", "2x1024", "Conv-TasNet", 66
LEAST_SPEAKERS = 5
"""Of fewer, an interval says nothing."""
NOISY = "noisy"
CONFIRMED, REFUTED, OPEN = "confirmed", "refuted", "neither confirmed nor refuted"
Values = dict[str, np.ndarray]
"""Of each speaker, dB at each input SNR."""


def in_quarters(voice: np.ndarray, noise: np.ndarray, snrs_db: Sequence[float] = SNRS_DB) -> list[np.ndarray]:
    """Equal parts of a voice, each at an SNR of its own, in a noise that goes on through all of them."""
    noise = np.resize(noise, voice.shape)
    each = zip(*(np.array_split(sound, len(snrs_db)) for sound in (voice, noise)), snrs_db, strict=True)
    return [noisy(said, sound, snr_db) for said, sound, snr_db in each]


def sha256(name: str) -> str:
    """Of the weights that a name or a file stands for: rows of other weights are not these."""
    return hashlib.sha256(Path(packaged().get(name, name)).read_bytes()).hexdigest()[:12]


def there(named: Mapping[str, str]) -> dict[str, str]:
    """Those that have weights yet."""
    return {name: path for name, path in named.items() if path in packaged() or Path(path).is_file()}


@dataclass
class Scene:
    """A speaker in a place: their own recordings, and the test at each input SNR."""

    about: dict[str, Any]
    own: list[np.ndarray]
    mixtures: list[np.ndarray]
    test: np.ndarray

    @classmethod
    def of(cls, person: Utterance, place: Noise, split: str, snrs_db: Sequence[float] = SNRS_DB) -> Scene:
        own, _, test, first, second = parts(person.speaker, split, place.path)
        return cls(
            {"split": split, "speaker": person.speaker, "sex": person.sex, "noise": place.label},
            in_quarters(own, first, snrs_db),
            [noisy(test, second, snr_db) for snr_db in snrs_db],
            test,
        )

    def gained(self, network) -> list[float]:
        """SI-SDR improvement at each input SNR."""
        return [gained(network, mixture, self.test) for mixture in self.mixtures]

    def trivial(self) -> dict[str, list[float]]:
        """SI-SDR of the noisy recordings, and by how much the ideal ratio mask, which knows the truth, improves it."""
        found: dict[str, list[float]] = {NOISY: [], IDEAL: []}
        for mixture in self.mixtures:
            heard_true = list(pieces(mixture, self.test))
            before = [float(si_sdr(heard, true)) for heard, true in heard_true]
            after = [float(si_sdr(ideal(heard[0], true[0])[None], true)) for heard, true in heard_true]
            found[NOISY].append(float(np.mean(before)))
            found[IDEAL].append(float(np.mean(np.subtract(after, before))))
        return found

    def adapted(self, student: str, teacher: str, steps: int) -> dict[str, Any]:
        """A row of a student that has learnt from the person's own recordings."""
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            recordings = [Path(folder) / f"{number}.wav" for number in range(len(self.own))]
            for path, samples in zip(recordings, self.own, strict=True):
                soundfile.write(path, samples, RATE, subtype="FLOAT")
            network, found = adapting.adapt(
                recordings,
                student=student,
                teacher=teacher,
                steps=steps,
                seed=SEED,
                precision=PRECISION,
                keep=True,
                report=lambda text: None,
            )
        seconds = time.process_time() - began
        told = {"kept": found.kept, "told_db": found.gain.mean_db, "core_seconds": seconds}
        return {"db": self.gained(network)} | told


def run(
    rows: common.Rows,
    students: dict[str, str],
    teachers: dict[str, str],
    *,
    speakers: int,
    split: str,
    steps: int,
    shard: tuple[int, int],
) -> None:
    """Add to ``rows`` what is not there yet, speaker by speaker."""
    # Each process has a cache of its own: what one forgets may be another's work.
    os.environ["UNBABBLE_CACHE"] = tempfile.mkdtemp(prefix="unbabble-distillation-")
    loaded = {
        name: networks.load(weights, "enhancer").network for name, weights in (students | teachers).items()
    }
    hashes = {name: sha256(weights) for name, weights in (students | teachers).items()}
    places = places_of(split)
    for number, person in list(enumerate(speakers_of(split, speakers)))[shard[0] :: shard[1]]:
        scene = Scene.of(person, places[number % len(places)], split)

        for name in (NOISY, IDEAL):
            key = scene.about | {"network": name}
            rows.add(key, lambda name=name, scene=scene: {"db": scene.trivial()[name]})
        for name, network in loaded.items():
            key = scene.about | {"network": name, "sha256": hashes[name], "teacher": ""}
            rows.add(key, lambda network=network, scene=scene: {"db": scene.gained(network)})
        for student, teacher in itertools.product(students, teachers):
            key = scene.about | {"network": student, "sha256": hashes[student], "teacher": teacher}
            key |= {"teacher_sha256": hashes[teacher], "steps": steps}
            pair = students[student], teachers[teacher], steps
            rows.add(key, lambda pair=pair, scene=scene: scene.adapted(*pair))
        adapting.forget()


def collected(rows: list[dict], hashes: Mapping[str, str], split: str, steps: int) -> list[dict]:
    """Rows of these weights and so many steps."""
    return [
        row
        for row in rows
        if row["split"] == split
        and row.get("sha256", "") in ("", hashes.get(row["network"]))
        and (
            not row.get("teacher")
            or (row["teacher_sha256"], row["steps"]) == (hashes.get(row["teacher"]), steps)
        )
    ]


def values(rows: list[dict], network: str, teacher: str = "") -> Values:
    """Of a network as it is, or after adaptation."""
    return {
        row["speaker"]: np.array(row["db"])
        for row in rows
        if row["network"] == network and row.get("teacher", "") == teacher
    }


def gains(before: Values, after: Values) -> Values:
    """By how much adaptation, or one network over another, is better, for those of whom both are known."""
    return {speaker: after[speaker] - before[speaker] for speaker in after if speaker in before}


def judged(numbers: Sequence[float]) -> tuple[str, tuple[float, float, float]]:
    """Is the mean surely above zero (confirmed), surely below (refuted)? And its interval."""
    mean, low, high = common.interval(numbers)
    if len(numbers) < LEAST_SPEAKERS:
        return OPEN, (mean, low, high)
    return (CONFIRMED if low > 0 else REFUTED if high < 0 else OPEN), (mean, low, high)


def together(words: Sequence[str]) -> str:
    """What is claimed of several things."""
    return REFUTED if REFUTED in words else OPEN if OPEN in words else CONFIRMED


def per_doubling(gained_by: Mapping[str, Values]) -> list[float]:
    """For each speaker, dB by which the gain changes with every doubling of the units (least squares over sizes)."""
    found = []
    for speaker in sorted({speaker for each in gained_by.values() for speaker in each}):
        points = [
            (np.log2(int(size.split("x")[1])), each[speaker].mean())
            for size, each in gained_by.items()
            if size in SIZES and speaker in each
        ]
        if len(points) > 1:
            x, y = np.array(points).T
            found.append(float(np.polyfit(x, y, 1)[0]))
    return found


def by_advantage(
    rows: list[dict], improved: Mapping[tuple[str, str], Values]
) -> list[tuple[float, float, float] | None]:
    """Mean gain where the teacher is better than the student was, and elsewhere; intervals over speakers."""
    sides: list[dict[str, list[float]]] = [{}, {}]
    for (student, teacher), each in improved.items():
        advantage = gains(values(rows, student), values(rows, teacher))
        for speaker, gain in each.items():
            if speaker in advantage:
                side = sides[int(advantage[speaker].mean() <= 0)]
                side.setdefault(speaker, []).append(float(gain.mean()))
    means = [[float(np.mean(found)) for found in side.values()] for side in sides]
    return [common.interval(each) if each else None for each in means] if any(means) else []


def claim(
    rows: list[dict], students: Sequence[str], teachers: Sequence[str], macs: Mapping[str, float]
) -> dict[str, Any]:
    """Each part of the claim: a word, and the figures that it follows from; means over input SNRs."""
    improves, slopes, improved = {}, {}, {}
    for teacher in teachers:
        by_student = {
            student: gains(values(rows, student), values(rows, student, teacher)) for student in students
        }
        by_student = {student: each for student, each in by_student.items() if each}
        for student, each in by_student.items():
            improved[student, teacher] = each
            improves[f"{student} by {teacher}"] = judged([gain.mean() for gain in each.values()])
        if falls := [-each for each in per_doubling(by_student)]:
            word, (mean, low, high) = judged(falls)
            slopes[teacher] = word, (-mean, -high, -low)
    missing = [
        f"{student} by {teacher}"
        for student, teacher in itertools.product(students, teachers)
        if (student, teacher) not in improved
    ]
    found: dict[str, Any] = {
        "missing": missing,
        "improves": (together([word for word, _ in improves.values()] + [OPEN] * bool(missing)), improves),
        "small": (together([word for word, _ in slopes.values()]), slopes),
    }
    if sides := by_advantage(rows, improved):
        found["by_teacher"] = sides
    if reached := gains(values(rows, LARGE), values(rows, SMALL, CLAIMED_TEACHER)):
        found["reaches"] = judged([each.mean() for each in reached.values()])
        found["ratio"] = macs[LARGE] / macs[SMALL]
    return found


def paragraph(found: dict[str, Any], speakers: int) -> str:
    """What the figures say of the claim."""
    improves, each = found["improves"]
    by_word = {
        word: [f"{name} {figures(numbers)}" for name, (its, numbers) in each.items() if its == word]
        for word in (CONFIRMED, OPEN, REFUTED)
    }
    said = [
        f"**The claim.** *Every student improves*: {improves}. Of {len(each)} pairs of student and teacher, "
        f"{len(by_word[CONFIRMED])} gain surely"
        + (f"; not surely: {', '.join(by_word[OPEN])}" if by_word[OPEN] else "")
        + (f"; surely worse: {', '.join(by_word[REFUTED])}" if by_word[REFUTED] else "")
        + (f"; not adapted so far: {', '.join(found['missing'])}" if found["missing"] else "")
        + "."
    ]
    if "by_teacher" in found:
        ahead, behind = (figures(numbers) if numbers else "nothing" for numbers in found["by_teacher"])
        said.append(
            f"Where the teacher is better than the student was, adaptation brings {ahead}, elsewhere {behind}."
        )
    small, slopes = found["small"]
    slope = ", ".join(f"{figures(numbers)} by {teacher}" for teacher, (_, numbers) in slopes.items())
    said.append(f"*Small ones most*: {small}. With every doubling of the units the gain changes by {slope}.")
    words = [improves, small]
    if "reaches" in found:
        word, numbers = found["reaches"]
        words.append(word)
        said.append(
            f"*{SMALL} adapted by {CLAIMED_TEACHER} reaches {LARGE} as it was, with {CLAIMED_RATIO} times fewer "
            f"operations*: {word}. It is {figures(numbers)} from it, with {found['ratio']:.0f} times fewer operations"
            + (": level, as far as so many speakers can tell." if word == OPEN else ".")
        )
    said.append(
        f"The claim as a whole: {together(words)}. Figures are dB, mean over four input SNRs and {speakers} speakers, "
        "with the 95 % interval; *confirmed* and *refuted* mean that it does not hold zero."
    )
    return " ".join(said)


def figures(numbers: tuple[float, float, float]) -> str:
    mean, low, high = numbers
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def cell(found: Values, column: int | None = None, speakers: int = 0) -> str:
    """Mean and interval over speakers, at one SNR or over all; how many, where these are fewer than ``speakers``."""
    numbers = [each.mean() if column is None else each[column] for each in found.values()]
    if not numbers:
        return ""
    mean, low, high = common.interval(numbers)
    few = f"; {len(numbers)} speakers" if len(numbers) < speakers else ""
    return f"{mean:.2f} ({low:.2f} to {high:.2f}){few}"


def better(found: Values, column: int | None = None) -> str:
    return f"{sum((each.mean() if column is None else each[column]) > 0 for each in found.values())} of {len(found)}"


def text_of(result: dict) -> str:
    """The tables."""
    rows, students, teachers = result["rows"], result["students"], result["teachers"]
    count = len({row["speaker"] for row in rows if row.get("teacher")})
    adapted = {
        (student, teacher): values(rows, student, teacher) for student in students for teacher in teachers
    }
    gained_by = {
        (student, teacher): gains(values(rows, student), each) for (student, teacher), each in adapted.items()
    }
    lines = [
        f"SI-SDR improvement, dB (95 % interval over {count} speakers, each in a place of their own), of students "
        "before and after they learnt from a teacher; the noisy recording itself has 0.",
        "",
        "Mean over input SNRs; *better*: how many speakers gain by adaptation.",
        "",
        "| student | parameters | MMAC/s | before | "
        + " | ".join(f"adapted by {name} | gain | better" for name in teachers)
        + " |",
        "|-" * (4 + 3 * len(teachers)) + "|",
    ]
    for name, card in students.items():
        cells = [name, f"{card['parameters']:,}", f"{1000 * card['gmacs_per_second']:.3g}"]
        cells.append(cell(values(rows, name), None, count))
        for teacher in teachers:
            gain = gained_by[name, teacher]
            cells += [
                cell(adapted[name, teacher], None, count),
                cell(gain, None, count),
                better(gain) if gain else "",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    for column, snr_db in enumerate(result["snrs_db"]):
        lines += ["", f"Input SNR {snr_db:g} dB.", ""]
        lines += [
            "| network | as it is | " + " | ".join(f"adapted by {name} | better" for name in teachers) + " |"
        ]
        lines += ["|-" * (2 + 2 * len(teachers)) + "|"]
        for name in students:
            cells = [name, cell(values(rows, name), column, count)]
            for teacher in teachers:
                gain = gained_by[name, teacher]
                cells += [cell(adapted[name, teacher], column, count), better(gain, column) if gain else ""]
            lines.append(f"| {' | '.join(cells)} |")
        for name in teachers:
            lines.append(
                f"| teacher {name} | {cell(values(rows, name), column, count)} |" + " |" * 2 * len(teachers)
            )
        lines.append(f"| {IDEAL} | {cell(values(rows, IDEAL), column)} |" + " |" * 2 * len(teachers))
        lines.append(
            f"| noisy (its SI-SDR) | {cell(values(rows, NOISY), column)} |" + " |" * 2 * len(teachers)
        )
    lines += ["", "By sex, and of the least lucky tenth of the speakers; mean over input SNRs.", ""]
    lines += ["| student | | women | men | worst speakers |", "|-|-|-|-|-|"]
    for name in students:
        for teacher in ("", *teachers):
            there = [row for row in rows if row["network"] == name and row.get("teacher") == teacher]
            if there:
                fair = fairness([row | {"si_sdri_db": np.mean(row["db"])} for row in there])
                kind = f"adapted by {teacher}" if teacher else "before"
                lines.append(f"| {name} | {kind} | {' | '.join(fairness_cells(fair))} |")
    lines += ["", *notes(result), "", paragraph(result["claim"], count), ""]
    lines += [f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by", ""]
    lines += [f"    {result['command']}"]
    return "\n".join(lines) + "\n"


def notes(result: dict) -> list[str]:
    """How the networks were trained, what `adapt` decided without the truth, and what is published."""
    made = [row for row in result["rows"] if row.get("teacher")]
    true = [
        float((np.array(row["db"]) - values(result["rows"], row["network"])[row["speaker"]]).mean())
        for row in made
    ]
    alike = np.corrcoef([row["told_db"] for row in made], true)[0, 1] if len(made) > 2 else np.nan
    kept = [gain for row, gain in zip(made, true, strict=True) if row["kept"]]
    speakers = len({row["speaker"] for row in made})
    counts = {
        f"{name} by {teacher}": len(values(made, name, teacher))
        for name, teacher in itertools.product(result["students"], result["teachers"])
    }
    fewer = {pair: count for pair, count in counts.items() if count < speakers}
    seconds = {
        name: np.median([row["core_seconds"] for row in made if row["network"] == name])
        for name in result["students"]
        if any(row["network"] == name for row in made)
    }
    lines = [
        f"Every adaptation is that of `unbabble adapt --precision {PRECISION}` with {result['steps']} steps, taken "
        f"whatever it found itself; by that, it would have kept {len(kept)} of {len(made)}, of which "
        f"{sum(gain < 0 for gain in kept)} are truly worse. "
        f"The gain that it tells correlates with the true one with {alike:.2f}. One "
        "takes on a core, for the first student of a speaker with all that the teacher hears, "
        + ", ".join(f"{value:.0f} s ({name})" for name, value in seconds.items())
        + ".",
        "",
        "Training, all on the same 4.4 hours of speech and 19 noises, none of which are in the test:",
        "",
    ]
    for role, there in (("student", result["students"]), ("teacher", result["teachers"])):
        for name, card in there.items():
            training = card["training"]
            lines.append(
                f"- {role} {name}: {card['parameters']:,} parameters, {card['gmacs_per_second']:.3g} GMAC/s, "
                f"{training.get('steps', '?'):g} steps of {training.get('batch', '?')} pieces of 2 s, "
                f"{60 * training.get('hours', np.nan):.0f} minutes by the clock."
            )
    if result["note"]:
        lines += ["", result["note"]]
    if fewer:
        told = ", ".join(f"{pair} {count}" for pair, count in fewer.items())
        lines += ["", f"Not all {speakers} speakers: {told}."]
    return [
        *lines,
        "",
        f"{PUBLISHED} There the networks heard the hundred hours of train-clean-100, to the end of their training, and "
        "learnt from each person in 200 epochs; so differences compare, not levels.",
    ]


def report(arguments: argparse.Namespace, students: dict[str, str], teachers: dict[str, str]) -> None:
    """Write the table of the rows that there are."""
    hashes = {name: sha256(weights) for name, weights in (students | teachers).items()}
    rows = collected(common.Rows(arguments.rows).read(), hashes, arguments.split, arguments.steps)
    result = {
        "machine": common.machine(),
        "command": common.command().partition(" --note")[0],
        "seed": SEED,
        "steps": arguments.steps,
    }
    result |= {"snrs_db": SNRS_DB, "split": arguments.split, "note": arguments.note, "rows": rows}
    for key, named in (("students", students), ("teachers", teachers)):
        result[key] = {}
        for name, weights in named.items():
            found = networks.load(weights, "enhancer")
            result[key][name] = about(weights, found.network) | {"training": found.card.training}
            result[key][name]["sha256"] = hashes[name]
    macs = {name: card["gmacs_per_second"] for name, card in result["students"].items()}
    result["claim"] = claim(rows, list(students), list(teachers), macs)
    result["rows"] = common.rounded(rows, 4)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, default in (("--students", STUDENTS), ("--teachers", TEACHERS)):
        parser.add_argument(
            option,
            nargs="*",
            metavar="NAME=WEIGHTS",
            default=[f"{name}={weights}" for name, weights in default.items()],
            help="those without weights yet are left out",
        )
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="dev: to choose by")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--shard", default="0/1", metavar="K/N", help="every N-th speaker, from the K-th on")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where rows are kept, and found again")
    parser.add_argument("--note", default="", help="what else there is to say of these runs, for the table")
    parser.add_argument("--report", action="store_true", help="only make the table")
    parser.add_argument(
        "--quick", action="store_true", help="one dev speaker, packaged networks; saves nothing"
    )
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.jsonl"
            run(common.Rows(rows), *QUICK, speakers=1, split="dev", steps=10, shard=(0, 1))
        return
    students, teachers = (
        there(dict(each.split("=", 1) for each in named))
        for named in (arguments.students, arguments.teachers)
    )
    first, count = map(int, arguments.shard.split("/"))
    if not arguments.report:
        run(
            common.Rows(arguments.rows),
            students,
            teachers,
            speakers=arguments.speakers,
            split=arguments.split,
            steps=arguments.steps,
            shard=(first, count),
        )
    if count == 1:
        report(arguments, students, teachers)


if __name__ == "__main__":
    main()
