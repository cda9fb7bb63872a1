"""How sure is the packaged recogniser of its words, and is it right as often as it says?

A word's posterior is its share of the search's beam; a logistic regression on dev speakers makes a confidence of it, of
what the frames say and of its length (``text/confidence.py``). Both are shown on test speakers: the *error* is the mean
difference between confidence and the share of words that are right, over ten ranges; the *area* is the probability that
a right word is surer than a wrong one.

    python -m benchmarks confidence       # half an hour on one core; prints the weights of the regression
"""

from dataclasses import asdict

import numpy as np
import torch
from scipy.stats import rankdata

from benchmarks.kit.recognized import spoken
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines.recognize import Recognizer, load_recognizer
from unbabble.text.confidence import Calibration, calibrate, calibration_error, reliability
from unbabble.text.ctc_search import lexicon_beam
from unbabble.text.errors import align
from unbabble.text.hypothesis import Word, place

SPLITS, LEAST_CONFIDENCE = ("dev", "test"), 0.5
QUICK = {"most": 6}


def recognized(recognizer: Recognizer, split: str, most: int) -> tuple[list[Word], list[bool]]:
    """Words of a split, and whether each was said."""
    words: list[Word] = []
    right: list[bool] = []
    lexicon = recognizer.lexicon
    assert lexicon is not None
    for each in spoken(split, most):
        waveform = torch.from_numpy(each.waveform)[None]
        with torch.no_grad():
            (said,) = recognizer.network.posteriors(waveform, torch.tensor([waveform.shape[1]]))
        heard = said["phones"]
        (best,) = lexicon_beam(
            heard.log_probs,
            lexicon,
            recognizer.scores,
            log_prior=heard.log_prior,
            prior_share=recognizer.prior_share,
            pruning=recognizer.pruning,
            best=1,
        )
        steps = align(each.text.split(), best.words)
        words += place(heard.log_probs, best)
        right += [step.reference == step.hypothesis for step in steps if step.hypothesis is not None]
    return words, right


def area(confidences: np.ndarray, right: np.ndarray) -> float:
    """How probable it is that a right word has a greater confidence than a wrong one."""
    ranks, count = rankdata(confidences), right.sum()
    return float((ranks[right].sum() - count * (count + 1) / 2) / (count * (~right).sum()))


def row(confidences: np.ndarray, right: np.ndarray) -> dict:
    bins = reliability(confidences, right)
    sure = confidences >= LEAST_CONFIDENCE
    return {
        "error": calibration_error(bins),
        "area": area(confidences, right),
        "sure": float(sure.mean()),
        "right_of_sure": float(right[sure].mean()),
        "bins": [each._asdict() for each in bins],
    }


def measure(model: str = "auto", most: int = 10_000) -> dict:
    """Fit on dev, show on test.

    Args:
        model: a recogniser of phones.
        most: utterances of each split.
    """
    recognizer = load_recognizer(model, "cpu")
    (dev, dev_right), (test, test_right) = (recognized(recognizer, split, most) for split in SPLITS)
    calibration, right = calibrate(dev, dev_right), np.array(test_right)
    ways = {
        "posterior": np.array([word.posterior for word in test]),
        "calibrated": np.array([calibration(word) for word in test]),
    }
    return {
        "words": {"dev": len(dev), "test": len(test)},
        "calibration": asdict(calibration),
        "right": {"dev": float(np.mean(dev_right)), "test": float(right.mean())},
        "rows": {name: row(confidences, right) for name, confidences in ways.items()},
    }


def table(result: dict) -> str:
    bins = [each | {"name": name} for name, row in result["rows"].items() for each in row["bins"]]
    weights = Calibration(**result["calibration"])
    return page(
        "# How sure the recogniser is of its words",
        f"{result['words']['test']} words of test speakers, of which {100 * result['right']['test']:.0f} % are right; "
        f"calibrated on {result['words']['dev']} of dev speakers, of which {100 * result['right']['dev']:.0f} % are.",
        grid(
            f"confidence | error | area | words of at least {LEAST_CONFIDENCE:g} | of these right",
            result["rows"],
            "{name} | {error:.3f} | {area:.3f} | {sure:.3f} | {right_of_sure:.3f}",
        ),
        grid("confidence | words | mean | right", bins, "{name} | {words} | {confidence:.2f} | {right:.2f}"),
        f"    {weights}",
        made_by(result),
    )
