"""How sparse should dictionaries of speech be, and when should they stop?

Chosen on dev: dev speakers in training noises, at 0 and at 10 dB; dictionaries of 20 training speakers, as in
``enhance``. The noise's dictionary is free: the longer it learns, the more of the voice it explains as well.

    python -m benchmarks speech_nmf
"""

from itertools import product

import numpy as np

from benchmarks.kit.people import examples, gained, recordings
from benchmarks.kit.table import grid, made_by, page
from unbabble.methods.enhancement.speech_nmf import SpeechNmf

SEED, SNRS_DB = 0, (0.0, 10.0)
TRIED = [("universal", *each) for each in product((100, 30), (0.0, 0.3))]
TRIED += [("universal", 12, each) for each in (0.0, 0.1, 0.3, 0.5, 1.0)]
TRIED += [("local", each, 0.03) for each in (100, 30)]
TRIED += [("local", 12, each) for each in (0.03, 0.1, 0.3, 1.0)]
"""Dictionary, iterations, sparsity."""
QUICK = {"each": 1}


def measure(each: int = 4) -> dict:
    """On dev."""
    scenes, speech, rows = [list(recordings("dev", each, snr_db)) for snr_db in SNRS_DB], examples(), []
    for tag, iterations, sparsity in TRIED:
        model = SpeechNmf(tag, speech=speech)
        model.iterations, model.sparsity = iterations, sparsity
        gains = [
            float(np.mean([gained(model(noisy[None, None])[0, 0], noisy, true) for noisy, true, _ in those]))
            for those in scenes
        ]
        rows.append([tag, iterations, sparsity, *gains])
        print(rows[-1], flush=True)
    return {"each": each, "rows": rows}


def table(result: dict) -> str:
    columns = ("tag", "iterations", "sparsity", "loud", "soft")
    return page(
        "SI-SDR improvement in dB of dev speakers in training noises, by input SNR.",
        grid(
            "`speech_nmf` | iterations | sparsity | 0 dB | 10 dB",
            [dict(zip(columns, row, strict=True)) for row in result["rows"]],
            "{tag} | {iterations} | {sparsity:g} | {loud:.1f} | {soft:.1f}",
        ),
        made_by(result, f"{result['each']} recordings of 6 s for each SNR. "),
    )
