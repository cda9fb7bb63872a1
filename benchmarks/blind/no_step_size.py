"""What does gradient descent do on the same recording?

Natural-gradient IVA with three steps, beside IP, ISS and IPA, on one real mixture. All lower the same objective,
sum_k mean_t |y_kt| - 2 sum_f log|det W_f|, from the same white start. The good step is the best of ``STEPS`` for this
mixture, tried beforehand, which no user could; the small one is a tenth of it; the large one is the smallest of
``STEPS`` that fails.

    python -m benchmarks no_step_size       # a minute; docs/images/no_step_size.png too
"""

import time
from statistics import median

import numpy as np
import torch

from benchmarks.kit import plot as plots
from benchmarks.kit.peers import OURS, Worker
from benchmarks.kit.scenes import Scene, scenes

STEPS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
UPDATES = ("ip", "iss", "ipa")
IMAGE = "../../docs/images/no_step_size"
DIGITS = 6
QUICK = {"channels": 2, "iterations": 10, "rounds": 1, "seconds": 4.0}


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


def descend(scene: Scene, step: float, iterations: int) -> tuple[dict, bool]:
    """A run of so many iterations, and whether it failed: rose above its start, or never came to rest.

    One that has risen far above its start is not followed further: its objective counts as infinite.
    """
    x = scene.whitened.spectrogram
    w = torch.eye(x.shape[1], dtype=x.dtype).repeat(len(x), 1, 1)
    values, taken = [objective(x, w)], []
    for _ in range(iterations):
        if values[-1] > values[0] + 10 * x.shape[0] * x.shape[1]:
            values.append(float("inf"))
            continue
        began = time.perf_counter()
        w = natural_gradient(w @ x, w, step)
        taken.append(time.perf_counter() - began)
        values.append(objective(w @ x, w))
    run = {
        "seconds_per_iteration": median(taken),
        "iterations": list(range(iterations + 1)),
        "objective": values,
    }
    run["si_sdr_improvement_db"] = scene.improvement(w.numpy()) if np.isfinite(values[-1]) else float("nan")
    tail, fall = values[-max(2, len(values) // 10) :], values[0] - min(values)
    return run, not all(np.isfinite(values)) or max(tail) > min(values) + 0.02 * abs(fall)


def measure(
    channels: int = 3, iterations: int = 60, rounds: int = 5, seconds: float = 12.0, seed: int = 0
) -> dict:
    """One mixture."""
    (scene,), runs = scenes(channels, 1, seed, seconds), {}
    trials = {step: descend(scene, step, iterations) for step in STEPS}
    settled = {step: run["objective"][-1] for step, (run, failed) in trials.items() if not failed}
    good = min(settled, key=lambda step: settled[step]) if settled else STEPS[0]
    large = next((step for step in STEPS if step > good and trials[step][1]), STEPS[-1])
    trials[good / 10] = descend(scene, good / 10, iterations)
    for title, step in (("good", good), ("small", good / 10), ("too large", large)):
        seconds_of_good = {"seconds_per_iteration": trials[good][0]["seconds_per_iteration"]}
        runs[f"natural gradient, {title} step {step:g}"] = trials[step][0] | seconds_of_good
    notes = sorted({0, *(round(i) for i in np.geomspace(1, iterations, 40))})
    x = scene.whitened.spectrogram
    with Worker(OURS, 1) as worker:
        for update in UPDATES:
            taken = [worker.ask("time", scene, update, 10)["wall"] for _ in range(rounds + 1)]
            traced = {i: torch.from_numpy(w) for i, w in worker.trace(scene, update, notes).items()}
            runs[update.upper()] = {
                "seconds_per_iteration": median(taken[1:]),
                "iterations": notes,
                "objective": [objective(traced[i] @ x, traced[i]) for i in notes],
                "si_sdr_improvement_db": scene.improvement(traced[notes[-1]].numpy()),
            }
    for run in runs.values():
        run["objective"] = [value if np.isfinite(value) else None for value in run["objective"]]
    ends = {str(step): run["objective"][-1] for step, (run, _) in trials.items()}
    tried = {step: end if np.isfinite(end) else None for step, end in ends.items()}
    return {"steps_tried": tried, "runs": runs}


def plot(result: dict) -> None:
    runs, channels = result["runs"], result.get("channels", 3)
    lowest = min(value for run in runs.values() for value in run["objective"] if value is not None)
    start = next(iter(runs.values()))["objective"][0]
    figure, (axes,) = plots.axes(1, 2, figsize=(10, 4.4), sharey=True)
    for axis, label in zip(axes, ("iterations", "seconds, one thread"), strict=True):
        for (name, run), colour in zip(runs.items(), ("C7", "C8", "C3", "C0", "C2", "C1"), strict=True):
            scale = 1 if label == "iterations" else run["seconds_per_iteration"]
            heights = [
                3.0 if v is None else min((v - lowest) / (start - lowest), 3.0) for v in run["objective"]
            ]
            points = [(i * scale, max(h, 1e-3)) for i, h in zip(run["iterations"], heights, strict=True) if i]
            style = "--" if name.startswith("natural") else "-"
            axis.plot(*zip(*points, strict=True), style, color=colour, label=name, linewidth=1.8)
        axis.set(xscale="log", yscale="log", ylim=(1e-3, 3), xlabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("objective above the lowest\n(1 = where all start)")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=8, loc="lower center", ncol=3)
    figure.suptitle(f"One real mixture, {channels} talkers, {channels} microphones", fontsize=10)
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    plots.write(figure, IMAGE)
