"""What is separation worth in words, the more people talk at once?

One, two, four and eight test speakers read an utterance each at the same time, in a measured room, as loud as one
another at the first microphone, 30 dB above white noise; one microphone hears them, or seven. Words that are wrong of
the mixture as it is, of separated voices (as many as there are talkers, or microphones), and of each voice alone in the
room, which no separator can surpass by much. By the packaged recogniser and, so that it does not hang on ours, by
PocketSphinx. *cpWER*: each talker is given one of the texts, so that there are fewest errors in all; who gets none has
said nothing, what is left over is inserted (S. Watanabe et al., CHiME 2020). Intervals are bootstrapped by scene.

*Blind*: Pearson's correlation of the blind score of a voice, in dB, and the share of its talker's words that are right.

    bash benchmarks/peers.sh recogniser
    python -m benchmarks crowd                              # two hours on one core
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks.kit import peers
from benchmarks.kit.scenes import MICROPHONES, RATE, room, speech
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.audio import Audio
from unbabble.data import corpora
from unbabble.data.mixing import mix
from unbabble.pipelines import choose
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.statistics import ratio
from unbabble.text.errors import Errors, cp_errors, word_errors
from unbabble.text.normalise import words

SEED, SNR_DB = 0, 30.0
LEAST_SECONDS, MOST_SECONDS = 4.0, 12.0
TALKERS, ARRAYS = (1, 2, 4, 8), (1, 7)
SEPARATORS = {1: ("auto", "sepformer.2talkers_8k", "conv_tasnet.2talkers_8k"), 7: ("auto", "ilrma", "auxiva")}
"""By number of microphones; the first is the default. A network returns as many voices as it has learnt to."""
OURS, PEER = "ours", "PocketSphinx"
QUICK = {"each": 1, "talkers": [2], "arrays": [1]}


def scene(talkers: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """At all microphones the mixture, at the first each voice, and what each says."""
    rng = np.random.default_rng([seed, talkers, number])
    speakers: dict[str, list[corpora.Utterance]] = {}
    for each in speech("test"):
        if LEAST_SECONDS <= each.seconds <= MOST_SECONDS:
            speakers.setdefault(each.speaker, []).append(each)
    drawn = [speakers[name] for name in rng.choice(sorted(speakers), talkers, replace=False)]
    said = [mine[rng.integers(len(mine))] for mine in drawn]
    voices = [corpora.resample(*corpora.read(each.path), RATE).mean(0) for each in said]
    heard = room("test").draw(rng, talkers, len(MICROPHONES), RATE)
    mixed = mix(
        voices,
        heard.responses,
        samples=max(map(len, voices)) + RATE // 2,
        sample_rate=RATE,
        snr_db=SNR_DB,
        rng=rng,
    )
    return mixed.mixture, mixed.references, [words(each.text) for each in said]


def voices_of(mixture: np.ndarray, talkers: int, model: str) -> torch.Tensor:
    """What a separator makes of it, (voice, time)."""
    asked = min(talkers, len(mixture)) if len(mixture) > 1 else talkers
    network = "." in model
    options: dict[str, Any] = {} if network else {"sources": asked}
    separator = choose.load(model, "cpu", **options)
    return separator(Audio(torch.from_numpy(mixture), RATE)).sources


def recognised(recordings: dict[str, np.ndarray], recognizer: Recognizer) -> dict[str, dict[str, list[str]]]:
    """Words of each recording, by recogniser."""
    found = {OURS: {}}
    for name, samples in recordings.items():
        found[OURS][name] = recognizer(torch.from_numpy(samples)[None].float())[0].text.split()
    if peers.present(["recogniser"]):
        texts = peers.run(
            "recogniser", "run_recogniser.py", recordings, (), lambda path: json.loads(path.read_text())
        )
        found[PEER] = {name: words(text) for name, text in texts.items()}
    return found


def measure(
    each: int = 12,
    talkers: Sequence[int] = TALKERS,
    arrays: Sequence[int] = ARRAYS,
    model: str = "auto",
    seed: int = SEED,
    before: dict | None = None,
) -> Iterator[dict]:
    """Condition by condition.

    Args:
        talkers: at once.
        arrays: numbers of microphones.
        model: the recogniser.
    """
    recognizer, scorer = load_recognizer(model, "cpu"), BlindScorer()
    result = before or {}
    counts, pairs = result.setdefault("errors", {}), result.setdefault("pairs", [])
    for count, microphones in product(talkers, arrays):
        if f"{count} | {microphones}" in counts:
            continue
        rows: dict[str, dict[str, list[list[int]]]] = {}
        for number in range(each):
            heard, alone, said = scene(count, number, seed)
            heard = heard[:microphones]
            given = {"mixture": heard[:1], "voices alone": alone}
            for name in SEPARATORS[microphones] if count > 1 else ():
                given[name] = voices_of(heard, count, name).numpy()
            flat = {f"{name} {k}": voice for name, voices in given.items() for k, voice in enumerate(voices)}
            for recogniser, texts in recognised(flat, recognizer).items():
                for name, voices in given.items():
                    read = [texts[f"{name} {k}"] for k in range(len(voices))]
                    found = cp_errors(said, read)
                    row = rows.setdefault(recogniser, {}).setdefault(name, [])
                    row.append([found.errors.count, found.errors.reference])
                    if name == SEPARATORS[microphones][0] and recogniser == OURS:
                        mixture = torch.from_numpy(heard[0])
                        scores = scorer(mixture, torch.from_numpy(voices), RATE)
                        pairs += [
                            [scores[voice].si_snr_db, rightness(said[who], read[voice])]
                            for who, voice in enumerate(found.order)
                            if voice is not None
                        ]
        counts[f"{count} | {microphones}"] = rows
        print(count, microphones, flush=True)
        yield result


def rightness(said: list[str], read: list[str]) -> float:
    """Share of a talker's words that are right."""
    found: Errors = word_errors(" ".join(said), " ".join(read))
    return found.hits / max(found.reference, 1)


def table(result: dict) -> str:
    rows = []
    for condition, recognisers in result["errors"].items():
        for name in recognisers[OURS]:
            rates = {
                recogniser: [100 * part for part in ratio(*np.array(found[name]).T)]
                for recogniser, found in recognisers.items()
            }
            scenes = len(recognisers[OURS][name])
            talkers, microphones = condition.split(" | ")
            rows.append(
                {"talkers": talkers, "microphones": microphones, "name": name, "scenes": scenes} | rates
            )
    blind = np.array(result["pairs"]).T
    correlation = float(np.corrcoef(blind)[0, 1]) if len(result["pairs"]) > 2 else float("nan")
    return page(
        "cpWER in per cent (95 % interval by scene), by the packaged recogniser and by PocketSphinx.",
        grid(
            "talkers | microphones | recognised | scenes | ours | PocketSphinx",
            rows,
            "{talkers} | {microphones} | {name} | {scenes} | {ours:.0f} | {PocketSphinx:.0f}",
        ),
        f"Blind: the score of a voice by `auto` and the share of its words that are right correlate by "
        f"{correlation:.2f} ({len(result['pairs'])} voices).",
        made_by(result),
    )
