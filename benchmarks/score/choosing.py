"""Which judge chooses best among enhancers?

Recording by recording: test speakers in test noises, as in ``enhance``. Every enhancer hears every recording; each
judge takes what it holds for the best, as ``unbabble enhance --choose`` does: the blind score, a network that learnt to
say PESQ (Quality-Net; Zezario et al., Interspeech 2019), and the error of an autoencoder of clean speech (Kim, ICASSP
2017). Beside them each enhancer alone, a choice by chance, and the oracle, which takes the one of highest SI-SDR.
*agrees*: how often a judge takes the oracle's. Differences from the best single enhancer are paired, with 95 %
intervals over recordings.

    python -m benchmarks choosing
    python -m benchmarks choosing --judges blind quality_net=runs/quality_net/best.safetensors \\
      adaptive_dae=runs/adaptive_dae/best.safetensors
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from benchmarks.kit import people
from benchmarks.kit.people import FAIRNESS, RATE
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.table import grid, made_by, page
from unbabble.pipelines.enhance import BLIND, load_chooser

DIGITS = 3
MODELS = ("gru.2x64", "sparse_ensemble.16k", "bsrnn.1talker_16k")
JUDGES = {BLIND: BLIND, "quality_net": "quality_net.16k", "adaptive_dae": "adaptive_dae.16k"}
CHANCE, ORACLE, GAIN = "by chance", "oracle", "si_sdri_db"
QUICK = {"each": 1}


@torch.no_grad()
def measure(
    models: Sequence[str] = MODELS, judges: Mapping[str, str] = JUDGES, each: int = 30, split: str = "test"
) -> dict:
    """Recording by recording.

    Args:
        judges: by name, their weights.
    """
    calls, choosers = people.enhancers(models), {name: load_chooser(path) for name, path in judges.items()}
    rng, rows = np.random.default_rng(SEED), defaultdict(list)
    for noisy, true, about in people.all_recordings(split, each):
        voices = {name: call(noisy) for name, call in calls.items()}
        figures = {name: people.measured(voice, noisy, true) for name, voice in voices.items()}
        taken = {
            by: max(voices, key=lambda name, judge=judge: judge(noisy, voices[name], RATE))
            for by, judge in choosers.items()
        }
        taken[CHANCE] = str(rng.choice(list(voices)))
        taken[ORACLE] = max(figures, key=lambda name: figures[name][GAIN])
        for by, name in (taken | {name: name for name in voices}).items():
            rows[by].append(about | {"agrees": float(name == taken[ORACLE])} | figures[name])
    best = max(calls, key=lambda name: np.mean([row[GAIN] for row in rows[name]]))
    for there in rows.values():
        for mine, its in zip(there, rows[best], strict=True):
            mine["ahead"] = mine[GAIN] - its[GAIN]
    columns = (GAIN, "pesq", "estoi", "agrees", "ahead")
    table = {by: people.means(there, *columns) | people.fairness(there) for by, there in rows.items()}
    return {"best": best, "recordings": len(rows[best]), "table": table}


def table(result: dict) -> str:
    rows = {by: row | {"agreeing": 100 * row["agrees"][0]} for by, row in result["table"].items()}
    return page(
        f"Mean over input SNRs of {', '.join(people.SNR_NAMES)} dB (95 % interval over recordings); "
        "SI-SDR improvement of women, of men, of the worst tenth of the speakers.",
        grid(
            f"chosen by | SI-SDR improvement, dB | over `{result['best']}` | PESQ | eSTOI | agrees with the oracle "
            "| women | men | worst speakers",
            rows,
            "{name} | {si_sdri_db:.2f} | {ahead:.2f} | {pesq:.2f} | {estoi:.3f} | {agreeing:.0f} % | "
            + FAIRNESS,
        ),
        f"{result['recordings']} recordings of {people.SECONDS:g} s; the noisy recording is among those to choose "
        "from.",
        made_by(result),
    )
