"""What is separation worth in words, the more people talk at once?

One, two, four and eight test speakers read an utterance each at the same time, in a measured room, as loud as one
another at the first microphone, 30 dB above white noise; one microphone hears them, or seven. Words that are wrong of
the mixture as it is, of separated voices (the number of talkers is known; networks return at most three), and of each
voice alone in the room (only what takes the room away can do better). By the packaged recogniser and, so that nothing
hangs on ours, by PocketSphinx and by hama. *cpWER*: each talker is given one of the texts, so that there are fewest
errors in all; who gets none has said nothing, what is left over is inserted (S. Watanabe et al., CHiME 2020). Intervals
are bootstrapped by scene, and scenes are few; every recogniser reads the first ones, so that these are the same.

*Blind*: Spearman's correlation of the blind score of each separated voice with the share of its talker's words that are
wrong, of scenes that are drawn again with all their voices; and what is wrong where, of all ways to separate a scene
with one microphone or with seven, that one is taken whose voices have the best scores, or whose words our recogniser
is surest of (the mean over the words of all voices; of other measures, that was the best on scenes of dev speakers).

    bash benchmarks/peers.sh
    python -m benchmarks crowd --recognisers PocketSphinx hama --each 4 --kept runs/crowd     # half an hour on one core
    python -m benchmarks crowd --kept runs/crowd                                              # five minutes
"""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Annotated

import numpy as np

from benchmarks.kit import peers
from benchmarks.kit.ranks import grouped, spearman
from benchmarks.kit.recognisers import OURS, PEERS, RECOGNISERS, with_confidence
from benchmarks.kit.table import grid, made_by, page
from benchmarks.recognition._talking import recordings, scene
from unbabble.signal.statistics import ratio
from unbabble.text.errors import cp_errors, word_errors

SEED, DIGITS = 0, 3
TALKERS, ARRAYS = (1, 2, 4, 8), (1, 7)
QUICK = {"each": 1, "talkers": [2], "arrays": [1]}
LEAST_SCENES = 5
"""Of a correlation."""
CHOSEN, SUREST, BEST = "chosen by the blind score", "chosen by confidence", "best, known afterwards"


def read(
    recogniser: str, talkers: int, microphones: int, number: int, model: str, kept: Path | None, seed: int
) -> dict:
    """By what was recognised of a scene: errors, words, and of each voice its score and the share that is wrong."""
    heard = scene(talkers, number, seed)
    given = recordings(heard, f"{seed}_{talkers}_{number}", microphones, kept)
    flat = {f"{name} {k}": voice for name, (voices, _) in given.items() for k, voice in enumerate(voices)}
    texts = with_confidence(recogniser, flat, model)
    row = {}
    for name, (voices, scores) in given.items():
        written, sure = zip(*(texts[f"{name} {k}"] for k in range(len(voices))), strict=True)
        best = cp_errors(heard.said, written)
        pairs = [
            [float(scores[voice]), wrong(heard.said[who], written[voice])]
            for who, voice in enumerate(best.order)
            if voice is not None and scores is not None
        ]
        row[name] = {"errors": [best.errors.count, best.errors.reference], "voices": pairs}
        if recogniser == OURS:
            row[name]["sure"] = float(np.mean([*chain(*sure)] or [0.0]))
    return row


def wrong(said: Sequence[str], written: Sequence[str]) -> float:
    """Share of a talker's words that are wrong."""
    return word_errors(" ".join(said), " ".join(written)).rate


def measure(
    each: int = 8,
    talkers: Sequence[int] = TALKERS,
    arrays: Sequence[int] = ARRAYS,
    recognisers: Annotated[Sequence[str], RECOGNISERS] = (OURS,),
    model: str = "auto",
    kept: Path | None = None,
    seed: int = SEED,
    before: dict | None = None,
) -> Iterator[dict]:
    """Scene by scene; those that a recogniser has read are not read again.

    Args:
        each: scenes of each kind.
        talkers: at once.
        arrays: numbers of microphones.
        recognisers: that read them; what they have read before stays.
        model: our recogniser.
        kept: folder of separated voices, which are the same for every recogniser.
    """
    result = before or {}
    there = [name for name in recognisers if name == OURS or peers.present([PEERS[name][0]])]
    for number, count, microphones, name in product(range(each), talkers, arrays, there):
        if count == 1 and microphones > 1:
            continue
        scenes = result.setdefault("scenes", {}).setdefault(f"{count} | {microphones}", {})
        rows = scenes.setdefault(name, [])
        if number == len(rows):
            rows.append(read(name, count, microphones, number, model, kept, seed))
            print(name, count, microphones, number, flush=True)
            yield result
    yield result


def rate(rows: Sequence[dict], way: str) -> list[float] | float:
    """Per cent of the words that are wrong, and the interval by scene, where there are several."""
    rates = [100 * part for part in ratio(*np.array([row[way]["errors"] for row in rows]).T)]
    return rates if len(rows) > 1 else rates[0]


def with_choices(row: dict[str, dict]) -> dict[str, dict]:
    """A scene with more ways: that of the best scores, that of the surest words, and that of the fewest errors."""
    ways = {name: way for name, way in row.items() if way["voices"]}
    if not ways:
        return row
    scores = {name: np.mean([score for score, _ in way["voices"]]) for name, way in ways.items()}
    best = min(ways, key=lambda name: ways[name]["errors"][0])
    surest = max(ways, key=lambda name: ways[name].get("sure", 0.0))
    chosen = {CHOSEN: ways[max(scores, key=lambda name: scores[name])]}
    chosen |= {SUREST: ways[surest]} if "sure" in ways[surest] else {}
    return row | chosen | {BEST: ways[best]}


def correlated(result: dict, recogniser: str) -> dict | None:
    """Scores of voices with errors; in the interval scenes are drawn, each with all its voices. None of few scenes."""
    rows = [row for by_name in result["scenes"].values() for row in by_name.get(recogniser, ())]
    scenes = [np.array([pair for way in row.values() for pair in way["voices"]]) for row in rows]
    scenes = [each for each in scenes if len(each)]
    if len(scenes) < LEAST_SCENES:
        return None
    voices, value = sum(map(len, scenes)), list(grouped(spearman, scenes))
    return {"name": recogniser, "voices": voices, "scenes": len(scenes), "value": value}


def table(result: dict) -> str:
    lines = []
    for condition, by_name in result["scenes"].items():
        talkers, microphones = condition.split(" | ")
        read_by = {
            name: [with_choices(row) for row in by_name[name]] for name in RECOGNISERS if name in by_name
        }
        for way in next(iter(read_by.values()))[0]:
            rates = {name: rate(rows, way) for name, rows in read_by.items() if way in rows[0]}
            scenes = " + ".join(str(len(rows)) for rows in read_by.values())
            about = {"talkers": talkers, "microphones": microphones, "way": way, "scenes": scenes}
            lines.append(about | rates)
    recognisers = [name for name in RECOGNISERS if any(name in each for each in result["scenes"].values())]
    correlations = [correlated(result, name) for name in recognisers]
    return page(
        f"cpWER in per cent (95 % interval by scene). Scenes: of {', '.join(recognisers)}.",
        grid(
            f"talkers | microphones | recognised | {' | '.join(recognisers)} | scenes",
            lines,
            "{talkers} | {microphones} | {way} | "
            + " | ".join(f"{{{name}:.0f}}" for name in recognisers)
            + " | {scenes}",
        ),
        "Spearman's correlation of the blind score of a separated voice and the share of its talker's words that are "
        "wrong (95 % interval by scene).",
        grid(
            "recogniser | voices | scenes | correlation",
            [each for each in correlations if each],
            "{name} | {voices} | {scenes} | {value:.2f}",
        ),
        made_by(result),
    )
