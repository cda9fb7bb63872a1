"""How far off are the meters that hear no clean speech: noise in each frame, and PESQ?

    python benchmarks/meters.py [--cards]

Test speakers in test noises, as in ``enhance.py``. `frame_snr` tells the SNR of each frame (within +-30 dB, of frames
that are not silent), by which `data_purification` trusts recordings; beside it, what the large enhancer's voice and
what it takes off say, and the median of all frames, always. `quality_net` tells the PESQ of recordings and of what
enhancers make of them; beside it the median, always, and the blind score's correlation. Mean absolute error, with 95 %
intervals over recordings, and Pearson's correlation.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path

import common
import numpy as np
import torch
from enhance import RATE, SECONDS, SEED, SNRS_DB, enhancers, recordings
from separation import put_scores

from unbabble.base.weights import packaged
from unbabble.methods.adaptation.data_purification import frame_snr_db
from unbabble.methods.quality.frame_snr import LIMIT_DB, SILENT_DB
from unbabble.networks import load as networks
from unbabble.pipelines.enhance import BLIND, DEFAULTS, load_chooser
from unbabble.signal.metrics import pesq

RESULTS = Path(__file__).parent / "results"
NAME, FRAMES, QUALITY = "meters", "frame_snr.16k", "quality_net.16k"
LARGE = DEFAULTS[0]
MODELS = ("gru.2x64", "sparse_ensemble.16k", LARGE)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=30, help="recordings for each SNR")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--cards", action="store_true", help="put the errors into the packaged networks' cards"
    )
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames, quality = (networks.load(name).network for name in (FRAMES, QUALITY))
    blind, made = load_chooser(BLIND), enhancers(list(MODELS))
    by_frame, by_voice = [], []
    for noisy, true, _ in chain.from_iterable(
        recordings(arguments.split, arguments.each, snr_db) for snr_db in SNRS_DB
    ):
        voices = {name: enhance(noisy) for name, enhance in made.items()}
        snr_db = frame_snr_db(true[None], (noisy - true)[None])[0].clamp(-LIMIT_DB, LIMIT_DB)
        power_db = 10 * frames.frames.cut(noisy[None]).square().mean(-1)[0].clamp(min=1e-20).log10()
        sounds = power_db > 10 * noisy.square().mean().log10() + SILENT_DB
        told = {
            FRAMES: frames.snr_db(noisy[None] / noisy.square().mean().sqrt())[0],
            f"what {LARGE} says": frame_snr_db(voices[LARGE][None], (noisy - voices[LARGE])[None])[0],
        }
        told = {name: each.clamp(-LIMIT_DB, LIMIT_DB)[sounds].numpy() for name, each in told.items()}
        by_frame.append(told | {"true": snr_db[sounds].numpy()})
        for voice in voices.values():
            by_voice.append(
                {
                    "true": float(pesq(voice[None], true[None], RATE)),
                    QUALITY: float(quality(voice[None])[0]),
                    BLIND: blind(noisy, voice, RATE),
                }
            )
    table = {"frames": summary(by_frame, FRAMES), "quality": summary(by_voice, QUALITY)}
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "models": MODELS}
    result = common.rounded(result | {"recordings": len(by_frame), "table": table}, 3)
    common.save(arguments.name, result)
    if arguments.cards:
        put_scores(packaged()[FRAMES], {"test": {"error_db": result["table"]["frames"][FRAMES]["error"][0]}})
        put_scores(packaged()[QUALITY], {"test": {"error": result["table"]["quality"][QUALITY]["error"][0]}})
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def summary(rows: list[dict], meter: str) -> dict[str, dict]:
    """Error and correlation of all that tell; the error only of those that tell the same thing."""
    true = np.concatenate([np.atleast_1d(row["true"]) for row in rows])
    found: dict[str, dict] = {"median": {"error": errors([np.median(true) - row["true"] for row in rows])}}
    for name in rows[0]:
        if name == "true":
            continue
        told = np.concatenate([np.atleast_1d(row[name]) for row in rows])
        found[name] = {"correlation": float(np.corrcoef(told, true)[0, 1])}
        if name != BLIND:
            found[name]["error"] = errors([row[name] - row["true"] for row in rows])
    return {name: found[name] for name in sorted(found, key=lambda name: name != meter)}


def errors(wrong: list) -> tuple[float, float, float]:
    return common.interval([float(np.mean(np.abs(each))) for each in wrong])


def text_of(result: dict) -> str:
    """The tables."""
    lines = []
    titles = {
        "frames": "SNR of each frame, dB",
        "quality": "PESQ of recordings, and of what enhancers make of them",
    }
    for key, title in titles.items():
        lines += [f"{title}.", "", "| told by | mean absolute error | correlation |", "|-|-|-|"]
        for name, row in result["table"][key].items():
            mean, low, high = row.get("error", (0.0, 0.0, 0.0))
            error = f"{mean:.2f} ({low:.2f} to {high:.2f})" if "error" in row else ""
            lines.append(f"| {name} | {error} | {row.get('correlation', '')} |")
        lines.append("")
    lines += [
        f"{result['recordings']} recordings of {SECONDS:g} s; enhancers: {', '.join(result['models'])}.",
        "",
    ]
    lines += [f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by", ""]
    return "\n".join([*lines, f"    {result['command']}"]) + "\n"


if __name__ == "__main__":
    main()
