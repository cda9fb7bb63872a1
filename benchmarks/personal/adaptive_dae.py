"""Should an autoencoder go on learning from a recording by its own error?

For how many steps, and how fast? On dev: dev speakers in training noises, as ``enhance`` draws them. SI-SDR improvement
with 95 % intervals over recordings, by the steps on each recording and their learning rate; no steps at all is what was
learnt before. Beside it the autoencoder's error, which is all that the steps know.

    python -m benchmarks adaptive_dae
"""

import torch

from benchmarks.kit.people import SECONDS, SNR_NAMES, SNRS_DB, all_recordings, by_snr, gained, means
from benchmarks.kit.table import grid, made_by, page
from unbabble.networks import load as networks

SEED, DIGITS, MODEL = 0, 3, "adaptive_dae.16k"
TRIED = ((0, 0.0), (5, 1e-5), (20, 1e-5), (5, 3e-5), (20, 3e-5), (5, 1e-4), (20, 1e-4))
"""Steps, and their rate."""
QUICK = {"each": 1}


@torch.no_grad()
def measure(each: int = 10, split: str = "dev") -> dict:
    """All that is tried."""
    network, result = networks.load(MODEL, "enhancer").network, {tried: [] for tried in TRIED}
    for noisy, true, about in all_recordings(split, each):
        for steps, rate in TRIED:
            network.adaptation_steps, network.adaptation_rate = steps, rate or 1e-4
            voice = network(noisy[None, None])[0, 0]
            gain, error = gained(voice, noisy, true), float(network.purity_error(voice[None])[0])
            result[steps, rate].append(about | {"si_sdri_db": gain, "all": gain, "error": error})
    rows = [
        {"steps": steps, "rate": rate} | means(there, "error", "all") | by_snr(there)
        for (steps, rate), there in result.items()
    ]
    return {"model": MODEL, "recordings": len(SNRS_DB) * each, "table": rows}


def table(result: dict) -> str:
    each = " | ".join(f"{{{name}[0]:.2f}}" for name in SNR_NAMES)
    return page(
        f"SI-SDR improvement of `{result['model']}` in dB, by input SNR (95 % interval over recordings), and the "
        "error of its autoencoder.",
        grid(
            ["steps", "rate", "all", *(f"{name} dB" for name in SNR_NAMES), "error"],
            [row | {"rate": row["rate"] or None} for row in result["table"]],
            f"{{steps}} | {{rate}} | {{all:.2f}} | {each} | {{error[0]:.3f}}",
        ),
        f"{result['recordings']} recordings of {SECONDS:g} s.",
        made_by(result),
    )
