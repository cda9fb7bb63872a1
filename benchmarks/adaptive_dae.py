"""For how many steps, and how fast, should the adaptive autoencoder go on learning from a recording? On dev.

    python benchmarks/adaptive_dae.py

Dev speakers in training noises, as ``enhance.py`` draws them. SI-SDR improvement with 95 % intervals over recordings,
by the steps on each recording and their learning rate; no steps at all is what was learnt before. Beside it the
autoencoder's error, which is all that the steps know.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path

import common
import torch
from enhance import SECONDS, SEED, SNRS_DB, gained, recordings

from unbabble.networks import load as networks

RESULTS = Path(__file__).parent / "results"
NAME, MODEL = "adaptive_dae", "adaptive_dae.16k"
TRIED = ((0, 0.0), (5, 1e-5), (20, 1e-5), (5, 3e-5), (20, 3e-5), (5, 1e-4), (20, 1e-4))
"""Steps, and their rate."""


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=10, help="recordings for each SNR")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = networks.load(MODEL, "enhancer").network
    rows: dict[tuple[int, float], list[dict]] = {each: [] for each in TRIED}
    for noisy, true, about in chain.from_iterable(
        recordings(arguments.split, arguments.each, snr_db) for snr_db in SNRS_DB
    ):
        for steps, rate in TRIED:
            network.adaptation_steps, network.adaptation_rate = steps, rate or 1e-4
            voice = network(noisy[None, None])[0, 0]
            error = float(network.purity_error(voice[None])[0])
            rows[steps, rate].append(about | {"si_sdri_db": gained(voice, noisy, true), "error": error})
    table = [
        {"steps": steps, "rate": rate, "error": common.interval([row["error"] for row in there])}
        | {"all": common.interval([row["si_sdri_db"] for row in there])}
        | {
            f"{snr_db:g}": common.interval([row["si_sdri_db"] for row in there if row["snr_db"] == snr_db])
            for snr_db in SNRS_DB
        }
        for (steps, rate), there in rows.items()
    ]
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "model": MODEL}
    result = common.rounded(result | {"recordings": len(SNRS_DB) * arguments.each, "table": table}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The table."""
    columns = [f"{each:g}" for each in SNRS_DB]
    lines = [
        f"SI-SDR improvement of `{result['model']}` in dB, by input SNR (95 % interval over recordings), and the "
        "error of its autoencoder.",
        "",
        f"| steps | rate | all | {' | '.join(f'{each} dB' for each in columns)} | error |",
        "|-" * (4 + len(columns)) + "|",
    ]
    for row in result["table"]:
        mean, low, high = row["all"]
        cells = [f"{row['steps']}", f"{row['rate'] or ''}", f"{mean:.2f} ({low:.2f} to {high:.2f})"]
        cells += [f"{row[column][0]:.2f}" for column in columns] + [f"{row['error'][0]:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{result['recordings']} recordings of {SECONDS:g} s.", ""]
    lines += [f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by", ""]
    return "\n".join([*lines, f"    {result['command']}"]) + "\n"


if __name__ == "__main__":
    main()
