"""Why no step size: natural-gradient IVA with three steps, beside IP, ISS and IPA, on one real mixture.

All lower the same objective, sum_k mean_t |y_kt| - 2 sum_f log|det W_f|, from the same white start. The good step
is the best of ``STEPS`` for this mixture, tried beforehand, which no user could; the small one is a tenth of it;
the large one is the smallest of ``STEPS`` that fails.

    python benchmarks/no_step_size.py       # writes results/no_step_size.json, docs/images/no_step_size.png
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch
from common import FOLDER, OURS, Scene, Worker, command, rounded, save, scenes
from common import machine as describe_machine

STEPS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
UPDATES = ("ip", "iss", "ipa")
IMAGE = FOLDER.parent / "docs" / "images" / "no_step_size.png"


def natural_gradient(y: torch.Tensor, w: torch.Tensor, step: float) -> torch.Tensor:
    """One step of natural-gradient IVA.

    W <- W + step (I - E[phi(y) y^H]) W with phi(y_k) = y_k / |y_k| (spherical Laplace, |y_k| over all frequencies,
    the constant 1/2 chosen for the objective above): T. Kim, H. Attias, S.-Y. Lee, T.-W. Lee, "Blind source
    separation exploiting higher-order frequency dependencies", IEEE TASLP 15 (1), 2007.

    Args:
        y: outputs (frequency, channel, frame) of the demixing matrices.
        w: demixing matrices (frequency, channel, channel).
        step: the number that somebody has to choose.
    """
    score = y * (0.5 / y.abs().square().sum(0).sqrt())
    return w + step * (w - (score @ y.mH) @ w / y.shape[-1])


def objective(y: torch.Tensor, w: torch.Tensor) -> float:
    value = y.abs().square().sum(0).sqrt().mean(1).sum() - 2 * torch.linalg.slogdet(w)[1].sum()
    return float(value) if torch.isfinite(value) else float("inf")


def descend(scene: Scene, step: float, iterations: int) -> tuple[list[float], np.ndarray]:
    """Objective before every iteration and after the last, and the last demixing matrices.

    A run that has risen far above its start is not followed further: it counts as infinite.
    """
    x = scene.whitened.spectrogram
    w = torch.eye(x.shape[1], dtype=x.dtype).repeat(len(x), 1, 1)
    values = [objective(x, w)]
    for _ in range(iterations):
        if values[-1] > values[0] + 10 * x.shape[0] * x.shape[1]:
            values.append(float("inf"))
            continue
        w = natural_gradient(w @ x, w, step)
        values.append(objective(w @ x, w))
    return values, w.numpy()


def seconds_per_step(scene: Scene, rounds: int, iterations: int) -> float:
    x = scene.whitened.spectrogram
    w = torch.eye(x.shape[1], dtype=x.dtype).repeat(len(x), 1, 1)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(iterations):
            natural_gradient(w @ x, w, 0.1)
        taken.append((time.perf_counter() - start) / iterations)
    return median(taken)


def fails(values: list[float]) -> bool:
    """Rose above its start, or never came to rest: the last tenth is not the lowest it has seen."""
    tail = values[-max(2, len(values) // 10) :]
    fall = values[0] - min(values)
    return not all(np.isfinite(values)) or max(tail) > min(values) + 0.02 * abs(fall)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 channels, 10 iterations, not saved")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, default=0, help="which of the benchmark's mixtures")
    a = parser.parse_args()
    if a.quick:
        a.channels, a.iterations, a.rounds = 2, 10, 1
    torch.set_num_threads(1)
    scene = scenes(a.channels, a.index + 1, a.seed, seconds=4.0 if a.quick else 12.0)[a.index]
    about = describe_machine() | {"command": command(), "seed": a.seed}
    runs: dict[str, dict] = {}
    trials = {step: descend(scene, step, a.iterations) for step in STEPS}
    settled = {step: values[-1] for step, (values, _) in trials.items() if not fails(values)}
    good = min(settled, key=lambda s: settled[s]) if settled else STEPS[0]
    large = next((step for step in STEPS if step > good and fails(trials[step][0])), STEPS[-1])
    cost = seconds_per_step(scene, a.rounds, 10)
    small = good / 10
    trials[small] = descend(scene, small, a.iterations)
    for title, step in (("good", good), ("small", small), ("too large", large)):
        values, w = trials[step]
        gain = scene.improvement(w) if np.isfinite(values[-1]) else float("nan")
        name = f"natural gradient, {title} step {step:g}"
        runs[name] = {
            "seconds_per_iteration": cost,
            "iterations": list(range(a.iterations + 1)),
            "objective": values,
            "si_sdr_improvement_db": gain,
        }
    notes = sorted({0, *(round(i) for i in np.geomspace(1, a.iterations, 40))})
    with Worker(OURS, 1) as worker:
        for update in UPDATES:
            taken = [worker.ask("time", scene, update, 10)["wall"] for _ in range(a.rounds + 1)]
            found = worker.trace(scene, update, notes)
            x = scene.whitened.spectrogram
            runs[update.upper()] = {
                "seconds_per_iteration": median(taken[1:]),
                "iterations": notes,
                "objective": [
                    objective(torch.from_numpy(found[i]) @ x, torch.from_numpy(found[i])) for i in notes
                ],
                "si_sdr_improvement_db": scene.improvement(found[notes[-1]]),
            }
    for name, run in runs.items():
        print(
            f"{name}: {1000 * run['seconds_per_iteration']:.2f} ms per iteration, objective "
            f"{run['objective'][0]:.0f} -> {run['objective'][-1]:.0f}, {run['si_sdr_improvement_db']:.2f} dB"
        )
    print(
        "all steps tried, final objective:",
        {step: round(values[-1], 1) for step, (values, _) in trials.items()},
    )
    if not a.quick:
        tried = {
            str(step): values[-1] if np.isfinite(values[-1]) else None for step, (values, _) in trials.items()
        }
        plain = {
            name: run | {"objective": [v if np.isfinite(v) else None for v in run["objective"]]}
            for name, run in runs.items()
        }
        save("no_step_size", rounded({"about": about, "steps_tried": tried, "runs": plain}, 6))
        plot(runs, a.channels)


def plot(runs: dict[str, dict], channels: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lowest = min(min(v for v in run["objective"] if np.isfinite(v)) for run in runs.values())
    start = next(iter(runs.values()))["objective"][0]
    colours = dict(zip(runs, ("C7", "C8", "C3", "C0", "C2", "C1"), strict=True))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
    for axis, label in zip(axes, ("iterations", "seconds, one thread"), strict=True):
        for name, run in runs.items():
            height = [(v - lowest) / (start - lowest) for v in run["objective"]]
            height = [min(h, 3.0) if np.isfinite(h) else 3.0 for h in height]
            scale = 1 if label == "iterations" else run["seconds_per_iteration"]
            points = [
                (i * scale, max(h, 1e-3)) for i, h in zip(run["iterations"], height, strict=True) if i > 0
            ]
            style = "--" if name.startswith("natural") else "-"
            axis.plot(*zip(*points, strict=True), style, color=colours[name], label=name, linewidth=1.8)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(1e-3, 3)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("objective above the lowest found\n(1 = where all start)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, frameon=False, fontsize=8, loc="lower center", ncol=3)
    figure.suptitle(f"One real mixture, {channels} talkers, {channels} microphones", fontsize=10)
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGE, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
