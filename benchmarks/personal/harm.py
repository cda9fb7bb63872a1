"""Does enhancement harm?

What a recogniser makes of enhanced speech, and how loud the enhancement may be. Utterances of test speakers, clean and
in test noises at 0 and 10 dB. PocketSphinx (its English model comes in its wheel; ``peers.sh``) reads them as they are
and enhanced, as strongly as the network can, and as ``enhance`` decides by the blind score; that takes half an hour.
Word error rate in per cent, with a 95 % interval over utterances (bootstrap of the ratio), and the share of recordings
that enhancement makes worse by SI-SDR. The recogniser is an old one: what counts is the difference to the noisy
recording.

    python -m benchmarks harm
"""

import json
import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from benchmarks.kit import peers
from benchmarks.kit.people import RATE, gained
from benchmarks.kit.scenes import DATA, by_speaker
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.base import audio
from unbabble.data import corpora
from unbabble.pipelines.enhance import DEFAULTS, Enhanced, decide, limited, load_enhancer
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import interval, resamples

SEED, DIGITS = 0, 3
CONDITIONS = {"clean": math.inf, "10 dB": 10.0, "0 dB": 0.0}
LEAST_SECONDS, MOST_SECONDS, LEAST_LOSS_DB = 4.0, 12.0, 0.1
STRENGTHS = {"all": math.inf, "auto": None}
QUICK = {"utterances": 1, "models": ["gru.2x64"]}


def utterances_of(count: int) -> list[corpora.Utterance]:
    """Of as many test speakers as possible."""
    turns: list[list[corpora.Utterance]] = []
    for mine in by_speaker("test").values():
        fit = [each for each in mine if each.text and LEAST_SECONDS <= each.seconds <= MOST_SECONDS]
        for turn, each in enumerate(fit):
            turns += [[]] if turn == len(turns) else []
            turns[turn].append(each)
    return [each for turn in turns for each in turn][:count]


def errors(said: str, hypothesis: str) -> tuple[int, int]:
    """Words that must be changed, left out or put in (Levenshtein), and words said."""
    reference, recognised = said.lower().split(), hypothesis.lower().split()
    row = list(range(len(recognised) + 1))
    for number, word in enumerate(reference, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(recognised, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1], len(reference)


def rate(counts: list[tuple[int, int]]) -> tuple[float, float, float]:
    """Word error rate, and its interval."""
    wrong, words = np.array(counts).T
    drawn = resamples(len(words), SEED)
    return (100 * wrong.sum() / words.sum(), *interval(100 * wrong[drawn].sum(1) / words[drawn].sum(1)))


def measure(models: Sequence[str] = tuple(DEFAULTS), utterances: int = 30) -> dict:
    if not peers.present(["recogniser"]):
        raise SystemExit("PocketSphinx is not here.")
    calls, said = {name: load_enhancer(name) for name in models}, utterances_of(utterances)
    noises = [each for each in corpora.noises(DATA / "noise.csv", "test") if each.seconds > MOST_SECONDS]
    rng, recordings, gains = np.random.default_rng(SEED), {}, {}
    for number, utterance in enumerate(said):
        voice = audio.read(utterance.path).samples[0]
        sound = audio.read(noises[number % len(noises)].path).samples[0]
        start = int(rng.integers(len(sound) - len(voice))) if len(sound) > len(voice) else 0
        sound = torch.from_numpy(np.resize(sound[start:].numpy(), len(voice)))
        for condition, snr_db in CONDITIONS.items():
            noisy = voice + voice.norm() / sound.norm() * 10 ** (-snr_db / 20) * sound
            recordings[f"{number} {condition} noisy"] = noisy.numpy()
            for name, call in calls.items():
                clean = call(noisy[None], RATE).sources[0]
                for label, strength in STRENGTHS.items():
                    if strength is None:
                        decision = Enhanced(name, math.inf)
                        decide(call, Recording.of(noisy, RATE), "auto", decision)
                        strength = decision.strength_db
                    enhanced, column = limited(clean, noisy, strength), f"{name}, {label}"
                    recordings[f"{number} {condition} {column}"] = enhanced.numpy()
                    if math.isfinite(snr_db):
                        gains.setdefault((column, condition), []).append(gained(enhanced, noisy, voice))
        print(number, flush=True)
    texts = peers.run(
        "recogniser", "run_recogniser.py", recordings, (), lambda path: json.loads(path.read_text())
    )
    table: dict[str, dict] = {}
    columns = ["noisy", *(f"{name}, {label}" for name in models for label in STRENGTHS)]
    for column, condition in product(columns, CONDITIONS):
        hypotheses = [texts[f"{number} {condition} {column}"] for number in range(len(said))]
        read = [errors(each.text, text) for each, text in zip(said, hypotheses, strict=True)]
        worse = [gain < -LEAST_LOSS_DB for gain in gains.get((column, condition), [0.0])]
        table.setdefault(column, {})[condition] = {"wer": rate(read), "worse": float(np.mean(worse))}
    return {"table": table, "utterances": len(said), "words": sum(len(each.text.split()) for each in said)}


def table(result: dict) -> str:
    rows = []
    for name, row in result["table"].items():
        cells = [name]
        for condition, found in row.items():
            worse = "" if condition == "clean" or name == "noisy" else f" / {100 * found['worse']:.0f} %"
            cells.append(figure(found["wer"], 1) + worse)
        rows.append(cells)
    return page(
        "Word error rate in per cent (95 % interval over utterances) / share of recordings that have a lower SI-SDR "
        "than before.",
        grid(["recording", *next(iter(result["table"].values()))], rows),
        f"{result['utterances']} utterances, {result['words']} words, of test speakers in test noises. PocketSphinx 5 "
        "with the English model of its wheel.",
        made_by(result),
    )
