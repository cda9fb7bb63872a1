"""What the rows of ``distillation.py`` say of its claim, and their tables."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.kit.people import FAIRNESS, IDEAL, KIM, NOISY, fairness
from benchmarks.kit.table import figure, filled, grid, made_by, page
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

    def fits(row: dict) -> bool:
        teacher = row.get("teacher")
        if row["split"] != split or row.get("sha256", "") not in ("", hashes.get(row["network"])):
            return False
        return not teacher or (row["teacher_sha256"], row["steps"]) == (hashes.get(teacher), steps)

    return [row for row in rows if fits(row)]


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
    result = []
    for speaker in sorted({speaker for each in gained_by.values() for speaker in each}):
        sizes = [size for size in gained_by if size in SIZES and speaker in gained_by[size]]
        if len(sizes) > 1:
            units = np.log2([int(size.split("x")[1]) for size in sizes])
            result.append(float(np.polyfit(units, [gained_by[size][speaker].mean() for size in sizes], 1)[0]))
    return result


def by_advantage(
    rows: list[dict], improved: Mapping[tuple[str, str], Values]
) -> list[Sequence[float] | None]:
    """Mean gain where the teacher is better than the student was, and elsewhere; intervals over speakers."""
    sides: tuple[dict, dict] = defaultdict(list), defaultdict(list)
    for (student, teacher), each in improved.items():
        for speaker, advantage in gains(values(rows, student), values(rows, teacher)).items():
            if speaker in each:
                sides[int(advantage.mean() <= 0)][speaker].append(float(each[speaker].mean()))
    means = [[float(np.mean(its)) for its in side.values()] for side in sides]
    return [bootstrap(each) if each else None for each in means] if any(means) else []


def claim(
    rows: list[dict], students: Sequence[str], teachers: Sequence[str], macs: Mapping[str, float]
) -> dict[str, Any]:
    """Each part of the claim: a word, and the figures that it follows from; means over input SNRs."""
    pairs, slopes = list(itertools.product(students, teachers)), {}
    by_teacher = {
        (student, teacher): gains(values(rows, student), values(rows, student, teacher))
        for teacher, student in itertools.product(teachers, students)
    }
    improved = {pair: gain for pair, gain in by_teacher.items() if gain}
    missing = [f"{student} by {teacher}" for student, teacher in pairs if (student, teacher) not in improved]
    improves = {
        f"{student} by {teacher}": judged([gain.mean() for gain in its.values()])
        for (student, teacher), its in improved.items()
    }
    for teacher in teachers:
        by_student = {student: its for (student, who), its in improved.items() if who == teacher}
        if falls := [-each for each in per_doubling(by_student)]:
            word, (mean, low, high) = judged(falls)
            slopes[teacher] = word, (-mean, -high, -low)
    words = [word for word, _ in improves.values()] + [OPEN] * bool(missing)
    parts: dict[str, Any] = {"missing": missing, "improves": (together(words), improves)}
    parts["small"] = together([word for word, _ in slopes.values()]), slopes
    if sides := by_advantage(rows, improved):
        parts["by_teacher"] = sides
    if reached := gains(values(rows, LARGE), values(rows, SMALL, CLAIMED_TEACHER)):
        parts["reaches"] = judged([each.mean() for each in reached.values()])
        parts["ratio"] = macs[LARGE] / macs[SMALL]
    return parts


def signed(numbers: Sequence[float]) -> str:
    mean, low, high = numbers
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def paragraph(result: dict[str, Any], speakers: int) -> str:
    """What the figures say of the claim."""
    (improves, each), (small, slopes) = result["improves"], result["small"]
    pairs = {
        word: ", ".join(f"{name} {signed(numbers)}" for name, (its, numbers) in each.items() if its == word)
        for word in (OPEN, REFUTED)
    }
    sure = sum(word == CONFIRMED for word, _ in each.values())
    missing = ", ".join(result["missing"])
    beside = {"not surely": pairs[OPEN], "surely worse": pairs[REFUTED], "not adapted so far": missing}
    said = [
        f"**The claim.** *Every student improves*: {improves}. Of {len(each)} pairs of student and teacher, {sure} "
        f"gain surely{''.join(f'; {what}: {which}' for what, which in beside.items() if which)}."
    ]
    if "by_teacher" in result:
        ahead, behind = (signed(numbers) if numbers else "nothing" for numbers in result["by_teacher"])
        said.append(
            f"Where the teacher is better than the student was, adaptation brings {ahead}, elsewhere {behind}."
        )
    slope = ", ".join(f"{signed(numbers)} by {teacher}" for teacher, (_, numbers) in slopes.items())
    said.append(f"*Small ones most*: {small}. With every doubling of the units the gain changes by {slope}.")
    words = [improves, small]
    if "reaches" in result:
        word, numbers = result["reaches"]
        words.append(word)
        said.append(
            f"*{SMALL} adapted by {CLAIMED_TEACHER} reaches {LARGE} as it was, with {CLAIMED_RATIO} times fewer "
            f"operations*: {word}. It is {signed(numbers)} from it, with {result['ratio']:.0f} times fewer operations"
            + (": level, as far as so many speakers can tell." if word == OPEN else ".")
        )
    return " ".join(
        [
            *said,
            f"The claim as a whole: {together(words)}. Figures are dB, mean over four input SNRs and {speakers} "
            "speakers, with the 95 % interval; *confirmed* and *refuted* mean that it does not hold zero.",
        ]
    )


def numbers_of(result: Values, column: int | None) -> list[float]:
    """Of each speaker, at one SNR or the mean over all."""
    return [each.mean() if column is None else each[column] for each in result.values()]


def cell(result: Values, column: int | None = None, speakers: int = 0) -> str:
    """Mean and interval over speakers; how many, where these are fewer than ``speakers``."""
    numbers = numbers_of(result, column)
    few = f"; {len(numbers)} speakers" if len(numbers) < speakers else ""
    return figure(bootstrap(numbers)) + few if numbers else ""


def better(result: Values, column: int | None = None) -> str:
    return f"{sum(number > 0 for number in numbers_of(result, column))} of {len(result)}" if result else ""


def adapted_cells(
    rows: list[dict], student: str, teachers: Iterable[str], speakers: int, column: int | None = None
) -> Iterator[str]:
    """By teacher: what comes after, the gain (in the mean over SNRs), and how many gain."""
    before = values(rows, student)
    for teacher in teachers:
        after = values(rows, student, teacher)
        gain = gains(before, after)
        yield cell(after, column, speakers)
        if column is None:
            yield cell(gain, None, speakers)
        yield better(gain, column)


def at_snr(result: dict, column: int, speakers: int) -> Iterator[list[str | None]]:
    rows, teachers = result["rows"], result["teachers"]
    for name in result["students"]:
        before = cell(values(rows, name), column, speakers)
        yield [name, before, *adapted_cells(rows, name, teachers, speakers, column)]
    none = [None] * 2 * len(teachers)
    for name in teachers:
        yield [f"teacher {name}", cell(values(rows, name), column, speakers), *none]
    for name, title in ((IDEAL, IDEAL), (NOISY, "noisy (its SI-SDR)")):
        yield [title, cell(values(rows, name), column), *none]


def by_sex(result: dict) -> Iterator[list[str]]:
    for name, teacher in itertools.product(result["students"], ("", *result["teachers"])):
        there = [row for row in result["rows"] if (row["network"], row.get("teacher")) == (name, teacher)]
        if there:
            fair = fairness([row | {"si_sdri_db": np.mean(row["db"])} for row in there])
            yield [name, f"adapted by {teacher}" if teacher else "before", *filled(FAIRNESS, fair)]


def decided(result: dict, adapted: list[dict]) -> str:
    """What ``adapt`` decided without the truth."""
    before = {name: values(result["rows"], name) for name in result["students"]}
    true = [float((np.array(row["db"]) - before[row["network"]][row["speaker"]]).mean()) for row in adapted]
    alike = np.corrcoef([row["told_db"] for row in adapted], true)[0, 1] if len(adapted) > 2 else np.nan
    kept = [gain for row, gain in zip(adapted, true, strict=True) if row["kept"]]
    seconds = {
        name: [row["core_seconds"] for row in adapted if row["network"] == name]
        for name in result["students"]
    }
    return (
        f"Every adaptation is that of `unbabble adapt --precision {PRECISION}` with {result['steps']} steps, "
        f"taken whatever it found itself; by that, it would have kept {len(kept)} of {len(adapted)}, of which "
        f"{sum(gain < 0 for gain in kept)} are truly worse. The gain that it tells correlates with the true one "
        f"with {alike:.2f}. One takes on a core, for the first student of a speaker with all that the teacher "
        f"hears, {', '.join(f'{np.median(each):.0f} s ({name})' for name, each in seconds.items() if each)}."
    )


def trained(role: str, cards: dict[str, dict]) -> Iterator[str]:
    for name, card in cards.items():
        training = card["training"]
        yield (
            f"- {role} {name}: {card['parameters']:,} parameters, {card['gmacs_per_second']:.3g} GMAC/s, "
            f"{training.get('steps', '?'):g} steps of {training.get('batch', '?')} pieces of 2 s, "
            f"{60 * training.get('hours', np.nan):.0f} minutes by the clock."
        )


def table(result: dict) -> str:
    rows, students, teachers = result["rows"], result["students"], result["teachers"]
    adapted = [row for row in rows if row.get("teacher")]
    speakers = len({row["speaker"] for row in adapted})
    means = [column for name in teachers for column in (f"adapted by {name}", "gain", "better")]
    each = [column for name in teachers for column in (f"adapted by {name}", "better")]
    over_snrs = [
        [
            *(name, f"{card['parameters']:,}", f"{1000 * card['gmacs_per_second']:.3g}"),
            *(cell(values(rows, name), None, speakers), *adapted_cells(rows, name, teachers, speakers)),
        ]
        for name, card in students.items()
    ]
    blocks = []
    for column, snr_db in enumerate(result["snrs_db"]):
        blocks.append(f"Input SNR {snr_db:g} dB.")
        blocks.append(grid(["network", "as it is", *each], at_snr(result, column, speakers)))
    counts = {
        f"{name} by {teacher}": len(values(adapted, name, teacher))
        for name, teacher in itertools.product(students, teachers)
    }
    fewer = ", ".join(f"{pair} {count}" for pair, count in counts.items() if count < speakers)
    return page(
        f"SI-SDR improvement, dB (95 % interval over {speakers} speakers, each in a place of their own), of "
        "students before and after they learnt from a teacher; the noisy recording itself has 0.",
        "Mean over input SNRs; *better*: how many speakers gain by adaptation.",
        grid(["student", "parameters", "MMAC/s", "before", *means], over_snrs),
        *blocks,
        "By sex, and of the least lucky tenth of the speakers; mean over input SNRs.",
        grid("student | | women | men | worst speakers", by_sex(result)),
        decided(result, adapted),
        "Training, all on the same 4.4 hours of speech and 19 noises, none of which are in the test:",
        [*trained("student", students), *trained("teacher", teachers)],
        result["note"],
        f"Not all {speakers} speakers: {fewer}." if fewer else "",
        f"{KIM} There the networks heard the hundred hours of train-clean-100, to the end of their training, and "
        "learnt from each person in 200 epochs; so differences compare, not levels.",
        paragraph(result["claim"], speakers),
        made_by(result),
    )
