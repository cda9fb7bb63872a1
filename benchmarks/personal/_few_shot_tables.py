"""The rows of ``few_shot.py`` that belong together, and their tables."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.kit.people import IDEAL, NOISY, SEXES, sha256
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.signal.statistics import bootstrap

BEFORE = "before"
METRICS = {"si_sdri_db": "SI-SDR improvement, dB", "pesq": "PESQ", "estoi": "eSTOI"}
PUBLISHED = """\
Published (Sivaraman & Kim, JSTSP 2022; LibriSpeech, premixtures with FSD50K, MUSAN noises, Conv-TasNet): personalised
networks as good as generalists with 85 % fewer parameters, from 3 s of clean speech on."""


def chosen(
    rows: list[dict], students: Mapping[str, str], about: dict, split: str, ways: Sequence[str]
) -> list[dict]:
    """The rows of these students, this teacher and these ways, in their order."""
    hashes = {name: sha256(weights) for name, weights in students.items()}
    teacher = about["teacher"]["sha256"]
    wanted = {"": 0, BEFORE: 0, **dict.fromkeys(ways, about["steps"])}
    result = [
        row
        for row in rows
        if (row["split"], row["snr_db"]) == (split, about["snr_db"])
        and (row["student"] in (NOISY, IDEAL) or row["sha256"] == hashes.get(row["student"]))
        and row.get("teacher", teacher) == teacher
        and row.get("steps", 0) == wanted.get(row.get("way", ""), -1)
    ]
    there = {row["speaker"] for row in result if row["student"] in students}
    order, by_way = [NOISY, IDEAL, *students], ["", BEFORE, *ways]
    return sorted(
        (row for row in result if row["speaker"] in there),
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
