"""How far off are the meters of noise in each frame, and of PESQ?

They hear no clean speech. Test speakers in test noises, as in ``enhance``. `frame_snr` tells the SNR of each frame
(within +-30 dB, of frames that are not silent), by which `data_purification` trusts recordings; beside it, what the
large enhancer's voice and what it takes off say, and the median of all frames, always. `quality_net` tells the PESQ of
recordings and of what enhancers make of them; beside it the median, always, and the blind score's correlation. Mean
absolute error, with 95 % intervals over recordings, and Pearson's correlation.

    python -m benchmarks meters [--cards]
"""

import numpy as np
import torch

from benchmarks.kit.cards import put_scores
from benchmarks.kit.people import RATE, SECONDS, all_recordings, enhancers
from benchmarks.kit.people import SEED as SEED
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.weights import packaged
from unbabble.methods.adaptation.data_purification import frame_snr_db
from unbabble.methods.quality.frame_snr import LIMIT_DB, SILENT_DB
from unbabble.networks import load as networks
from unbabble.pipelines.enhance import BLIND, DEFAULTS, load_chooser
from unbabble.signal.metrics import pesq
from unbabble.signal.statistics import bootstrap

FRAMES, QUALITY, LARGE, DIGITS = "frame_snr.16k", "quality_net.16k", DEFAULTS[0], 3
MODELS = ("gru.2x64", "sparse_ensemble.16k", LARGE)
TITLES = {
    "frames": "SNR of each frame, dB",
    "quality": "PESQ of recordings, and of what enhancers make of them",
}
QUICK = {"each": 1}


@torch.no_grad()
def measure(each: int = 30, split: str = "test", cards: bool = False) -> dict:
    """Recording by recording."""
    frames, quality = (networks.load(name).network for name in (FRAMES, QUALITY))
    blind, calls = load_chooser(BLIND), enhancers(MODELS)
    by_frame, by_voice = [], []
    for noisy, true, _ in all_recordings(split, each):
        voices = {name: call(noisy) for name, call in calls.items()}
        power_db = 10 * frames.frames.cut(noisy[None]).square().mean(-1)[0].clamp(min=1e-20).log10()
        sounds = power_db > 10 * noisy.square().mean().log10() + SILENT_DB
        told = {
            "true": frame_snr_db(true[None], (noisy - true)[None])[0],
            FRAMES: frames.snr_db(noisy[None] / noisy.square().mean().sqrt())[0],
            f"what {LARGE} says": frame_snr_db(voices[LARGE][None], (noisy - voices[LARGE])[None])[0],
        }
        clamped = {key: value.clamp(-LIMIT_DB, LIMIT_DB) for key, value in told.items()}
        by_frame.append({key: value[sounds].numpy() for key, value in clamped.items()})
        for voice in voices.values():
            row = {"true": float(pesq(voice[None], true[None], RATE)), BLIND: blind(noisy, voice, RATE)}
            by_voice.append(row | {QUALITY: float(quality(voice[None])[0])})
    table = {"frames": summary(by_frame, FRAMES), "quality": summary(by_voice, QUALITY)}
    if cards:
        for kind, name, key in (("frames", FRAMES, "error_db"), ("quality", QUALITY, "error")):
            put_scores(packaged()[name], {"test": {key: float(f"{table[kind][name]['error'][0]:.3g}")}})
    return {"models": MODELS, "recordings": len(by_frame), "table": table}


def summary(rows: list[dict], meter: str) -> dict[str, dict]:
    """By what tells it, the meter first: mean absolute error over recordings, and correlation."""
    true = np.concatenate([np.atleast_1d(row["true"]) for row in rows])
    result: dict[str, dict] = {meter: {}}
    result["median"] = {"error": errors([np.median(true) - row["true"] for row in rows])}
    for name in (each for each in rows[0] if each != "true"):
        told = np.concatenate([np.atleast_1d(row[name]) for row in rows])
        result[name] = {"correlation": float(np.corrcoef(told, true)[0, 1])}
        if name != BLIND:
            result[name]["error"] = errors([row[name] - row["true"] for row in rows])
    return result


def errors(wrong: list) -> tuple[float, float, float]:
    return bootstrap([float(np.mean(np.abs(each))) for each in wrong])


def table(result: dict) -> str:
    blocks = []
    for key, title in TITLES.items():
        head, cells = "told by | mean absolute error | correlation", "{name} | {error:.2f} | {correlation}"
        blocks += [f"{title}.", grid(head, result["table"][key], cells)]
    return page(
        *blocks,
        f"{result['recordings']} recordings of {SECONDS:g} s; enhancers: {', '.join(result['models'])}.",
        made_by(result),
    )
