"""Does choosing by a blind score pay?

``--model auto`` beside every fixed model, a random choice and the oracle. At least 200 recordings of test speakers: one
to three talkers, clean, noisy, in a room (measured, test states), both; one microphone, or two, three, seven in rooms.
All models that ``auto`` would try separate each, and are scored by the truth: the mean over the talkers of the SI-SDR
improvement of the voice that the best assignment gives them, where a talker without a voice of his own keeps the
mixture. SI-SDR is taken to lie within -30 and 30 dB, so that a clean recording of one talker can be spoilt, and not
improved.

    python -m benchmarks auto
"""

from collections import defaultdict

import numpy as np

from benchmarks.kit.auto import RATE, SEED, chooser, improvement, scenes, tried
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import bootstrap

DIGITS, RULE = 3, "counted, then by rule"
QUICK = {"each": 1, "array": 0}


def gains_of(rows: list[dict]) -> dict[str, list[float]]:
    """Of auto, the oracle, a random choice, counting and choosing by rule, and each model that separates all."""
    gains: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values = row["gains"]
        gains["auto"].append(values[row["best"]])
        gains["oracle"].append(max(values.values()))
        gains["random"].append(float(np.mean(list(values.values()))))
        gains[RULE].append(row["rule"])
        for name, gain in values.items():
            gains[f"always {name}"].append(gain)
    return {name: values for name, values in gains.items() if len(values) == len(rows)}


def measure(split: str = "test", each: int = 12, array: int = 4) -> dict:
    """Recording by recording.

    Args:
        each: recordings of each kind with one microphone.
        array: of each kind with several.
    """
    auto, rows = chooser(), []
    kinds: dict[str, list[dict]] = defaultdict(list)
    for number, scene in enumerate(scenes(split, each, array)):
        (label, mixture, sources), (candidates, gains) = scene, tried(auto, scene)
        recording = Recording.of(mixture, RATE)
        names = [each.model + (f", {each.sources} sources" if each.sources else "") for each in candidates]
        row = {"gains": dict(zip(names, gains, strict=True)), "best": names[0]}
        row["rule"] = improvement(auto.by_rule(recording)(recording).sources, sources, mixture[0])
        rows.append(row)
        kinds[label].append(row)
        if number % 20 == 0:
            print(number, label, flush=True)
    figures = {name: bootstrap(values) for name, values in gains_of(rows).items()}
    fixed = max(result.value for name, result in figures.items() if name.startswith("always"))
    gap = figures["oracle"].value - fixed
    shown = ("auto", "oracle", "random", RULE)
    return {
        "recordings": len(rows),
        "gains": {
            name: dict(zip(("mean", "low", "high"), result, strict=True)) for name, result in figures.items()
        },
        "recovered": (figures["auto"].value - fixed) / gap if gap else float("nan"),
        "by_kind": {
            kind: {name: float(np.mean(gains_of(there)[name])) for name in shown}
            for kind, there in kinds.items()
        },
    }


def table(result: dict) -> str:
    ranked = sorted(result["gains"].items(), key=lambda item: -item[1]["mean"])
    columns = list(next(iter(result["by_kind"].values())))
    kinds = [[kind, *(f"{found[name]:.2f}" for name in columns)] for kind, found in result["by_kind"].items()]
    return page(
        "Mean SI-SDRi in dB (95 % interval over recordings).",
        grid("what separates | SI-SDRi", [(name, figure(list(found.values()))) for name, found in ranked]),
        f"Of what lies between the best fixed model and the oracle, auto recovers {100 * result['recovered']:.0f} %.",
        "By talkers, condition and microphones:",
        grid(["recordings", *columns], kinds),
        "*oracle*: for each recording the candidate that the truth puts first. *random*: their mean. *always*: that\n"
        "one, where it can separate all recordings. *counted, then by rule*: what `auto` was without a scorer.",
        made_by(result, f"{result['recordings']} recordings. ", SEED),
    )
