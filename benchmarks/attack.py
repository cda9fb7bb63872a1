"""How far can a blind scorer be fooled? Gradient ascent on the estimate, and what it costs in truth.

    python benchmarks/attack.py

From what separators made of test mixtures, Adam changes an estimate so that the scorer likes it better, while the
change stays so many dB below the estimate. Beside the score, the truth: SI-SNR against the reference. Random noise of
the same level is the trivial baseline. A defence that costs little: scoring the estimate with a little noise added.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import common
import numpy as np
import torch
from blind_score import SINGLE, TEST_ITEMS, sets_to_test, truth

from unbabble.nn.kinds.scorer import NeuralScorer, unit
from unbabble.pipelines.score import BlindScorer

NAME, SEED = "attack", 0
LEVELS_DB = (-40.0, -30.0, -20.0)
RESULTS = Path(__file__).parent / "results"


def attacked(
    network: NeuralScorer, mixture: torch.Tensor, estimates: torch.Tensor, level_db: float, steps: int
):
    """Estimates that ``network`` likes better, at most ``level_db`` away from these."""
    m, e = unit(mixture)[None], unit(estimates)[None]
    change = (1e-3 * torch.randn(e.shape, generator=torch.Generator().manual_seed(SEED))).requires_grad_()
    most = 10 ** (level_db / 20)
    optimiser = torch.optim.Adam([change], lr=0.2 * most)
    for _ in range(steps):
        limited = change * (most / change.square().mean(-1, keepdim=True).sqrt().clamp(min=most))
        loss = -network.predict(m, e + limited).db.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        limited = change * (most / change.square().mean(-1, keepdim=True).sqrt().clamp(min=most))
        return (e + limited)[0]


def noisy(estimates: torch.Tensor, level_db: float, seed: int = SEED) -> torch.Tensor:
    e = unit(estimates)
    return e + 10 ** (level_db / 20) * torch.randn(e.shape, generator=torch.Generator().manual_seed(seed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scorer", default="auto")
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = BlindScorer(arguments.scorer).network
    rows: dict[str, list] = {}

    def add(label: str, item, estimates: torch.Tensor) -> None:
        changed = item._replace(estimates=estimates.numpy())
        score = network(torch.from_numpy(item.mixture)[None], estimates[None])[0].numpy()
        rows.setdefault(label, []).append((score.mean(), truth(changed).mean()))

    sets = sets_to_test(TEST_ITEMS)
    for name in ("clean", "noisy, reverberant"):
        for number in range(arguments.items):
            item = next(each for each in sets[name].of(number) if each.separator == SINGLE)
            mixture, estimates = torch.from_numpy(item.mixture), torch.from_numpy(item.estimates)
            add("as separated", item, estimates)
            for level in LEVELS_DB:
                found = attacked(network, mixture, estimates, level, arguments.steps)
                add(f"attacked, {level:g} dB", item, found)
                add(f"random noise, {level:g} dB", item, noisy(estimates, level))
                add(
                    f"attacked, {level:g} dB, then noise at {level + 5:g} dB",
                    item,
                    noisy(found, level + 5, 1),
                )
            print(name, number, flush=True)
    table = {
        label: {
            "score_db": float(np.mean([s for s, _ in each])),
            "true_db": float(np.mean([t for _, t in each])),
        }
        for label, each in rows.items()
    }
    result = {"machine": common.machine(), "command": common.command(), "estimates": table}
    common.save(NAME, common.rounded(result))
    lines = ["| estimates | estimated SI-SNR, dB | true, dB | fooled by, dB |", "|-|-|-|-|"]
    for label, row in table.items():
        gap = row["score_db"] - row["true_db"]
        lines.append(f"| {label} | {row['score_db']:.1f} | {row['true_db']:.1f} | {gap:.1f} |")
    text = "\n".join(lines)
    (RESULTS / f"{NAME}.md").write_text(f"{text}\n\nMade by `{result['command']}`, seed {SEED}.\n")
    print(text)


if __name__ == "__main__":
    main()
