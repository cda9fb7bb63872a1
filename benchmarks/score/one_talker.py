"""Is one talker left whole?

`--model auto` on recordings of one talker: clean, in noise, in a measured room, in both; one microphone, or two or four
in rooms; and those of `count_talkers` (12 s, 30 dB). *Unharmed*: one voice comes back, or several of which the best
has an SI-SDR no more than 1 dB below that of the recording (30 dB at most). Recordings of two and three talkers say
what that costs. *Before*: as scores alone would choose, without the rule for who is alone (``pipelines.choose.alone``),
whose constants were chosen on dev and training speakers. What two who take turns sound like, as one alone may be taken
for (``pipelines.turns_taken``), is heard first, as the command does.

    python -m benchmarks one_talker                       # test speakers, about half an hour on one core
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.kit.auto import CONDITIONS, RATE, Scene, chooser, improvement, made
from benchmarks.kit.scenes import RATE as ARRAY_RATE
from benchmarks.kit.scenes import load_mixtures
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.base.audio import Audio, read
from unbabble.pipelines import choose
from unbabble.pipelines.talkers_heard import Ears
from unbabble.pipelines.turns_taken import separate_by_turns
from unbabble.signal.statistics import bootstrap

TALKERS, ARRAYS, COUNTED = (1, 2, 3), (2, 4), "1, as counted"
HARM_DB = -1.0
QUICK = {"each": 1, "several": 1}


def scenes(split: str, talkers: int, microphones: int, each: int, seed: int) -> Iterator[Scene]:
    """``each`` recordings of every condition that so many microphones have."""
    for shares in CONDITIONS.values():
        if shares[1] or microphones == 1:
            yield from made(f"{talkers}", split, talkers, shares, microphones, each, seed)


def counted(microphones: int, each: int, seed: int) -> Iterator[Scene]:
    """The test recordings of one talker that ``count_talkers`` counts."""
    for item in load_mixtures(1, microphones, each, seed):
        yield COUNTED, torch.from_numpy(item.mixture).float(), torch.from_numpy(item.images[:, 0]).float()


def outcome(auto: choose.AutoModel, scene: Scene, rate: int, ears: Ears | None = None) -> tuple[float, int]:
    """What the best candidate gains, and how many voices it has; ``ears`` hear first whether talkers take turns."""
    _, mixture, sources = scene
    recording = choose.Recording.of(Audio(mixture, rate))
    if ears is not None and recording.microphones == 1:
        with tempfile.TemporaryDirectory() as folder:
            by_turns = separate_by_turns(recording, ears, folder)
            if by_turns is not None:
                voices = torch.cat([read(path).samples for path in by_turns.outputs])
                return improvement(voices, sources, mixture[0]), len(voices)
    best = auto.tried(recording)[0][0]
    return improvement(best.sources, sources, mixture[0]), len(best.sources)


def measure(each: int = 8, several: int = 4, split: str = "test", seed: int = 1) -> Iterator[dict]:
    """Recording by recording.

    Args:
        each: recordings of one talker, of each condition and number of microphones.
        several: of two, and of three talkers.
    """
    auto, ears, result = chooser(), Ears.load(device="cpu"), {}
    for talkers in TALKERS:
        for microphones in (1, *ARRAYS):
            count = each if talkers == 1 else several
            sets = [(scenes(split, talkers, microphones, count, seed), RATE)]
            if talkers == 1 and microphones > 1:
                sets.append((counted(microphones, 2 * each, seed), ARRAY_RATE))
            for scene, rate in ((one, rate) for those, rate in sets for one in those):
                now = before = outcome(auto, scene, rate, ears)
                if now[1] == 1 or talkers > 1:
                    with patch.object(choose, "alone", return_value=False):
                        before = outcome(auto, scene, rate)
                rows = result.setdefault(scene[0], {}).setdefault(str(microphones), [])
                rows.append([*before, *now])
            yield {"outcomes": result, "summary": summary(result)}


def summary(result: dict[str, dict[str, list]]) -> dict:
    """Of each kind of recording: gains and shares that were not harmed, before and now."""
    kinds = {f"{talkers} | {number}": rows for talkers, its in result.items() for number, rows in its.items()}
    kinds["1 | all"] = [row for name, rows in kinds.items() if name[0] == "1" for row in rows]
    table = {}
    for kind, rows in kinds.items():
        values = np.array(rows)
        unharmed = [(values[:, at] >= HARM_DB) | (values[:, at + 1] == 1) for at in (0, 2)]
        table[kind] = {
            "recordings": len(rows),
            "gain_db": [bootstrap(values[:, at]) for at in (0, 2)],
            "unharmed": [bootstrap(each.astype(float)) for each in unharmed],
        }
    return table


def table(result: dict) -> str:
    rows = []
    for kind, row in result["summary"].items():
        shares = [figure(each, 0, 100) for each in row["unharmed"]] if kind[0] == "1" else ["", ""]
        gains = [figure(each, 1) for each in row["gain_db"]]
        rows.append([*kind.split(" | "), row["recordings"], *shares, *gains])
    return page(
        "What `--model auto` does with one talker, and with two and three: by scores alone (before), and with the rule "
        "for who is alone (now). Unharmed in %, SI-SDR improvement in dB (95 % intervals over recordings).",
        grid(
            "talkers | microphones | recordings | unharmed before | now | improvement before | now",
            rows,
        ),
        made_by(result),
    )
