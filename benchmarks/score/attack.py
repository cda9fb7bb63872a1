"""How far can a blind score be fooled?

Gradient ascent on the estimate, and what it costs in truth. From what separators made of test mixtures, Adam changes an
estimate so that the scorer likes it better, while the change stays so many dB below the estimate. Beside the score, the
truth: SI-SNR against the reference. Random noise of the same level is the trivial baseline. A defence that costs
little: scoring the estimate with a little noise added.

    python -m benchmarks attack
"""

from collections import defaultdict

import numpy as np
import torch

from benchmarks.kit.rated import SEED, SINGLE, sets_to_test, truth
from benchmarks.kit.table import grid, page
from unbabble.nn.kinds.scorer import NeuralScorer, unit
from unbabble.pipelines.score import BlindScorer

LEVELS_DB = (-40.0, -30.0, -20.0)
QUICK = {"items": 1, "steps": 5}


def limited(change: torch.Tensor, level_db: float) -> torch.Tensor:
    """No louder than that."""
    most = 10 ** (level_db / 20)
    return change * (most / change.square().mean(-1, keepdim=True).sqrt().clamp(min=most))


def attacked(network: NeuralScorer, mixture, estimates, level_db: float, steps: int) -> torch.Tensor:
    """Estimates that ``network`` likes better, at most ``level_db`` away from these."""
    m, e = unit(mixture)[None], unit(estimates)[None]
    change = (1e-3 * torch.randn(e.shape, generator=torch.Generator().manual_seed(SEED))).requires_grad_()
    optimiser = torch.optim.Adam([change], lr=0.2 * 10 ** (level_db / 20))
    for _ in range(steps):
        loss = -network.predict(m, e + limited(change, level_db)).db.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (e + limited(change.detach(), level_db))[0]


def noisy(estimates: torch.Tensor, level_db: float, seed: int = SEED) -> torch.Tensor:
    e = unit(estimates)
    return e + 10 ** (level_db / 20) * torch.randn(e.shape, generator=torch.Generator().manual_seed(seed))


def measure(scorer: str = "auto", items: int = 12, steps: int = 60) -> dict:
    network, rows, sets = BlindScorer(scorer).network, defaultdict(list), sets_to_test()
    for name in ("clean", "noisy, reverberant"):
        for number in range(items):
            item = next(each for each in sets[name].of(number) if each.separator == SINGLE)
            mixture, estimates = torch.from_numpy(item.mixture), torch.from_numpy(item.estimates)
            changed = {"as separated": estimates}
            for level in LEVELS_DB:
                attack, label = attacked(network, mixture, estimates, level, steps), f"attacked, {level:g} dB"
                changed |= {label: attack, f"random noise, {level:g} dB": noisy(estimates, level)}
                changed[f"{label}, then noise at {level + 5:g} dB"] = noisy(attack, level + 5, 1)
            for label, each in changed.items():
                score = float(network(mixture[None], each[None])[0].mean())
                rows[label].append((score, truth(item._replace(estimates=each.numpy())).mean()))
            print(name, number, flush=True)
    columns = ("score_db", "true_db")
    return {
        "estimates": {
            name: dict(zip(columns, np.mean(its, 0).tolist(), strict=True)) for name, its in rows.items()
        }
    }


def table(result: dict) -> str:
    rows = {
        name: row | {"fooled_db": row["score_db"] - row["true_db"]}
        for name, row in result["estimates"].items()
    }
    return page(
        grid(
            "estimates | estimated SI-SNR, dB | true, dB | fooled by, dB",
            rows,
            "{name} | {score_db:.1f} | {true_db:.1f} | {fooled_db:.1f}",
        ),
        f"Made by `{result['command']}`, seed {SEED}.",
    )
