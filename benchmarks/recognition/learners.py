"""How many phones of learners and of children does `assess` take for others, beside those of typical speakers?

Speakers of Mandarin who read English, half of them children (speechocean762; J. Zhang et al., Interspeech 2021), one
utterance each, against their prompts and the corpus's own pronunciations; and native adults who read aloud
(LibriSpeech's test speakers). What is wrong is what `assess` says is wrong: it has the recogniser's errors in it,
which the last row has alone. Intervals are bootstrapped by speaker. *Area*: the probability that an utterance of the
group has a higher rate of errors than one of the typical speakers. The corpus's own ratings are not in every copy, and
not used.

    git clone https://github.com/jimbozhang/speechocean762
    python -m benchmarks learners --corpus speechocean762                       # two minutes on one core
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.kit.ranks import area, grouped
from benchmarks.kit.scenes import by_speaker
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines.assess import Assessor, load_assessor
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import ratio

SEED = 0
TYPICAL = "typical adults"
BANDS = {
    "learners of 6 to 7 years": range(6, 8),
    "learners of 8 to 10": range(8, 11),
    "learners of 11 to 15": range(11, 16),
    "learners of 19 to 43": range(19, 44),
}
MOST_PHONES, LEAST_COUNT = 8, 40
"""Of the second table: rows, and how often a phone was to be said by learners and typical speakers."""
QUICK = {"each": 1, "speakers": 2}


@dataclass(frozen=True)
class Reading:
    """A recording of a prompt."""

    path: Path
    prompt: str
    speaker: str


def learners(corpus: Path) -> dict[str, list[Reading]]:
    """By group of age, what they read."""
    groups: dict[str, list[Reading]] = {name: [] for name in BANDS}
    for split in ("train", "test"):
        about = {name: columns(corpus / split / name) for name in ("text", "utt2spk", "spk2age", "wav.scp")}
        for utterance, prompt in about["text"].items():
            speaker = about["utt2spk"][utterance]
            age = int(about["spk2age"][speaker])
            path = corpus / about["wav.scp"][utterance]
            (band,) = (name for name, ages in BANDS.items() if age in ages)
            groups[band].append(Reading(path, prompt, speaker))
    return groups


def columns(path: Path) -> dict[str, str]:
    """A table of Kaldi's: what follows the first word of each line."""
    return dict(line.split(maxsplit=1) for line in path.read_text().splitlines())


def typical() -> list[Reading]:
    spoken = by_speaker("test").values()
    return [Reading(each.path, each.text, each.speaker) for mine in spoken for each in mine]


def drawn(readings: Iterable[Reading], speakers: int, each: int, seed: int) -> list[Reading]:
    """Some of each speaker."""
    own: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        own[reading.speaker].append(reading)
    rng = np.random.default_rng(seed)
    return [
        own[speaker][number]
        for speaker in rng.permutation(sorted(own))[:speakers]
        for number in rng.permutation(len(own[speaker]))[:each]
    ]


def assessed(assessor: Assessor, readings: Iterable[Reading]) -> dict:
    """Of each utterance speaker, errors and phones; of each phone how often it was to be said, and how often wrong."""
    utterances, phones = [], defaultdict(lambda: [0, 0])
    for reading in readings:
        assessment = assessor(Recording.open(reading.path), reading.prompt)
        for row in assessment.by_phone():
            phones[row.phone][0] += row.count
            phones[row.phone][1] += row.count - row.right
        count = sum(row.count for row in assessment.by_phone())
        utterances.append([reading.speaker, round(assessment.error_rate * count), count])
    return {"utterances": utterances, "phones": dict(phones)}


def measure(
    corpus: Path | None = None,
    each: int = 1,
    speakers: int = 1000,
    model: str = "auto",
    seed: int = SEED,
) -> Iterator[dict]:
    """Group by group.

    Args:
        corpus: folder of speechocean762; without it, nothing is measured.
        each: utterances of each learner; of typical speakers, of whom there are few, eight times as many.
        speakers: of each group, at most.
        model: what recognises phones.
    """
    if corpus is None or not (corpus / "WAVE").is_dir():
        print("Nothing is measured: --corpus names a folder of speechocean762.", flush=True)
        return
    assessor, result = load_assessor(model, "cpu", corpus / "resource" / "lexicon.txt"), {"groups": {}}
    for name, readings in learners(corpus).items():
        result["groups"][name] = assessed(assessor, drawn(readings, speakers, each, seed))
        print(name, flush=True)
        yield result
    readings = drawn(typical(), speakers, 8 * each, seed)
    result["groups"][TYPICAL] = assessed(load_assessor(model, "cpu"), readings)
    yield result


def of_speakers(group: dict) -> dict[str, np.ndarray]:
    """Errors and phones of each utterance, (utterance, 2), by speaker."""
    result: dict[str, list[list[int]]] = defaultdict(list)
    for speaker, *counts in group["utterances"]:
        result[speaker].append(counts)
    return {speaker: np.array(counts, float) for speaker, counts in result.items()}


def line(group: dict, beside: dict | None) -> dict:
    """What the table says of a group."""
    own = of_speakers(group)
    errors, phones = np.array([counts.sum(0) for counts in own.values()]).T
    rate = [100 * part for part in ratio(errors, phones)]
    row: dict = {"speakers": len(own), "utterances": len(group["utterances"]), "rate": rate}
    if beside:
        both = [(counts, 1) for counts in own.values()] + [(each, 0) for each in of_speakers(beside).values()]
        rates = [
            np.stack([wrong / count, np.full(len(count), label)], 1)
            for (wrong, count), label in ((counts.T, label) for counts, label in both)
        ]
        row["area"] = list(grouped(area, rates))
    return row


def hardest(groups: dict[str, dict]) -> list[dict]:
    """Phones that learners miss most beyond typical speakers: per cent that is wrong of each."""
    *children, adults, typical = (groups[name]["phones"] for name in (*BANDS, TYPICAL))
    together = {"children": children, "adults": [adults], "typical": [typical]}
    rows = []
    for phone in typical:
        sums = {
            name: np.sum([each.get(phone, [0, 0]) for each in groups], axis=0)
            for name, groups in together.items()
        }
        if min(count for count, _ in sums.values()) >= LEAST_COUNT:
            rows.append(
                {"phone": phone} | {name: 100 * wrong / count for name, (count, wrong) in sums.items()}
            )
    return sorted(rows, key=lambda row: 2 * row["typical"] - row["children"] - row["adults"])[:MOST_PHONES]


def table(result: dict) -> str:
    groups = result["groups"]
    rows = {
        name: line(each, groups.get(TYPICAL) if name != TYPICAL else None) for name, each in groups.items()
    }
    whole = len(groups) > len(BANDS)
    return page(
        "Phones that are wrong by `assess`, in per cent of those of the prompt (95 % interval by speaker), and the "
        "probability that an utterance has more errors than a typical speaker's.",
        grid(
            "speakers | number | utterances | phones | area",
            rows,
            "{name} | {speakers} | {utterances} | {rate:.1f} | {area:.2f}",
        ),
        "Phones that learners miss most beyond typical speakers, of those that each were to say "
        f"{LEAST_COUNT} times or more: per cent that is wrong."
        if whole
        else "",
        grid(
            "phone | children | adult learners | typical",
            hardest(groups),
            "{phone} | {children:.0f} | {adults:.0f} | {typical:.0f}",
        )
        if whole
        else "",
        made_by(result),
    )
