"""What is written where nobody speaks, and what is lost where somebody does?

Every recording goes the way of ``unbabble transcribe``: a window in which the speech detector hears nobody is not
recognised, and the words of one of which the recogniser is not sure (mean confidence below a threshold) are left out.
Noises, those that the detector has learnt from and those of test, in windows of 20 s; speech of speakers that nothing
has learnt from, as it is and in test noise of the same level. *Asked*: windows in which the detector hears somebody.
Of noise, words that are written; of speech, word errors. The threshold is chosen on dev, by ``confidence``.

    python -m benchmarks nobody_speaks --split dev --name nobody_speaks_dev
    python -m benchmarks nobody_speaks              # ten minutes on one core
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.kit.recognized import spoken
from benchmarks.kit.scenes import DATA, RATE
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import audio
from unbabble.data import corpora
from unbabble.pipelines.recognize import load_recognizer
from unbabble.pipelines.transcribe import confidence, least_confidence, of_window, windows, without_loops
from unbabble.text.errors import Errors, errors

THRESHOLDS = (0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
NAMES = ["nobody_speaks", "nobody_speaks_dev"]
QUICK = {"most": 2}
Window = tuple[Tensor, list[str]]
"""Samples, and what is said."""


def noises(split: str) -> list[Tensor]:
    tables = ["noise.csv", "noise_more.csv"] if split == "train" else ["noise.csv"]
    files = [each.path for table in tables for each in corpora.noises(DATA / table, split)]
    read = (audio.read(path) for path in files)
    return [audio.resample(each.samples.mean(0), each.sample_rate, RATE) for each in read]


def sets(split: str, most: int) -> Iterator[tuple[str, list[Window]]]:
    """By name: noises, speech, and both."""
    unheard = noises("test" if split == "test" else "train")
    for name, each in (("noises of train", noises("train")), ("noises of test", noises("test"))):
        yield name, [(part, []) for noise in each for _, part in windows(iter([noise]), RATE)][:most]
    clean = [(torch.from_numpy(each.waveform), each.text.split()) for each in spoken(split, most)]
    yield "speech", clean
    rng = np.random.default_rng(0)
    mixed = []
    for samples, said in clean:
        noise = unheard[rng.integers(len(unheard))]
        noise = noise.repeat(-(-len(samples) // len(noise)))[: len(samples)]
        gain = samples.square().mean().sqrt() / noise.square().mean().sqrt().clamp(min=1e-9)
        mixed.append((samples + gain * noise, said))
    yield "speech in noise, 0 dB", mixed


def row(recognizer, items: Iterable[Window]) -> dict:
    asked, count, heard = 0, 0, []
    for samples, said in items:
        words, where = of_window(recognizer, samples)
        asked, count = asked + bool(where.any()), count + 1
        heard.append((said, [word.text for word in without_loops(words)], confidence(words)))
    return {"windows": count, "asked": asked, "thresholds": [at(heard, each) for each in THRESHOLDS]}


def at(heard: list[tuple[list[str], list[str], float]], least: float) -> dict:
    """What is written if less sure windows are left out, and how many words of it are wrong."""
    written = [(said, words if sure >= least else []) for said, words, sure in heard]
    wrong = sum((errors(*each) for each in written), Errors())
    return {
        "words": sum(len(words) for _, words in written),
        "windows": sum(bool(words) for _, words in written),
        "wer": wrong.rate if wrong.reference else None,
    }


def measure(model: str = "auto", split: str = "test", most: int = 10_000) -> Iterator[dict]:
    """Set by set.

    Args:
        model: a recogniser.
        most: windows and utterances of each set.
    """
    recognizer = load_recognizer(model, "cpu")
    result: dict = {"split": split, "least": least_confidence(recognizer), "sets": {}}
    for name, items in sets(split, most):
        result["sets"][name] = row(recognizer, items)
        print(name, result["sets"][name], flush=True)
        yield result


def table(result: dict) -> str:
    rows = []
    for name, each in result["sets"].items():
        for least, counts in zip(THRESHOLDS, each["thresholds"], strict=True):
            wer = "" if counts["wer"] is None else f"{100 * counts['wer']:.1f}"
            mark = f"**{least:g}**" if least == result["least"] else f"{least:g}"
            cells = (each["windows"], each["asked"], mark, counts["windows"], counts["words"], wer)
            rows.append((name, *cells))
    return page(
        f"What is written, by the least mean confidence of a window (in bold, that of `unbabble transcribe`); speakers "
        f"of {result['split']}.",
        grid("what | windows | asked | least confidence | with words | words | WER, %", rows),
        made_by(result),
    )
