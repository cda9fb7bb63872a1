"""Do specialists with a gate take off more noise than one network of the same cost?

    unbabble train configs/sparse_ensemble.yaml configs/corpora/labelled_snr_16k.yaml --out runs/ensemble_snr
    unbabble train configs/sparse_ensemble_joint.yaml configs/corpora/noisy_16k.yaml --set options.specialists=4 \\
      --from runs/ensemble_snr/best.safetensors --out runs/ensemble_snr_joint
    python benchmarks/ensembles.py --by snr=runs/ensemble_snr/best.safetensors \\
      "snr, together=runs/ensemble_snr_joint/best.safetensors"

Test speakers in test noises, as in ``enhance.py``. *gate*: the specialist that the gate takes for a whole recording;
*live*: those that it takes in a stream, second after second; *soft*: all specialists, weighed by the gate (a mixture of
local experts, which costs what all of them cost); *oracle*: the best of all for each recording, which nobody
knows; *worst* likewise. Beside them the generalist of the size of one specialist,
the noisy recording and the ideal ratio mask. Operations are counted by running the network: with a gate, one
specialist and the gate. By sex and by speaker; the worst tenth of the speakers is what the least lucky get.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path

import common
import torch
from enhance import SECONDS, SEED, SNRS_DB, fairness, fairness_cells, gained, ideal, recordings

from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count

RESULTS = Path(__file__).parent / "results"
NAME = "ensembles"
GENERALIST = "gru.2x64"
GATE, SOFT = "gate", "soft"
KINDS = ((f"{GATE}, live", True, False), (SOFT, False, True), (GATE, False, False))
"""What is tried of each ensemble: live, soft."""
PUBLISHED = """\
Published (Sivaraman & Kim, WASPAA 2021; LibriSpeech and MUSAN at 8 kHz, GRU 2x64, SI-SDR improvement): generalist
5.69 dB; K = 2, 5, 10 groups of speakers, fine-tuned together: 7.03, 7.42, 7.69 dB."""


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--generalists", nargs="*", default=[GENERALIST])
    parser.add_argument("--each", type=int, default=30, help="recordings for each SNR")
    parser.add_argument("--split", default="test")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensembles = {
        name: networks.load(path, "enhancer").network
        for name, path in (each.split("=", 1) for each in arguments.by)
    }
    generalists = {name: networks.load(name, "enhancer").network for name in arguments.generalists}
    rows: list[dict] = []
    for noisy, true, about in chain.from_iterable(
        recordings(arguments.split, arguments.each, snr_db) for snr_db in SNRS_DB
    ):
        found = {"noisy": 0.0, "ideal ratio mask": gained(ideal(noisy, true), noisy, true)}
        for name, network in generalists.items():
            found[name] = gained(network.estimate(noisy[None])[0, 0], noisy, true)
        for name, network in ensembles.items():
            network.chosen = -1
            for kind, network.live, network.soft in KINDS:
                found[f"{name}: {kind}"] = gained(network.estimate(noisy[None])[0, 0], noisy, true)
            each, network.soft = [], False
            for number in range(len(network.specialists)):
                network.chosen = number
                each.append(gained(network.estimate(noisy[None])[0, 0], noisy, true))
            found |= {f"{name}: oracle": max(each), f"{name}: worst": min(each)}
        rows += [about | {"model": name, "si_sdri_db": value} for name, value in found.items()]
    names = list(dict.fromkeys(row["model"] for row in rows))
    table = {name: summary([row for row in rows if row["model"] == name]) for name in names}
    measured = dict(generalists)
    for name, network in ensembles.items():
        network.chosen, network.live = -1, False
        measured |= {f"{name}: {GATE}": network, f"{name}: {SOFT}": network}
    for label, network in measured.items():
        if label not in generalists:
            network.soft = label.endswith(SOFT)
        table[label] |= {"parameters": parameter_count(network), "mmacs": macs_per_second(network) / 1e6}
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "models": table}
    result = common.rounded(result | {"recordings": len(SNRS_DB) * arguments.each}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def summary(rows: list[dict]) -> dict:
    found: dict = {
        f"{snr_db:g}": common.interval([row["si_sdri_db"] for row in rows if row["snr_db"] == snr_db])
        for snr_db in SNRS_DB
    }
    return found | {"all": common.interval([row["si_sdri_db"] for row in rows])} | fairness(rows)


def text_of(result: dict) -> str:
    """The table."""
    columns = [f"{each:g}" for each in SNRS_DB]
    lines = [
        "SI-SDR improvement in dB by input SNR (95 % interval over recordings); of women, of men, of the worst tenth "
        "of the speakers.",
        "",
        "| model | parameters | MMAC/s | all | "
        + " | ".join(f"{each} dB" for each in columns)
        + " | women | men | worst speakers |",
        "|-" * (7 + len(columns)) + "|",
    ]
    for name, row in result["models"].items():
        mean, low, high = row["all"]
        cells = [
            name,
            row.get("parameters", ""),
            row.get("mmacs", ""),
            f"{mean:.2f} ({low:.2f} to {high:.2f})",
        ]
        cells += [f"{row[column][0]:.2f}" for column in columns]
        cells += fairness_cells(row)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        f"{result['recordings']} recordings of {SECONDS:g} s.",
        "",
        PUBLISHED,
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
