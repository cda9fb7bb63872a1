"""Where do the constants of that choice come from?

A search on the development split for those of ``--model auto`` (``pipelines/choose.py``). First the tables
``COUNTED_BY``: how many talkers ``ilrma.ip`` finds by itself, of one to three, in rooms, half of them noisy. Then every
recording that ``auto`` would make of this split is separated by all candidates, once, and what ``auto`` would have kept
is found for every combination of ``CAUTION``, ``HEAD_START_DB`` and ``DOUBT``.

    python -m benchmarks auto_constants
"""

from itertools import product

import numpy as np

from benchmarks.kit.auto import RATE, chooser, made, scenes, tried
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines import choose
from unbabble.pipelines import separate as separating
from unbabble.pipelines.count import windows_of
from unbabble.pipelines.recording import Recording

SPLIT, DIGITS, BEST = "dev", 3, 10
MICROPHONES = {3: 3, 5: 7}
"""Of the recordings behind a table, by the least number of microphones that it is for."""
TRIED = {
    "caution": np.arange(0, 5.1, 0.5).tolist(),
    "head_start_db": np.arange(0, 6.1, 1).tolist(),
    "doubt": [0.0, 0.05, 0.1, 0.2, 0.3],
}
QUICK = {"each": 1, "array": 0, "counted": 2}


def confusion(microphones: int, each: int) -> list[list[float]]:
    """Share of the recordings of 1, 2, 3 talkers (columns) of which one, two, three or more are found (rows)."""
    model, most = separating.load(choose.ARRAY[0], "cpu"), choose.MOST_TALKERS
    result = np.zeros((most, most))
    for talkers, noisy in product(range(1, most + 1), (0, 1)):
        for _, mixture, _ in made("", SPLIT, talkers, (noisy, 1), microphones, each // 2):
            result[min(len(model(mixture, RATE).sources), most) - 1, talkers - 1] += 1
    return (result / result.sum(0)).tolist()


def evidence(each: int, array: int) -> list[dict]:
    """Of each recording: what there was to decide by, and what each candidate would have gained."""
    auto, rows = chooser(), []
    for number, scene in enumerate(scenes(SPLIT, each, array)):
        (label, mixture, _), (candidates, gains) = scene, tried(auto, scene)
        unchanged = next(one for one in candidates if one.model == choose.UNCHANGED)
        windows = windows_of(Recording.of(mixture, RATE), auto.device)
        assert windows is not None
        row = {
            "microphones": len(mixture),
            "probabilities": windows.probabilities.mean(0).tolist(),
            "own": unchanged.scores[0].si_snr_db,
        }
        row["counted"] = next((one.sources for one in candidates if one.counts), None)
        rows.append(row | {"candidates": candidates, "gains": gains})
        if number % 20 == 0:
            print(number, label, flush=True)
    return rows


def gained(rows: list[dict], caution: float, head_start_db: float, doubt: float, tables: dict) -> float:
    """Mean SI-SDRi in dB of what these constants choose."""
    result = []
    for row in rows:
        shares = choose.talkers(row["probabilities"], row["counted"], row["microphones"], doubt, tables)
        options = (row["own"], shares, caution, head_start_db)
        values = [choose.worth_db(each, *options) for each in row["candidates"]]
        result.append(row["gains"][int(np.argmax(values))])
    return float(np.mean(result))


def measure(each: int = 12, array: int = 4, counted: int = 60) -> dict:
    """Tables, then the grid.

    Args:
        each: recordings of each kind with one microphone.
        array: of each kind with several.
        counted: for the tables, of each number of talkers.
    """
    tables = {least: confusion(number, counted) for least, number in MICROPHONES.items()}
    print(tables, flush=True)
    rows = evidence(each, array)
    grid = [
        dict(zip(TRIED, constants, strict=True)) | {"gain": gained(rows, *constants, tables)}
        for constants in product(*TRIED.values())
    ]
    grid.sort(key=lambda row: -row["gain"])
    here = (choose.CAUTION, choose.HEAD_START_DB, choose.DOUBT)
    return {
        "recordings": len(rows),
        "counted_by": tables,
        "gain_of_the_constants": gained(rows, *here, tables=choose.COUNTED_BY),
        "gain_without_any": gained(rows, 0, 0, 0, tables),
        "oracle": float(np.mean([max(row["gains"]) for row in rows])),
        "by_constant": {
            name: {value: max(row["gain"] for row in grid if row[name] == value) for value in values}
            for name, values in TRIED.items()
        },
        "best": grid[:BEST],
    }


def table(result: dict) -> str:
    allowed = {
        name.replace("_", " "): ", ".join(f"{float(value):g}: {gain:.2f}" for value, gain in values.items())
        for name, values in result["by_constant"].items()
    }
    counted = {
        MICROPHONES[int(least)]: "; ".join(", ".join(f"{share:.2f}" for share in row) for row in rows)
        for least, rows in result["counted_by"].items()
    }
    return page(
        f"Constants of `--model auto`: {result['recordings']} recordings of the development split; mean SI-SDRi, dB.",
        f"As committed (caution {choose.CAUTION:g}, head start {choose.HEAD_START_DB:g} dB, doubt {choose.DOUBT:g}): "
        f"{result['gain_of_the_constants']:.2f}. Without any (all 0): {result['gain_without_any']:.2f}. "
        f"Oracle: {result['oracle']:.2f}.",
        grid(
            "caution | head start, dB | doubt | SI-SDRi",
            result["best"],
            "{caution:g} | {head_start_db:g} | {doubt:g} | {gain:.2f}",
        ),
        "The best that each value allows:",
        (f"- {name}: {told}" for name, told in allowed.items()),
        "Talkers that `ilrma.ip` finds (rows: one, two, three or more) of 1, 2, 3:",
        (f"- {microphones} microphones: {rows}" for microphones, rows in counted.items()),
        made_by(result),
    )
