"""How well do the packaged embedders tell people apart whom they never heard?

    python benchmarks/verification.py

Utterances of 4 s of every test speaker, clean, and in test noises and rooms; all pairs within a condition, and clean
against noisy. Equal error rate in per cent: where as many pairs of one person are refused as pairs of two are accepted.
Chance, and whoever always says "the same", have 50.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import common
import numpy as np
import torch
from separation import put_scores

from unbabble.base import registry
from unbabble.base.weights import packaged
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.signal.verification import equal_error_rate

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, SECONDS = "verification", 0, 4.0
CONDITIONS = ("clean", "noisy, reverberant", "clean against noisy")


def utterances(rate: int, each: int, split: str, noisy: bool) -> torch.Tensor:
    """(speaker, utterance, time)."""
    options: dict = {}
    if noisy:
        noises = "test" if split == "test" else "train"
        options = {
            "noise": DATA / "noise.csv",
            "noise_split": noises,
            "noise_share": 1.0,
            "snr_db": (5.0, 20.0),
        }
        options |= {"rooms": DATA / "rir.csv", "room_share": 1.0}
    mixing = DynamicMixing(
        DATA / "speech.csv", split, talkers=(1,), seconds=SECONDS, sample_rate=rate, **options
    )
    made, found = DynamicMixtures(mixing, SEED), []
    for number, name in enumerate(made.names):
        rng, taken = np.random.default_rng([SEED, number]), []
        for _ in range(each):
            drawn = made.drawn(rng, [str(name)], taken)
            taken += drawn.excerpts
            found.append(drawn.item.mixture)
    return torch.from_numpy(np.stack(found)).unflatten(0, (-1, each))


def errors(network: NeuralEmbedder, each: int, split: str) -> dict[str, float]:
    vectors, found = {}, {}
    for condition, noisy in zip(CONDITIONS, (False, True), strict=False):
        heard = utterances(network.sample_rate, each, split, noisy)
        vectors[condition] = network(heard.flatten(0, 1))
        speaker = torch.arange(len(heard)).repeat_interleave(each)
    one, other = torch.triu_indices(len(speaker), len(speaker), 1)
    for condition, flat in vectors.items():
        scores = (flat[one] * flat[other]).sum(-1)
        found[condition] = 100 * equal_error_rate(scores, speaker[one] == speaker[other])
    clean, noisy_ones = vectors.values()
    scores, same = (clean @ noisy_ones.T).flatten(), (speaker[:, None] == speaker).flatten()
    apart = ~torch.eye(len(speaker), dtype=torch.bool).flatten()  # the same draw may be the same words
    return found | {CONDITIONS[-1]: 100 * equal_error_rate(scores[apart], same[apart])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="*", help="the packaged ones by default, whose cards get their scores"
    )
    parser.add_argument("--each", type=int, default=8, help="utterances of a speaker")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    installed = [name for name in packaged() if registry.find(name)[0].contract == "embedder"]
    table = {}
    for name in arguments.models or installed:
        network = networks.load(name).network
        assert isinstance(network, NeuralEmbedder)
        table[name] = errors(network, arguments.each, arguments.split) | {
            "parameters": parameter_count(network)
        }
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED}
    result = common.rounded(result | {"models": table}, 3)
    common.save(NAME, result)
    if arguments.models is None:
        for name, row in result["models"].items():
            put_scores(packaged()[name], {each: {"equal_error_percent": row[each]} for each in CONDITIONS})
    lines = [
        "Equal error rate, per cent; chance 50.",
        "",
        "| model | parameters | " + " | ".join(CONDITIONS) + " |",
        "|-" * (2 + len(CONDITIONS)) + "|",
    ]
    for name, row in result["models"].items():
        cells = [name, row["parameters"], *(f"{row[each]:.1f}" for each in CONDITIONS)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        f"{arguments.each} utterances of {SECONDS:g} s of each speaker. "
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {SEED}. Made by",
        "",
        f"    {result['command']}",
    ]
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{NAME}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
