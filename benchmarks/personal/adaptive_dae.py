"""Should an autoencoder go on learning from a recording by its own error?

For how many steps, and how fast? On dev: dev speakers in training noises, as ``enhance`` draws them. SI-SDR improvement
with 95 % intervals over recordings, by the steps on each recording and their learning rate; no steps at all is what was
learnt before. Beside it the autoencoder's error, which is all that the steps know.

    python -m benchmarks adaptive_dae
"""

import torch

from benchmarks.kit.people import SECONDS, SNR_NAMES, SNRS_DB, all_recordings, by_snr, gained
from benchmarks.kit.table import figure, grid, made_by, page
from unbabble.networks import load as networks
from unbabble.signal.statistics import bootstrap

SEED, DIGITS, MODEL = 0, 3, "adaptive_dae.16k"
TRIED = ((0, 0.0), (5, 1e-5), (20, 1e-5), (5, 3e-5), (20, 3e-5), (5, 1e-4), (20, 1e-4))
"""Steps, and their rate."""
QUICK = {"each": 1}


@torch.no_grad()
def measure(each: int = 10, split: str = "dev") -> dict:
    """All that is tried.

    Args:
        each: recordings for each SNR.
    """
    network, found = networks.load(MODEL, "enhancer").network, {tried: [] for tried in TRIED}
    for noisy, true, about in all_recordings(split, each):
        for steps, rate in TRIED:
            network.adaptation_steps, network.adaptation_rate = steps, rate or 1e-4
            voice = network(noisy[None, None])[0, 0]
            error = float(network.purity_error(voice[None])[0])
            found[steps, rate].append(about | {"si_sdri_db": gained(voice, noisy, true), "error": error})
    rows = []
    for (steps, rate), there in found.items():
        figures = {"error": bootstrap([row["error"] for row in there])}
        figures["all"] = bootstrap([row["si_sdri_db"] for row in there])
        rows.append({"steps": steps, "rate": rate} | figures | by_snr(there))
    return {"model": MODEL, "recordings": len(SNRS_DB) * each, "table": rows}


def table(result: dict) -> str:
    rows = []
    for row in result["table"]:
        means = [f"{row[name][0]:.2f}" for name in SNR_NAMES]
        rows.append([row["steps"], row["rate"] or "", figure(row["all"]), *means, f"{row['error'][0]:.3f}"])
    return page(
        f"SI-SDR improvement of `{result['model']}` in dB, by input SNR (95 % interval over recordings), and the "
        "error of its autoencoder.",
        grid(["steps", "rate", "all", *(f"{name} dB" for name in SNR_NAMES), "error"], rows),
        f"{result['recordings']} recordings of {SECONDS:g} s.",
        made_by(result),
    )
