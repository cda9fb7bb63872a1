"""Where the constants of ``--model auto`` (``pipelines/choose.py``) come from: a search on the development split.

    python benchmarks/auto_constants.py

First the tables ``COUNTED_BY``: how many talkers ``ilrma.ip`` finds by itself, of one to three, in rooms, half of them
noisy. Then every recording that ``auto.py`` would make of this split is separated by all candidates, once, and what
``auto`` would have kept is found for every combination of ``CAUTION``, ``HEAD_START_DB`` and ``DOUBT``.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import common
import numpy as np
import torch
from auto import drawn, improvement, scenes

from unbabble.base.audio import Audio
from unbabble.pipelines import choose as select
from unbabble.pipelines import separate as hub

RESULTS = Path(__file__).parent / "results"
NAME, SPLIT = "auto_constants", "dev"
MICROPHONES = {3: 3, 5: 7}
"""Of the recordings behind a table, by the least number of microphones that it is for."""
CAUTIONS = np.arange(0, 5.1, 0.5)
HEAD_STARTS_DB = np.arange(0, 6.1, 1)
DOUBTS = (0.0, 0.05, 0.1, 0.2, 0.3)
BEST = 10


def confusion(microphones: int, each: int) -> list[list[float]]:
    """Share of the recordings of 1, 2, 3 talkers (columns) of which one, two, three or more are found (rows)."""
    model = hub.load(select.ARRAY[0], "cpu")
    found = np.zeros((select.MOST_TALKERS, select.MOST_TALKERS))
    for talkers in range(1, select.MOST_TALKERS + 1):
        for noisy in (0, 1):
            for _, heard, _ in drawn("", SPLIT, talkers, noisy, 1, microphones, each // 2):
                count = len(model(Audio(heard, 8000)).sources)
                found[min(count, select.MOST_TALKERS) - 1, talkers - 1] += 1
    return (found / found.sum(0)).tolist()


def evidence(each: int, array: int) -> list[dict]:
    """Of each recording: what there was to decide by, and what each candidate would have gained."""
    auto = select.load("auto", device="cpu")
    assert isinstance(auto, select.AutoModel)
    rows = []
    for number, (label, heard, sources) in enumerate(scenes(SPLIT, each, array)):
        separations, candidates = auto.tried(Audio(heard, 8000))
        gains = [improvement(separation.sources, sources, heard[0]) for separation in separations]
        candidates = candidates[: len(gains)]
        rows.append(
            {
                "microphones": len(heard),
                "heard": auto.heard(heard, 8000),
                "counted": next((each.sources for each in candidates if each.counts), None),
                "own": next(each for each in candidates if each.model == select.UNCHANGED)
                .scores[0]
                .si_snr_db,
                "candidates": candidates,
                "gains": gains,
            }
        )
        if number % 20 == 0:
            print(number, label, flush=True)
    return rows


def gained(rows: list[dict], caution: float, head_start_db: float, doubt: float, tables: dict) -> float:
    """Mean SI-SDRi in dB of what these constants choose."""
    found = []
    for row in rows:
        shares = select.talkers(row["heard"], row["counted"], row["microphones"], doubt, tables)
        values = [
            select.worth_db(each, row["own"], shares, caution, head_start_db) for each in row["candidates"]
        ]
        found.append(row["gains"][int(np.argmax(values))])
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=12, help="recordings of each kind with one microphone")
    parser.add_argument("--array", type=int, default=4, help="of each kind with several")
    parser.add_argument("--counted", type=int, default=60, help="for the tables, of each number of talkers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = {least: confusion(number, arguments.counted) for least, number in MICROPHONES.items()}
    print(tables, flush=True)
    rows = evidence(arguments.each, arguments.array)
    grid = [
        {
            "caution": caution,
            "head_start_db": start,
            "doubt": doubt,
            "gain": gained(rows, caution, start, doubt, tables),
        }
        for caution, start, doubt in product(CAUTIONS.tolist(), HEAD_STARTS_DB.tolist(), DOUBTS)
    ]
    grid.sort(key=lambda row: -row["gain"])
    here = (select.CAUTION, select.HEAD_START_DB, select.DOUBT)
    result = {
        "machine": common.machine(),
        "command": common.command(),
        "recordings": len(rows),
        "counted_by": tables,
        "gain_of_the_constants": gained(rows, *here, tables=select.COUNTED_BY),
        "gain_without_any": gained(rows, 0, 0, 0, tables),
        "oracle": float(np.mean([max(row["gains"]) for row in rows])),
        "by_constant": {
            name: {value: max(row["gain"] for row in grid if row[name] == value) for value in values}
            for name, values in (
                ("caution", CAUTIONS.tolist()),
                ("head_start_db", HEAD_STARTS_DB.tolist()),
                ("doubt", DOUBTS),
            )
        },
        "best": grid[:BEST],
    }
    result = common.rounded(result, 3)
    common.save(NAME, result)
    text = text_of(result)
    (RESULTS / f"{NAME}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The tables."""
    lines = [
        f"Constants of `--model auto`: {result['recordings']} recordings of the development split; mean SI-SDRi, dB.",
        "",
        f"As committed (caution {select.CAUTION:g}, head start {select.HEAD_START_DB:g} dB, doubt {select.DOUBT:g}): "
        f"{result['gain_of_the_constants']:.2f}. Without any (all 0): {result['gain_without_any']:.2f}. "
        f"Oracle: {result['oracle']:.2f}.",
        "",
        "| caution | head start, dB | doubt | SI-SDRi |",
        "|-|-|-|-|",
        *(
            f"| {row['caution']:g} | {row['head_start_db']:g} | {row['doubt']:g} | {row['gain']:.2f} |"
            for row in result["best"]
        ),
        "",
        "The best that each value allows:",
        "",
    ]
    for name, values in result["by_constant"].items():
        told = ", ".join(f"{float(value):g}: {gain:.2f}" for value, gain in values.items())
        lines.append(f"- {name.replace('_', ' ')}: {told}")
    lines += ["", "Talkers that `ilrma.ip` finds (rows: one, two, three or more) of 1, 2, 3:", ""]
    for least, table in result["counted_by"].items():
        rows = "; ".join(", ".join(f"{share:.2f}" for share in row) for row in table)
        lines.append(f"- {MICROPHONES[int(least)]} microphones: {rows}")
    lines += [
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}. Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
