"""What the rows of ``distillation.py`` say of its claim, and their tables."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.kit.people import IDEAL, KIM, NOISY, fairness, fairness_cells
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.signal.statistics import bootstrap

SIZES = ("2x32", "2x64", "2x128", "2x256", "2x512", "2x1024")
SMALL, LARGE, CLAIMED_TEACHER, CLAIMED_RATIO = "2x64", "2x1024", "Conv-TasNet", 66
LEAST_SPEAKERS = 5
"""Of fewer, an interval says nothing."""
PRECISION = "bfloat16"
CONFIRMED, REFUTED, OPEN = "confirmed", "refuted", "neither confirmed nor refuted"
Values = dict[str, np.ndarray]
"""Of each speaker, dB at each input SNR."""


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
    these = (row for row in rows if (row["network"], row.get("teacher", "")) == (network, teacher))
    return {row["speaker"]: np.array(row["db"]) for row in these}


def gains(before: Values, after: Values) -> Values:
    """By how much adaptation, or one network over another, is better, for those of whom both are known."""
    return {speaker: after[speaker] - before[speaker] for speaker in after if speaker in before}


def judged(numbers: Sequence[float]) -> tuple[str, tuple[float, float, float]]:
    """Is the mean surely above zero (confirmed), surely below (refuted)? And its interval."""
    mean, low, high = bootstrap(numbers)
    word = CONFIRMED if low > 0 else REFUTED if high < 0 else OPEN
    return (word if len(numbers) >= LEAST_SPEAKERS else OPEN), (mean, low, high)


def together(words: Sequence[str]) -> str:
    """What is claimed of several things."""
    return REFUTED if REFUTED in words else OPEN if OPEN in words else CONFIRMED


def per_doubling(gained_by: Mapping[str, Values]) -> list[float]:
    """For each speaker, dB by which the gain changes with every doubling of the units (least squares over sizes)."""
    found = []
    for speaker in sorted({speaker for each in gained_by.values() for speaker in each}):
        sizes = [size for size in gained_by if size in SIZES and speaker in gained_by[size]]
        if len(sizes) > 1:
            units = np.log2([int(size.split("x")[1]) for size in sizes])
            found.append(float(np.polyfit(units, [gained_by[size][speaker].mean() for size in sizes], 1)[0]))
    return found


def by_advantage(
    rows: list[dict], improved: Mapping[tuple[str, str], Values]
) -> list[tuple[float, float, float] | None]:
    """Mean gain where the teacher is better than the student was, and elsewhere; intervals over speakers."""
    sides: list[dict[str, list[float]]] = [{}, {}]
    for (student, teacher), each in improved.items():
        advantage = gains(values(rows, student), values(rows, teacher))
        for speaker in (one for one in each if one in advantage):
            side = sides[int(advantage[speaker].mean() <= 0)]
            side.setdefault(speaker, []).append(float(each[speaker].mean()))
    means = [[float(np.mean(found)) for found in side.values()] for side in sides]
    return [bootstrap(each) if each else None for each in means] if any(means) else []


def claim(
    rows: list[dict], students: Sequence[str], teachers: Sequence[str], macs: Mapping[str, float]
) -> dict[str, Any]:
    """Each part of the claim: a word, and the figures that it follows from; means over input SNRs."""
    slopes, improved, missing = {}, {}, []
    for teacher, student in itertools.product(teachers, students):
        if each := gains(values(rows, student), values(rows, student, teacher)):
            improved[student, teacher] = each
    missing = [f"{s} by {t}" for s, t in itertools.product(students, teachers) if (s, t) not in improved]
    improves = {
        f"{s} by {t}": judged([gain.mean() for gain in each.values()]) for (s, t), each in improved.items()
    }
    for teacher in teachers:
        by_student = {student: each for (student, its), each in improved.items() if its == teacher}
        if falls := [-each for each in per_doubling(by_student)]:
            word, (mean, low, high) = judged(falls)
            slopes[teacher] = word, (-mean, -high, -low)
    words = [word for word, _ in improves.values()] + [OPEN] * bool(missing)
    found: dict[str, Any] = {"missing": missing, "improves": (together(words), improves)}
    found["small"] = together([word for word, _ in slopes.values()]), slopes
    if sides := by_advantage(rows, improved):
        found["by_teacher"] = sides
    if reached := gains(values(rows, LARGE), values(rows, SMALL, CLAIMED_TEACHER)):
        found["reaches"] = judged([each.mean() for each in reached.values()])
        found["ratio"] = macs[LARGE] / macs[SMALL]
    return found


def signed(numbers: Sequence[float]) -> str:
    mean, low, high = numbers
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def paragraph(found: dict[str, Any], speakers: int) -> str:
    """What the figures say of the claim."""
    (improves, each), (small, slopes) = found["improves"], found["small"]
    pairs = {
        word: ", ".join(f"{name} {signed(numbers)}" for name, (its, numbers) in each.items() if its == word)
        for word in (OPEN, REFUTED)
    }
    sure = sum(word == CONFIRMED for word, _ in each.values())
    missing = ", ".join(found["missing"])
    beside = {"not surely": pairs[OPEN], "surely worse": pairs[REFUTED], "not adapted so far": missing}
    said = [
        f"**The claim.** *Every student improves*: {improves}. Of {len(each)} pairs of student and teacher, {sure} "
        f"gain surely{''.join(f'; {what}: {which}' for what, which in beside.items() if which)}."
    ]
    if "by_teacher" in found:
        ahead, behind = (signed(numbers) if numbers else "nothing" for numbers in found["by_teacher"])
        said.append(
            f"Where the teacher is better than the student was, adaptation brings {ahead}, elsewhere {behind}."
        )
    slope = ", ".join(f"{signed(numbers)} by {teacher}" for teacher, (_, numbers) in slopes.items())
    said.append(f"*Small ones most*: {small}. With every doubling of the units the gain changes by {slope}.")
    words = [improves, small]
    if "reaches" in found:
        word, numbers = found["reaches"]
        words.append(word)
        said.append(
            f"*{SMALL} adapted by {CLAIMED_TEACHER} reaches {LARGE} as it was, with {CLAIMED_RATIO} times fewer "
            f"operations*: {word}. It is {signed(numbers)} from it, with {found['ratio']:.0f} times fewer operations"
            + (": level, as far as so many speakers can tell." if word == OPEN else ".")
        )
    return " ".join(
        [
            *said,
            f"The claim as a whole: {together(words)}. Figures are dB, mean over four input SNRs and {speakers} "
            "speakers, with the 95 % interval; *confirmed* and *refuted* mean that it does not hold zero.",
        ]
    )


def numbers_of(found: Values, column: int | None) -> list[float]:
    """Of each speaker, at one SNR or the mean over all."""
    return [each.mean() if column is None else each[column] for each in found.values()]


def cell(found: Values, column: int | None = None, speakers: int = 0) -> str:
    """Mean and interval over speakers; how many, where these are fewer than ``speakers``."""
    numbers = numbers_of(found, column)
    few = f"; {len(numbers)} speakers" if len(numbers) < speakers else ""
    return figure(bootstrap(numbers)) + few if numbers else ""


def better(found: Values, column: int | None = None) -> str:
    return f"{sum(number > 0 for number in numbers_of(found, column))} of {len(found)}" if found else ""


class Tables:
    """The rows of a result, student by student."""

    def __init__(self, result: dict) -> None:
        self.result, self.rows = result, result["rows"]
        self.students, self.teachers = result["students"], result["teachers"]
        self.made = [row for row in self.rows if row.get("teacher")]
        self.count = len({row["speaker"] for row in self.made})

    def adapted(self, student: str, teacher: str) -> tuple[Values, Values]:
        """After adaptation, and what it gained."""
        after = values(self.rows, student, teacher)
        return after, gains(values(self.rows, student), after)

    def over_snrs(self) -> Iterator[list[str]]:
        for name, card in self.students.items():
            cells = [name, f"{card['parameters']:,}", f"{1000 * card['gmacs_per_second']:.3g}"]
            cells.append(cell(values(self.rows, name), None, self.count))
            for teacher in self.teachers:
                after, gain = self.adapted(name, teacher)
                cells += [cell(after, None, self.count), cell(gain, None, self.count), better(gain)]
            yield cells

    def at_snr(self, column: int) -> Iterator[list[str | None]]:
        for name in self.students:
            cells = [name, cell(values(self.rows, name), column, self.count)]
            for teacher in self.teachers:
                after, gain = self.adapted(name, teacher)
                cells += [cell(after, column, self.count), better(gain, column)]
            yield cells
        none = [None] * 2 * len(self.teachers)
        for name in self.teachers:
            yield [f"teacher {name}", cell(values(self.rows, name), column, self.count), *none]
        for name, title in ((IDEAL, IDEAL), (NOISY, "noisy (its SI-SDR)")):
            yield [title, cell(values(self.rows, name), column), *none]

    def by_sex(self) -> Iterator[list[str]]:
        for name, teacher in itertools.product(self.students, ("", *self.teachers)):
            if there := [row for row in self.rows if (row["network"], row.get("teacher")) == (name, teacher)]:
                fair = fairness([row | {"si_sdri_db": np.mean(row["db"])} for row in there])
                yield [name, f"adapted by {teacher}" if teacher else "before", *fairness_cells(fair)]

    def decided(self) -> str:
        """What ``adapt`` decided without the truth."""
        before = {name: values(self.rows, name) for name in self.students}
        true = [
            float((np.array(row["db"]) - before[row["network"]][row["speaker"]]).mean()) for row in self.made
        ]
        told = [row["told_db"] for row in self.made]
        alike = np.corrcoef(told, true)[0, 1] if len(self.made) > 2 else np.nan
        kept = [gain for row, gain in zip(self.made, true, strict=True) if row["kept"]]
        seconds = {
            name: [row["core_seconds"] for row in self.made if row["network"] == name]
            for name in self.students
        }
        return (
            f"Every adaptation is that of `unbabble adapt --precision {PRECISION}` with {self.result['steps']} steps, "
            f"taken whatever it found itself; by that, it would have kept {len(kept)} of {len(self.made)}, of which "
            f"{sum(gain < 0 for gain in kept)} are truly worse. The gain that it tells correlates with the true one "
            f"with {alike:.2f}. One takes on a core, for the first student of a speaker with all that the teacher "
            f"hears, {', '.join(f'{np.median(each):.0f} s ({name})' for name, each in seconds.items() if each)}."
        )

    def trained(self) -> Iterator[str]:
        for role, those in (("student", self.students), ("teacher", self.teachers)):
            for name, card in those.items():
                training = card["training"]
                yield (
                    f"- {role} {name}: {card['parameters']:,} parameters, {card['gmacs_per_second']:.3g} GMAC/s, "
                    f"{training.get('steps', '?'):g} steps of {training.get('batch', '?')} pieces of 2 s, "
                    f"{60 * training.get('hours', np.nan):.0f} minutes by the clock."
                )

    def fewer(self) -> str:
        """Pairs that not all speakers have."""
        pairs = itertools.product(self.students, self.teachers)
        counts = {f"{name} by {teacher}": len(values(self.made, name, teacher)) for name, teacher in pairs}
        told = ", ".join(f"{pair} {count}" for pair, count in counts.items() if count < self.count)
        return f"Not all {self.count} speakers: {told}." if told else ""


def table(result: dict) -> str:
    tables, blocks = Tables(result), []
    means = [[f"adapted by {name}", "gain", "better"] for name in tables.teachers]
    each = [[f"adapted by {name}", "better"] for name in tables.teachers]
    for column, snr_db in enumerate(result["snrs_db"]):
        blocks.append(f"Input SNR {snr_db:g} dB.")
        blocks.append(grid(["network", "as it is", *itertools.chain(*each)], tables.at_snr(column)))
    return page(
        f"SI-SDR improvement, dB (95 % interval over {tables.count} speakers, each in a place of their own), of "
        "students before and after they learnt from a teacher; the noisy recording itself has 0.",
        "Mean over input SNRs; *better*: how many speakers gain by adaptation.",
        grid(["student", "parameters", "MMAC/s", "before", *itertools.chain(*means)], tables.over_snrs()),
        *blocks,
        "By sex, and of the least lucky tenth of the speakers; mean over input SNRs.",
        grid("student | | women | men | worst speakers", tables.by_sex()),
        tables.decided(),
        "Training, all on the same 4.4 hours of speech and 19 noises, none of which are in the test:",
        tables.trained(),
        result["note"],
        tables.fewer(),
        f"{KIM} There the networks heard the hundred hours of train-clean-100, to the end of their training, and "
        "learnt from each person in 200 epochs; so differences compare, not levels.",
        paragraph(result["claim"], tables.count),
        made_by(result),
    )
