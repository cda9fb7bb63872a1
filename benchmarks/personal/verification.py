"""How well do the packaged embedders tell people apart who were not in training?

Utterances of 4 s of every test speaker, clean, and in test noises and rooms; all pairs within a condition, and clean
against noisy. Equal error rate in per cent: where as many pairs of one person are refused as pairs of two are accepted.
Chance, and one who always says "the same", have 50.

    python -m benchmarks verification
"""

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.kit.cards import put_scores
from benchmarks.kit.scenes import drawn
from benchmarks.kit.table import grid, made_by, page
from unbabble.base import registry
from unbabble.base.weights import packaged
from unbabble.data.dynamic import DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import parameter_count
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.signal.verification import equal_error_rate

SEED, SECONDS, DIGITS = 0, 4.0, 3
CONDITIONS = ("clean", "noisy, reverberant", "clean against noisy")
QUICK = {"each": 2}


def utterances(rate: int, each: int, split: str, noisy: bool) -> torch.Tensor:
    """(speaker, utterance, time)."""
    mixing = drawn(split, 1, noisy, noisy, (5.0, 20.0), seconds=SECONDS, sample_rate=rate)
    made, result = DynamicMixtures(mixing, SEED), []
    for number, name in enumerate(made.names):
        rng, taken = np.random.default_rng([SEED, number]), []
        for _ in range(each):
            item = made.drawn(rng, [str(name)], taken)
            taken += item.excerpts
            result.append(item.item.mixture)
    return torch.from_numpy(np.stack(result)).unflatten(0, (-1, each))


def errors(network: NeuralEmbedder, each: int, split: str) -> dict[str, float]:
    """Equal error rates by condition, per cent."""
    both = [utterances(network.sample_rate, each, split, noisy) for noisy in (False, True)]
    clean, noisy = (network(sounds.flatten(0, 1)) for sounds in both)
    speaker = torch.arange(len(both[0])).repeat_interleave(each)
    same, result = speaker[:, None] == speaker, {}
    above = torch.ones_like(same).triu(1)
    apart = ~torch.eye(len(speaker), dtype=torch.bool)  # the same draw may be the same words
    trials = ((clean, clean, above), (noisy, noisy, above), (clean, noisy, apart))
    for condition, (one, other, pairs) in zip(CONDITIONS, trials, strict=True):
        result[condition] = 100 * equal_error_rate((one @ other.T)[pairs].numpy(), same[pairs].numpy())
    return result


def measure(models: Sequence[str] = (), each: int = 8, split: str = "test", cards: bool = False) -> dict:
    """Model by model.

    Args:
        models: the packaged ones by default.
        each: utterances of a speaker.
    """
    installed = [name for name in packaged() if registry.kinds_of(name)[0].name == "embedder"]
    rows = {}
    for name in models or installed:
        network = networks.load(name, "embedder").network
        rows[name] = errors(network, each, split) | {"parameters": parameter_count(network)}
        if cards:
            percent = {key: {"equal_error_percent": round(rows[name][key], 1)} for key in CONDITIONS}
            put_scores(packaged()[name], percent)
    return {"each": each, "models": rows}


def table(result: dict) -> str:
    return page(
        "Equal error rate, per cent; chance 50.",
        grid(
            ["model", "parameters", *CONDITIONS],
            result["models"],
            "{name} | {parameters} | " + " | ".join(f"{{{each}:.1f}}" for each in CONDITIONS),
        ),
        made_by(result, f"{result.get('each', 8)} utterances of {SECONDS:g} s of each speaker. "),
    )
