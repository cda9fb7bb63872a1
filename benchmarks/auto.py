"""Does choosing by a blind score pay? `--model auto` beside every fixed model, a random choice and the oracle.

    python benchmarks/auto.py

At least 200 recordings of test speakers: one to three talkers, clean, noisy, in a room (measured, test states), both;
one microphone, or two, three, seven in rooms. All models that `auto` would try separate each, and are scored by the
truth: the mean over the talkers of the SI-SDR improvement of the voice that the best assignment gives them, where a
talker without a voice of his own keeps the mixture. SI-SDR is taken to lie within -30 and 30 dB, so that a clean
recording of one talker can be spoilt, and not improved.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path

import common
import numpy as np
import torch

from unbabble.base.audio import Audio
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.pipelines import choose as select
from unbabble.pipelines import separate as hub
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.permutation import NONE, best_permutation

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, SECONDS, LIMIT_DB = "auto", 0, 6.0, 30.0
CONDITIONS = {"clean": (0, 0), "noisy": (1, 0), "reverberant": (0, 1), "both": (1, 1)}
ARRAYS = (2, 3, 7)


def scenes(split: str, each: int, array: int):
    """(label, recording, sources): for one microphone by talkers and condition, for arrays by talkers and noise."""
    for talkers in (1, 2, 3):
        for name, (noisy, echoing) in CONDITIONS.items():
            yield from drawn(f"{talkers}, {name}", split, talkers, noisy, echoing, 1, each)
        for microphones in ARRAYS:
            for name in ("reverberant", "both"):
                noisy, echoing = CONDITIONS[name]
                label = f"{talkers}, {name}, {microphones} microphones"
                yield from drawn(label, split, talkers, noisy, echoing, microphones, array)


def drawn(label, split, talkers, noisy, echoing, microphones, count):
    mixing = DynamicMixing(
        DATA / "speech.csv",
        split,
        talkers=(talkers,),
        seconds=SECONDS,
        overlap=(0.7, 1.0),
        noise=DATA / "noise.csv" if noisy else None,
        noise_split=split if split == "test" else "train",
        noise_share=float(noisy),
        snr_db=(0.0, 15.0),
        rooms=DATA / "rir.csv" if echoing else None,
        room_share=float(echoing),
        microphones=microphones,
    )
    made = DynamicMixtures(mixing, SEED)
    for index in range(count):
        item = made[index]
        yield label, torch.from_numpy(np.atleast_2d(item.mixture)), torch.from_numpy(item.sources)


def improvement(voices: torch.Tensor, sources: torch.Tensor, mixture: torch.Tensor) -> float:
    """Mean over talkers, see above."""
    scores = si_sdr_matrix(voices, sources).nan_to_num(-LIMIT_DB).clamp(-LIMIT_DB, LIMIT_DB)
    own = si_sdr_matrix(mixture[None], sources)[0].clamp(-LIMIT_DB, LIMIT_DB)
    order = best_permutation(scores)
    gained = [
        float(scores[estimate, talker]) if estimate != NONE else float(own[talker])
        for talker, estimate in enumerate(order.tolist())
    ]
    return float(np.mean(gained) - own.mean())


def label_of(candidate: select.Candidate) -> str:
    return candidate.model + (f", {candidate.sources} sources" if candidate.sources else "")


def collect(split: str, each: int, array: int) -> list[dict]:
    """By recording: what each candidate gained, and its value."""
    auto = select.load("auto", device="cpu")
    rule = hub.load("auto", device="cpu")
    assert isinstance(auto, select.AutoModel)
    rows = []
    for number, (label, heard, sources) in enumerate(scenes(split, each, array)):
        recording = Audio(heard, 8000)
        began = time.perf_counter()
        separations, candidates = auto.tried(recording)
        spent = time.perf_counter() - began
        tried = {
            label_of(candidate): {
                "gain": improvement(separation.sources, sources, heard[0]),
                "value": candidate.value_db,
            }
            for separation, candidate in zip(separations, candidates, strict=False)
        }
        began = time.perf_counter()
        counted = rule(recording)
        tried_rule = {
            "gain": improvement(counted.sources, sources, heard[0]),
            "model": counted.model,
            "seconds": time.perf_counter() - began,
        }
        rows.append({"set": label, "tried": tried, "rule": tried_rule, "seconds": spent})
        if number % 20 == 0:
            print(number, label, flush=True)
    return rows


def summary(rows: list[dict]) -> dict:
    """Mean gains: of auto, the oracle, a random choice, counting and choosing by rule, and each fixed model."""
    gains = defaultdict(list)
    for row in rows:
        tried = row["tried"]
        of = {name: each["gain"] for name, each in tried.items()}
        gains["auto"].append(of[max(tried, key=lambda name: tried[name]["value"])])
        gains["oracle"].append(max(of.values()))
        gains["random"].append(float(np.mean(list(of.values()))))
        gains["counted, then by rule"].append(row["rule"]["gain"])
        for name, gain in of.items():
            gains[f"always {name}"].append(gain)
    whole = {name: values for name, values in gains.items() if len(values) == len(rows)}
    found = {
        name: dict(zip(("mean", "low", "high"), common.interval(values), strict=True))
        for name, values in whole.items()
    }
    fixed = max(each["mean"] for name, each in found.items() if name.startswith("always"))
    gap = found["oracle"]["mean"] - fixed
    return {"gains": found, "recovered": (found["auto"]["mean"] - fixed) / gap if gap else float("nan")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--each", type=int, default=12, help="recordings of each kind with one microphone")
    parser.add_argument("--array", type=int, default=4, help="of each kind with several")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = collect(arguments.split, arguments.each, arguments.array)
    found = common.rounded(summary(rows) | {"by_kind": by_kind(rows)}, 3)
    result = {"machine": common.machine(), "command": common.command(), "recordings": len(rows)} | found
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def by_kind(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Mean gains for each kind of recording."""
    kinds = defaultdict(list)
    for row in rows:
        kinds[row["set"]].append(row)
    return {
        kind: {name: found["mean"] for name, found in summary(there)["gains"].items() if name[:6] != "always"}
        for kind, there in kinds.items()
    }


def text_of(result: dict) -> str:
    """The tables."""
    lines = [
        "Mean SI-SDRi in dB (95 % interval over recordings).",
        "",
        "| what separates | SI-SDRi |",
        "|-|-|",
    ]
    for name, each in sorted(result["gains"].items(), key=lambda item: -item[1]["mean"]):
        lines.append(f"| {name} | {each['mean']:.2f} ({each['low']:.2f} to {each['high']:.2f}) |")
    columns = list(next(iter(result["by_kind"].values())))
    lines += [
        "",
        f"Of what lies between the best fixed model and the oracle, auto recovers {100 * result['recovered']:.0f} %.",
        "",
        "By talkers, condition and microphones:",
        "",
        "| recordings | " + " | ".join(columns) + " |",
        "|-" * (len(columns) + 1) + "|",
    ]
    for kind, found in result["by_kind"].items():
        lines.append(f"| {kind} | " + " | ".join(f"{found[name]:.2f}" for name in columns) + " |")
    lines += [
        "",
        "*oracle*: for each recording the candidate that the truth puts first. *random*: their mean. *always*: that",
        "one, where it can separate all recordings. *counted, then by rule*: what `auto` was without a scorer.",
        "",
        f"{result['recordings']} recordings. {result['machine']['cpu']}, {result['machine']['date']}; seed {SEED}.",
        "Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
