"""How sure is the packaged recogniser of its words, and is it right as often as it says?

What a search knows of a word is its share of the search's beam, what the frames say of its tokens, and how many these
are; a logistic regression on dev speakers makes a probability of them (``text/confidence.py``), one for each search:
by phones, lexicon and language model, and by pieces of words without a language model. Both share and probability are
shown on test speakers: the *error* is the mean difference between confidence and the share of words that are right,
over ten ranges; the *area* is the probability that a right word is surer than a wrong one. Chosen on dev, too: below
which mean confidence a stretch is taken for no speech, the greatest that costs at most one word in 500 (what it spares,
``nobody_speaks`` shows). With ``--card`` all of it goes into the card of a weights file, where ``transcribe`` finds it.

    python -m benchmarks confidence --card src/unbabble/weights/conformer_ctc.english_16k.safetensors
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.kit.cards import put
from benchmarks.kit.ranks import area
from benchmarks.kit.recognized import spoken
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines.recognize import BY_PHONES, BY_PIECES, Recognizer, load_recognizer
from unbabble.text.confidence import Calibration, calibrate, calibration_error, reliability
from unbabble.text.errors import align
from unbabble.text.hypothesis import Word

SPLITS, SURE = ("dev", "test"), 0.5
THRESHOLDS, MOST_LOST = tuple(k / 20 for k in range(20)), 1 / 500
QUICK = {"most": 6}
Recognized = list[tuple[tuple[Word, ...], list[bool]]]
"""Of each utterance its words, and whether each was said."""


def recognized(searches: dict[str, Recognizer], split: str, most: int) -> dict[str, Recognized]:
    """By search, the words of a split."""
    words: dict[str, Recognized] = {name: [] for name in searches}
    network: Any = next(iter(searches.values())).network
    for each in spoken(split, most):
        waveform = torch.from_numpy(each.waveform)[None]
        lengths = torch.tensor([waveform.shape[1]])
        with torch.no_grad():
            (said,), (writer,) = network.posteriors(waveform, lengths), network.writers(waveform, lengths)
            for name, search in searches.items():
                placed, _ = search.placed(said, writer)
                steps = align(each.text.split(), [word.text for word in placed])
                right = [step.reference == step.hypothesis for step in steps if step.hypothesis is not None]
                words[name].append((placed, right))
    return words


def joined(items: Recognized) -> tuple[list[Word], list[bool]]:
    """The words of all utterances."""
    return [word for words, _ in items for word in words], [each for _, right in items for each in right]


def least(items: Recognized, calibration: Calibration) -> float:
    """The greatest mean confidence that may be asked of an utterance for its words to be written."""
    means = [(np.mean([calibration(word) for word in words]), len(words)) for words, _ in items if words]
    allowed = MOST_LOST * sum(count for _, count in means)
    return max(each for each in THRESHOLDS if sum(count for mean, count in means if mean < each) <= allowed)


def row(confidences: np.ndarray, right: np.ndarray) -> dict:
    bins = reliability(confidences, right)
    sure = confidences >= SURE
    return {
        "error": calibration_error(bins),
        "area": area(confidences, right),
        "sure": float(sure.mean()),
        "right_of_sure": float(right[sure].mean()),
        "bins": [each._asdict() for each in bins],
    }


def measured(dev: Recognized, test: Recognized) -> dict:
    """Of one search."""
    (dev_words, dev_right), (words, right) = joined(dev), joined(test)
    calibration, truth = calibrate(dev_words, dev_right), np.array(right)
    calibration = replace(calibration, least=least(dev, calibration))
    ways = {
        "share of the beam": np.array([word.posterior for word in words]),
        "calibrated": np.array([calibration(word) for word in words]),
    }
    return {
        "words": {"dev": len(dev_words), "test": len(words)},
        "right": {"dev": float(np.mean(dev_right)), "test": float(truth.mean())},
        "calibration": asdict(calibration),
        "rows": {name: row(confidences, truth) for name, confidences in ways.items()},
    }


def measure(model: str = "auto", most: int = 10_000, card: Path | None = None) -> dict:
    """Fit on dev, show on test.

    Args:
        model: a recogniser of phones and pieces of words.
        most: utterances of each split.
        card: put the weights into the card of this weights file.
    """
    recognizer = load_recognizer(model, "cpu")
    searches = {BY_PHONES: recognizer, BY_PIECES: Recognizer(recognizer.network)}
    dev, test = (recognized(searches, split, most) for split in SPLITS)
    result = {name: measured(dev[name], test[name]) for name in searches}
    if card is not None:
        weights = {name: each["calibration"] for name, each in result.items()}
        put(card, confidence={k: {n: round(w, 4) for n, w in v.items()} for k, v in weights.items()})
    return {"searches": result}


def table(result: dict) -> str:
    parts = []
    for name, found in result["searches"].items():
        bins = [each | {"name": way} for way, row in found["rows"].items() for each in row["bins"]]
        parts += [
            f"## By {name}",
            f"{found['words']['test']} words of test speakers, of which {100 * found['right']['test']:.0f} % are "
            f"right; calibrated on {found['words']['dev']} of dev speakers, of which "
            f"{100 * found['right']['dev']:.0f} % are.",
            grid(
                f"confidence | error | area | words of at least {SURE:g} | of these right",
                found["rows"],
                "{name} | {error:.3f} | {area:.3f} | {sure:.3f} | {right_of_sure:.3f}",
            ),
            grid(
                "confidence | words | mean | right", bins, "{name} | {words} | {confidence:.2f} | {right:.2f}"
            ),
            "    " + ", ".join(f"{name} {value:g}" for name, value in found["calibration"].items()),
        ]
    return page("# How sure the recogniser is of its words", *parts, made_by(result))
