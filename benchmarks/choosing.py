"""Which judge chooses best among enhancers, recording by recording?

    python benchmarks/choosing.py
    python benchmarks/choosing.py --judges blind quality_net=runs/quality_net/best.safetensors \\
      adaptive_dae=runs/adaptive_dae/best.safetensors

Test speakers in test noises, as in ``enhance.py``. Every enhancer hears every recording; each judge takes what it holds
for the best, as ``unbabble enhance --choose`` does: the blind score, a network that learnt to say PESQ (Quality-Net;
Zezario et al., Interspeech 2019), and the error of an autoencoder of clean speech (Kim, ICASSP 2017). Beside them each
enhancer alone, a choice by chance, and the oracle, which takes the one of highest SI-SDR. *agrees*: how often a judge
takes the oracle's. Differences from the best single enhancer are paired, with 95 % intervals over recordings.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path

import common
import numpy as np
import torch
from enhance import RATE, SECONDS, SEED, SNRS_DB, enhancers, fairness, fairness_cells, measured, recordings

from unbabble.pipelines.enhance import BLIND, load_chooser

RESULTS = Path(__file__).parent / "results"
NAME = "choosing"
MODELS = ["gru.2x64", "sparse_ensemble.16k", "bsrnn.1talker_16k"]
JUDGES = [BLIND, "quality_net=quality_net.16k", "adaptive_dae=adaptive_dae.16k"]
CHANCE, ORACLE = "by chance", "oracle"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--judges", nargs="+", default=JUDGES, metavar="NAME=WEIGHTS")
    parser.add_argument("--each", type=int, default=30, help="recordings for each SNR")
    parser.add_argument("--split", default="test")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = enhancers(arguments.models)
    judges = {
        name: load_chooser(path or name)
        for name, _, path in (each.partition("=") for each in arguments.judges)
    }
    rng, rows = np.random.default_rng(SEED), []
    for noisy, true, about in chain.from_iterable(
        recordings(arguments.split, arguments.each, snr_db) for snr_db in SNRS_DB
    ):
        voices = {name: enhance(noisy) for name, enhance in made.items()}
        figures = {name: measured(voice, noisy, true) for name, voice in voices.items()}
        taken = {
            name: max(voices, key=lambda each: judge(noisy, voices[each], RATE))
            for name, judge in judges.items()
        }
        taken[CHANCE] = str(rng.choice(list(voices)))
        taken[ORACLE] = max(figures, key=lambda each: figures[each]["si_sdri_db"])
        taken |= {name: name for name in voices}
        rows += [
            about | {"by": by, "agrees": float(name == taken[ORACLE])} | figures[name]
            for by, name in taken.items()
        ]
    alone = {name: np.mean([row["si_sdri_db"] for row in rows if row["by"] == name]) for name in made}
    best = max(alone, key=lambda name: alone[name])
    reference = [row for row in rows if row["by"] == best]
    table = {}
    for by in dict.fromkeys(row["by"] for row in rows):
        there = [row for row in rows if row["by"] == by]
        table[by] = {
            key: common.interval([row[key] for row in there])
            for key in ("si_sdri_db", "pesq", "estoi", "agrees")
        }
        pairs = zip(there, reference, strict=True)
        table[by]["ahead"] = common.interval([mine["si_sdri_db"] - its["si_sdri_db"] for mine, its in pairs])
        table[by] |= fairness(there)
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "best": best}
    result = common.rounded(result | {"recordings": len(reference), "table": table}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The table."""
    lines = [
        f"Mean over input SNRs of {', '.join(f'{each:g}' for each in SNRS_DB)} dB (95 % interval over recordings); "
        "SI-SDR improvement of women, of men, of the worst tenth of the speakers.",
        "",
        f"| chosen by | SI-SDR improvement, dB | over `{result['best']}` | PESQ | eSTOI | agrees with the oracle "
        "| women | men | worst speakers |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    for by, row in result["table"].items():
        cells = [by]
        for key, digits in (("si_sdri_db", 2), ("ahead", 2), ("pesq", 2), ("estoi", 3)):
            mean, low, high = row[key]
            cells.append(f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        cells.append(f"{100 * row['agrees'][0]:.0f} %")
        lines.append(f"| {' | '.join([*cells, *fairness_cells(row)])} |")
    lines += [
        "",
        f"{result['recordings']} recordings of {SECONDS:g} s; the noisy recording is among those to choose from.",
        "",
    ]
    lines += [f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by", ""]
    return "\n".join([*lines, f"    {result['command']}"]) + "\n"


if __name__ == "__main__":
    main()
