"""How sparse, and for how many iterations, should the dictionaries of ``speech_nmf`` be? Chosen on dev.

    python benchmarks/speech_nmf.py

Dev speakers in training noises, at 0 and at 10 dB; dictionaries of 20 training speakers, as in ``enhance.py``. The
noise's dictionary is free: the longer it learns, the more of the voice it explains as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import common
import numpy as np
import torch
from enhance import SEED, examples, gained, recordings

from unbabble.methods.enhancement.speech_nmf import SpeechNmf

RESULTS = Path(__file__).parent / "results"
NAME, SNRS_DB = "speech_nmf", (0.0, 10.0)
GRID = {
    "universal": {100: (0.0, 0.3), 30: (0.0, 0.3), 12: (0.0, 0.1, 0.3, 0.5, 1.0)},
    "local": {100: (0.03,), 30: (0.03,), 12: (0.03, 0.1, 0.3, 1.0)},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=4, help="recordings for each SNR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenes = {snr_db: list(recordings("dev", arguments.each, snr_db)) for snr_db in SNRS_DB}
    speech, lines = examples(), []
    for tag, tried in GRID.items():
        model = SpeechNmf(tag, speech=speech)
        for iterations, sparsities in tried.items():
            for sparsity in sparsities:
                model.iterations, model.sparsity = iterations, sparsity
                gains = [
                    np.mean([gained(model(noisy[None, None])[0, 0], noisy, true) for noisy, true, _ in each])
                    for each in scenes.values()
                ]
                cells = [tag, str(iterations), f"{sparsity:g}", *(f"{gain:.1f}" for gain in gains)]
                lines.append("| " + " | ".join(cells) + " |")
                print(lines[-1], flush=True)
    text = "\n".join(
        [
            "SI-SDR improvement in dB of dev speakers in training noises, by input SNR.",
            "",
            "| `speech_nmf` | iterations | sparsity | 0 dB | 10 dB |",
            "|-|-|-|-|-|",
            *lines,
            "",
            f"{arguments.each} recordings of 6 s for each SNR. {common.machine()['cpu']}; seed {SEED}. Made by",
            "",
            f"    {common.command()}",
        ]
    )
    (RESULTS / f"{NAME}.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
