"""How near is what `unbabble enhance` says to the truth?

The blind score learnt from separated voices and flatters enhanced ones. The constants of what is said are this claim's
own least squares on dev recordings: the true SI-SNR by the scores of the enhanced and of the noisy recording
(``pipelines.enhance.score_of_enhanced``). Recordings of single speakers in noise of -5 to 25 dB, half in a room, by all
packaged enhancers at all strengths; on dev in noises that networks learnt from, on test in others. *within*: how often
the interval holds the truth. *harmed*: by more than 1 dB, with the strength that the score chooses.

    python -m benchmarks enhanced_score
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.kit.scenes import drawn, items
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.pipelines.enhance import STRENGTHS_DB, limited, load_enhancer, score_of_enhanced
from unbabble.pipelines.score import BlindScorer, VoiceScore
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap

SEED, RATE, SECONDS = 3, 16000, 5.0
LOWEST_DB, HIGHEST_DB, HARM_DB = -15.0, 30.0, -1.0
MODELS = ("bsrnn.1talker_16k", "gru.2x64", "sparse_ensemble.16k", "adaptive_dae.16k")
QUICK = {"each": 2}
Row = tuple[float, float, dict[float, tuple[VoiceScore, VoiceScore, float]]]
"""True SI-SNR before, its score, and by strength: score, what is said, true SI-SNR."""


def rows_of(model: str, split: str, each: int) -> Iterator[Row]:
    scorer, enhancer = BlindScorer(), load_enhancer(model, "cpu")
    for echoing in (0.0, 1.0):
        mixing = drawn(split, 1, 1.0, echoing, (-5.0, 25.0), seconds=SECONDS, sample_rate=RATE)
        for (noisy,), (voice,) in items(mixing, each, SEED):
            clean = enhancer(noisy[None], RATE).sources[0]
            before = scorer(noisy, noisy[None], RATE)[0]
            after = {}
            for strength in (each for each in STRENGTHS_DB if each > 0):
                enhanced = limited(clean, noisy, strength)
                score = scorer(noisy, enhanced[None], RATE)[0]
                after[strength] = score, score_of_enhanced(score, before), true_db(enhanced, voice)
            yield true_db(noisy, voice), before.si_snr_db, after


def true_db(estimate: torch.Tensor, voice: torch.Tensor) -> float:
    return float(si_sdr(estimate[None], voice[None]).clamp(LOWEST_DB, HIGHEST_DB))


def chosen(row: Row, said: int) -> float:
    """What the strength gains that the score (0) or what is said (1) chooses."""
    own, before, after = row
    fitting = (true for score, other, true in after.values() if (score, other)[said].si_snr_db >= before)
    return next(fitting, own) - own


@torch.no_grad()
def measure(each: int = 30, splits: Sequence[str] = ("dev", "test")) -> Iterator[dict]:
    """Split by split.

    Args:
        each: recordings with a room, and without.
    """
    result = {}
    for split in splits:
        rows = [row for model in MODELS for row in rows_of(model, split, each)]
        cases = [(before, *case) for _, before, after in rows for case in after.values()]
        truth = np.array([true for *_, true in cases])
        inputs = np.array([[1.0, score.si_snr_db, before] for before, score, _, _ in cases])
        fit = np.linalg.lstsq(inputs, truth, rcond=None)[0]
        reach = np.quantile(truth - inputs @ fit, (0.025, 0.975))
        table = {"recordings": 2 * each, "fit": fit.tolist(), "reach_db": reach.tolist()}
        for at, name in enumerate(("score", "said")):
            told = [(score, said)[at] for _, score, said, _ in cases]
            error = np.array([each.si_snr_db for each in told]) - truth
            within = [each.low_db <= true <= each.high_db for each, true in zip(told, truth, strict=True)]
            gains = np.array([chosen(row, at) for row in rows])
            table[name] = {
                "error_db": bootstrap(error),
                "absolute_db": bootstrap(np.abs(error)),
                "within": bootstrap(np.array(within, float)),
                "gain_db": bootstrap(gains),
                "harmed": bootstrap((gains < HARM_DB).astype(float)),
            }
        yield {"splits": result | {split: table}}
        result[split] = table


def table(result: dict) -> str:
    rows = []
    for split, found in result["splits"].items():
        for name, label in (("score", "blind score"), ("said", "what is said")):
            row = found[name]
            cells = [figure(row[key], 1) for key in ("error_db", "absolute_db", "gain_db")]
            shares = [figure(row[key], 0, 100) for key in ("within", "harmed")]
            rows.append([split, label, cells[0], cells[1], shares[0], cells[2], shares[1]])
    fits = [
        f"{split}: {' + '.join(f'{each:.2f}' for each in found['fit'])} (constant, enhanced, noisy), the truth {{}}"
        " to {} dB from that".format(*(f"{each:+.1f}" for each in found["reach_db"]))
        for split, found in result["splits"].items()
    ]
    return page(
        "Scores of enhanced speech beside its true SI-SNR (95 % intervals): mean error and mean absolute error in dB, "
        "how often the interval holds the truth in %; and what is gained in dB, and how often more than 1 dB lost in "
        "%, by the strength that it chooses.",
        grid("split | by | error | absolute error | within | gain | harmed", rows),
        "Least squares: " + "; ".join(fits) + ".",
        made_by(result),
    )
