"""Does the one loop compute what the loops before it computed?

200 steps of four packaged recipes (shorter items and smaller batches than theirs) and of two ways to adapt an enhancer:
losses by step and the SHA-256 of the last weights, in one thread. ``recorded`` was measured with the code before the
loop was made anew, where it knew of separation, and adaptation had a loop of its own (commit c841a68; adaptation one
later, whose files had moved and whose loop was the same). Each learns
again, once at a stretch, and once killed at step 130 and gone on with from the checkpoint of step 100. Bits are those
of one kind of processor and one version of PyTorch; what the results do not hold yet is recorded.

    python -m benchmarks curves
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import soundfile
import torch

from benchmarks.kit.table import grid, made_by, page
from unbabble.base import weights
from unbabble.training import personal
from unbabble.verbs.train import train

DIGITS = 17
STEPS, KILLED_AT, SAVE_EVERY = 200, 130, 50
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
COMMON = [
    "steps=200",
    "save_every=50",
    "validate_every=100",
    "validation_items=4",
    "warmup_steps=20",
    "workers=0",
]
SHORT = ["train.seconds=1.0", "validation.seconds=1.0"]
NO_ROOMS = ["batch=4", "train.simulated_rooms=0", *SHORT]
OF_SPEAKERS = ["train.speakers=4", "train.mixing.simulated_rooms=0", "validation.utterances=4"]
RECIPES = {
    "separator": (
        ("conv_tasnet_2talkers_8k_clean", "corpora/clean_2talkers"),
        ["batch=2", "task.fixed_order_steps=100", *SHORT],
    ),
    "counter": (("countnet", "corpora/count_1to3talkers"), NO_ROOMS),
    "ensemble": (("sparse_ensemble_joint", "corpora/noisy_16k"), NO_ROOMS),
    "embedder": (("xvector", "corpora/speakers_8k"), OF_SPEAKERS),
}
"""Configs, and what is changed of them."""
WAYS = ("remixit", "distillation")


class Killed(Exception):
    """In place of the signal: where it is raised, nothing of the run is saved."""


@contextlib.contextmanager
def noted(losses: list[float], killed_at: int | None) -> Iterator[None]:
    """Every loss that gradients are taken of."""
    original = torch.Tensor.backward

    def backward(self: torch.Tensor, *arguments: object, **options: object) -> None:
        if len(losses) == killed_at:
            raise Killed
        losses.append(float(self.detach()))
        original(self, *arguments, **options)  # type: ignore[arg-type]

    with mock.patch.object(torch.Tensor, "backward", backward):
        yield


def digest(tensors: dict[str, torch.Tensor]) -> str:
    result = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        result.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return result.hexdigest()


def in_one_or_two(once, killed: bool) -> list[float]:
    """Losses by step of ``once(resume)``: of a run at a stretch, or of one that was killed and gone on with."""
    losses: list[float] = []
    if killed:
        with contextlib.suppress(Killed), noted(losses, KILLED_AT):
            once(False)
        del losses[KILLED_AT // SAVE_EVERY * SAVE_EVERY :]
    with noted(losses, None):
        once(killed)
    return losses


def by_recipe(name: str, folder: Path, killed: bool) -> dict[str, Any]:
    parts, changes = RECIPES[name]
    configs = [CONFIGS / f"{part}.yaml" for part in parts]

    def once(resume: bool) -> None:
        set_ = [*COMMON, *changes]
        train(*configs, set=set_, out=folder / "run", device="cpu", quiet=True, resume=resume)

    losses = in_one_or_two(once, killed)
    lines = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
    validations = [{key: value for key, value in line.items() if key != "hours"} for line in lines]
    last = weights.read_tensors(folder / "run" / "last.safetensors")
    return {"losses": losses, "validations": validations, "sha256": digest(last)}


def adapted(method: str, folder: Path, killed: bool) -> dict[str, Any]:
    rng, time = np.random.default_rng(0), np.arange(24 * 16000) / 16000
    voice = np.sin(2 * np.pi * 200 * time + 5 * np.sin(9 * time)) * np.sin(2.5 * time) ** 2
    path, networks = folder / "mine.wav", []
    soundfile.write(path, 0.1 * voice + 0.03 * rng.laplace(size=len(time)), 16000, subtype="FLOAT")

    def once(resume: bool) -> None:
        about = {"student": "gru.2x32", "teacher": "gru.2x64", "method": method}
        networks.append(personal.adapt([path], **about, steps=STEPS, keep=True)[0])

    with mock.patch.dict(os.environ, {"UNBABBLE_CACHE": str(folder)}):
        losses = in_one_or_two(once, killed)
    return {"losses": losses, "sha256": digest(networks[-1].state_dict())}


def curve(name: str, killed: bool = False) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return (by_recipe if name in RECIPES else adapted)(name, Path(folder), killed)


def measure(before: dict, only: Sequence[str] = (*RECIPES, *WAYS)) -> Iterator[dict]:
    """Compare.

    Args:
        only: these alone.
    """
    result = {"recorded": {}, "compared": {}} | before
    recorded, compared = result["recorded"], result["compared"]
    for name in only:
        if name not in recorded:
            about = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
            recorded[name] = about | curve(name)
        wanted = {key: value for key, value in recorded[name].items() if key not in ("torch", "cpu")}
        compared[name] = {}
        for how in ("at a stretch", "killed"):
            again = curve(name, how == "killed")
            gaps = np.abs(np.subtract(again["losses"], wanted["losses"]))
            compared[name][how] = {"same": again == wanted, "largest_difference": float(gaps.max())}
        yield result


def table(result: dict) -> str:
    rows = []
    for name, both in result["compared"].items():
        configs = " + ".join(RECIPES[name][0]) if name in RECIPES else "gru.2x32 by gru.2x64"
        first, *_, last = result["recorded"][name]["losses"]
        same = (
            "every bit" if each["same"] else f"{each['largest_difference']:.2g} off" for each in both.values()
        )
        rows.append((name, configs, f"{first:.3f}", f"{last:.3f}", *same))
    head = "what learns | from | loss, step 1 | step 200 | at a stretch | killed at 130, gone on from 100"
    return page(
        "What is as before, after 200 steps: losses, validation, last weights.",
        grid(head, rows),
        made_by(result),
    )
