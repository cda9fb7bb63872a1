"""Does enhancement harm or help whoever reads along: how many words does a recogniser get wrong, before and after?

All utterances of the test speakers, clean and in test noises at 5 dB, as they are and enhanced: as strongly as the
large network can, and with the strength that `enhance` chooses by the blind score for either packaged network. By the
packaged recogniser, with its language model; intervals are bootstrapped by speaker, and so is the difference from the
recording as it was, which is what counts. *Worse*: share of recordings whose SI-SDR enhancement lowers.

    python -m benchmarks harm --kept runs/harm --prepare        # enhances: ten minutes of one core
    python -m benchmarks harm --kept runs/harm                  # recognises: as long again; goes on where it was
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.kept import kept as kept_arrays
from benchmarks.kit.people import RATE, at_snr, gained
from benchmarks.kit.scenes import DATA, speech
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import audio
from unbabble.data import corpora
from unbabble.pipelines.enhance import DEFAULTS, Enhanced, decide, limited, load_enhancer
from unbabble.pipelines.recognize import load_recognizer
from unbabble.pipelines.recording import Recording
from unbabble.signal.statistics import ratio
from unbabble.text.errors import word_errors
from unbabble.text.normalise import words

SEED = 0
CONDITIONS = {"clean": math.inf, "5 dB": 5.0}
NOISY, FULL, CHOSEN = "as it is", "{}, in full", "{}, as `enhance` chooses"
LEAST_LOSS_DB = 0.1
QUICK = {"most": 2}


def by_turns(utterances: Sequence[corpora.Utterance]) -> list[tuple[int, corpora.Utterance]]:
    """With their numbers: the first of each speaker, then the second of each, so that what is read early is of all."""
    turns: Counter[str] = Counter()
    keys = []
    for number, each in enumerate(utterances):
        keys.append((turns[each.speaker], number))
        turns[each.speaker] += 1
    return [(number, utterances[number]) for _, number in sorted(keys)]


def in_noise(number: int, utterance: corpora.Utterance, snr_db: float, seed: int) -> tuple[Tensor, Tensor]:
    """An utterance in one of the test noises, and by itself."""
    voice = audio.read(utterance.path).samples[0]
    noises = corpora.noises(DATA / "noise.csv", "test")
    sound = audio.read(noises[number % len(noises)].path).samples[0].numpy()
    start = int(np.random.default_rng([seed, number]).integers(max(1, len(sound) - len(voice))))
    return torch.from_numpy(at_snr(voice.numpy(), sound[start:], snr_db)), voice


def enhanced(noisy: Tensor, models: Sequence[str]) -> dict[str, np.ndarray]:
    """By model: what it makes of a recording, and in dB how strongly `enhance` would use it."""
    result = {}
    for name in models:
        model = load_enhancer(name, "cpu")
        decision = Enhanced(name, math.inf)
        decide(model, Recording.of(noisy, RATE), "auto", decision)
        result[name] = model(noisy[None], RATE).sources[0].numpy()
        result[f"{name} strength_db"] = np.array(decision.strength_db)
    return result


def recordings(noisy: Tensor, arrays: dict[str, np.ndarray], models: Sequence[str]) -> dict[str, Tensor]:
    """By column of the table, what is recognised."""
    result = {NOISY: noisy}
    for name in models:
        clean = torch.from_numpy(arrays[name])
        if name == models[0]:
            result[FULL.format(name)] = clean
        strength_db = float(arrays[f"{name} strength_db"])
        result[CHOSEN.format(name)] = limited(clean, noisy, strength_db) if strength_db else noisy
    return result


def recognised(given: dict[str, Tensor], recogniser: str) -> dict[str, str]:
    """What is read of each recording; of those that are one and the same, once."""
    call = load_recognizer(recogniser, "cpu")
    distinct = {id(each): each for each in given.values()}
    texts = {key: call(sound[None])[0].text for key, sound in distinct.items()}
    return {name: texts[id(sound)] for name, sound in given.items()}


def measure(
    models: Sequence[str] = tuple(DEFAULTS),
    most: int = 10_000,
    recogniser: str = "auto",
    kept: Path | None = None,
    prepare: bool = False,
    seed: int = SEED,
    before: dict | None = None,
) -> Iterator[dict]:
    """Utterance by utterance.

    Args:
        models: enhancers; of the first, all that it can is recognised too.
        most: utterances.
        recogniser: a packaged one, or a file.
        kept: folder of enhanced recordings, which are the same for every recogniser.
        prepare: only enhance; nothing is recognised.
    """
    result = {"utterances": 0, "counts": {}} | (before or {})
    done = 0 if prepare else result["utterances"]
    order = by_turns(speech("test"))[:most]
    for place, (number, utterance) in list(enumerate(order))[done:]:
        for condition, snr_db in CONDITIONS.items():
            noisy, voice = in_noise(number, utterance, snr_db, seed)
            make = partial(enhanced, noisy, models)
            arrays = kept_arrays(kept, f"{seed}_{number}_{condition.replace(' ', '')}", make)
            if prepare:
                continue
            given = recordings(noisy, arrays, models)
            for name, text in recognised(given, recogniser).items():
                wrong, sound = word_errors(" ".join(words(utterance.text)), text), given[name]
                worse = (
                    math.isfinite(snr_db) and name != NOISY and gained(sound, noisy, voice) < -LEAST_LOSS_DB
                )
                by_name = result["counts"].setdefault(condition, {}).setdefault(name, {})
                sums = by_name.get(utterance.speaker, [0, 0, 0])
                new = (wrong.count, wrong.reference, int(worse))
                by_name[utterance.speaker] = [old + more for old, more in zip(sums, new, strict=True)]
        result["utterances"] = place + 1
        if place % 15 == 14:
            print(place + 1, flush=True)
            yield from () if prepare else (result,)
    yield from () if prepare else (result,)


def rate(counts: dict[str, list[int]], less: dict[str, list[int]] | None = None) -> list[float]:
    """Per cent of the words that are wrong, or by how much more than ``less``, with the interval by speaker."""
    wrong = [mine[0] - (less[speaker][0] if less else 0) for speaker, mine in counts.items()]
    return [100 * part for part in ratio(wrong, [mine[1] for mine in counts.values()])]


def table(result: dict) -> str:
    lines = []
    for condition, by_name in result["counts"].items():
        for name, counts in by_name.items():
            line = {"condition": condition, "name": name, "words": rate(counts)}
            if name != NOISY:
                line["more"] = rate(counts, by_name[NOISY])
            if name != NOISY and math.isfinite(CONDITIONS[condition]):
                line["worse"] = 100 * sum(mine[2] for mine in counts.values()) / result["utterances"]
            lines.append(line)
    counts = result["counts"]["clean"][NOISY]
    return page(
        "Words that are wrong, in per cent, and by how much more than of the recording as it is (95 % intervals by "
        "speaker).",
        grid(
            "noise | recognised | words | more | worse by SI-SDR",
            lines,
            "{condition} | {name} | {words:.1f} | {more:.1f} | {worse:.0f} %",
        ),
        f"{result['utterances']} utterances of {len(counts)} test speakers, {sum(mine[1] for mine in counts.values())} "
        "words, in test noises.",
        made_by(result),
    )
