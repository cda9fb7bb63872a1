"""From a recipe to a run before its first step: the network, weights that it begins with, its task, its data."""

import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from unbabble.base import registry
from unbabble.base.config import check_arguments, keyword_parameters
from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import missing_extra
from unbabble.base.inputs import expand
from unbabble.methods.representation.sound_encoder import SoundEncoder
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.recognizer import NeuralRecognizer
from unbabble.pipelines.score import Listener
from unbabble.training.recipe import Recipe
from unbabble.training.results import Results
from unbabble.training.run import VALIDATION_SEED_OFFSET, Run
from unbabble.training.tasks import create
from unbabble.training.tasks.separation import Separation

DECIDED = ("tokens", "words", "labels")
"""Options that are the data's affair where a recipe says nothing."""
TUNING_STEPS = 2000
TUNING_RATE = 1e-4
GOING_ON_STEPS = 200
"""Of an encoder of sounds, with new recordings."""


def tuning_recipe(start: Network, data: Path) -> dict[str, Any]:
    """How to tune ``start`` on one's own recordings, judged by every fifth utterance of each speaker.

    Args:
        start: a trained network.
        data: clean speech, a folder for each speaker; or a manifest of mixtures (which judges by itself). For a
            recogniser, recordings with their texts; for an encoder of sounds, any recordings.
    """
    common: dict[str, Any] = {"sample_rate": start.sample_rate, "seconds": 4.0}
    if isinstance(start, SoundEncoder):
        return _going_on(start, data)
    if isinstance(start, NeuralRecognizer):
        common = {"kind": "transcribed", "speech": [str(data)], "sample_rate": start.sample_rate}
        common["dictionary"] = "packaged" if "phones" in start.targets else None
        learn = {**common, "speeds": [0.9, 1.0, 1.1], "held_out": False}
        judge = {**common, "held_out": True}
    elif data.suffix == ".jsonl":
        learn = judge = {"kind": "manifest", "manifest": str(data), **common}
    else:
        made = {
            "kind": "mixtures",
            "speech": str(data),
            "talkers": [*start.talkers],
            "overlap": [0.5, 1.0],
            **common,
        }
        learn = {**made, "speed": [0.95, 1.05], "held_out": False}
        judge = {**made, "held_out": True}
    return {
        "method": start.card.name,
        "options": start.resolved_options(),
        "train": learn,
        "validation": judge,
        "validation_items": 50,
        "steps": TUNING_STEPS,
        "batch": 4,
        "learning_rate": TUNING_RATE,
        "average": 0.99,
        "validate_every": TUNING_STEPS // 10,
        "save_every": TUNING_STEPS // 20,
    }


def _going_on(start: SoundEncoder, data: Path) -> dict[str, Any]:
    """How an encoder of sounds learns from new recordings and keeps what it has learnt from others."""
    clips = {"clips": str(data), "sample_rate": start.sample_rate}
    return {
        "method": start.card.name,
        "options": start.resolved_options(),
        "task": {
            "kind": "continual",
            "objective": "simclr",
            "distillation": "similarity",
            "has_learnt": True,
        },
        "train": {"kind": "stream", "clips": clips},
        "validation": {"kind": "clips", **clips, "pairs": True},
        "validation_items": 64,
        "steps": GOING_ON_STEPS,
        "batch": 32,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "warmup_steps": 10,
        "validate_every": GOING_ON_STEPS // 4,
        "save_every": GOING_ON_STEPS // 20,
        "workers": 0,
    }


def fresh(recipe: Recipe) -> Network:
    """The recipe's network, untrained.

    Raises:
        UsageError: there is no such network, or it has no such options.
    """
    card, _ = registry.find(recipe.method)
    if not card.network:
        raise UsageError(f"'{recipe.method}' is not a network: there is nothing to train.")
    if card.contract == "text encoder":
        raise UsageError(
            f"A {recipe.method} reads texts for other networks, as clap, and learns within these alone."
        )
    torch.manual_seed(recipe.seed)
    method, owner = registry.method(recipe.method), f"Method '{recipe.method}'"
    parameters = keyword_parameters(method)
    decided = {"sample_rate": recipe.train.sample_rate} if "sample_rate" in parameters else {}
    if {*DECIDED} & parameters.keys() - recipe.options.keys():
        decided |= {name: each for name, each in recipe.train.decides().items() if name in parameters}
    return registry.create(recipe.method, **check_arguments(method, decided | recipe.options, owner))


def transfer(start: Network, network: Network) -> list[str]:
    """Into ``network`` copy what has the same name and shape in ``start``; the names of the tensors that start anew.

    Raises:
        UsageError: nothing fits.
    """
    have, wanted = start.state_dict(), network.state_dict()
    fitting = {n: t for n, t in have.items() if n in wanted and t.shape == wanted[n].shape}
    if not fitting:
        raise UsageError("Nothing of the weights fits the recipe's options.")
    network.load_state_dict(fitting, strict=False)
    return [name for name in wanted if name not in fitting]


def take_parts(network: Network, pattern: str, source: Network, model: str) -> None:
    """Into parts of ``network`` copy what ``source`` has under that name, or its first part that has their tensors.

    Raises:
        UsageError: no such part, or nothing fits it.
    """
    parts = {
        name: part
        for name, part in network.named_modules()
        if fnmatchcase(name, pattern) and name.count(".") == pattern.count(".")
    }
    if not parts:
        raise UsageError(f"The recipe's parts: a {network.card.name} has no part '{pattern}'.")
    for name, part in parts.items():
        wanted = {key: tensor.shape for key, tensor in part.state_dict().items()}
        for _, module in sorted(source.named_modules(), key=lambda named: named[0] != name):
            have = module.state_dict()
            if {key: tensor.shape for key, tensor in have.items()} == wanted:
                part.load_state_dict(have)
                break
        else:
            raise UsageError(f"The recipe's parts: nothing of '{model}' fits '{pattern}'.")


def run_of(
    recipe: Recipe,
    network: Network,
    folder: Path,
    device: str = "auto",
    command: str = "",
    *,
    validate_blind: Path | None = None,
    settle_level: bool = False,
) -> Run:
    """The run of a recipe, before its first step.

    Args:
        recipe: what to do.
        network: fresh, or to be tuned.
        folder: where everything is kept.
        device: accelerate's choice by default, or ``cpu``.
        command: what was typed, for the card of the weights.
        validate_blind: real recordings that decide which weights are best.
        settle_level: give the weights the level of the mixtures first.

    Raises:
        MissingExtraError: accelerate is not installed.
        InputError: the data cannot be used.
        UsageError: the data is not what the task needs, or no such task.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise missing_extra("train") from error
    processes = Accelerator(cpu=device == "cpu")
    task = create(network, recipe.task)
    if validate_blind is not None:
        if not isinstance(task, Separation):
            raise UsageError("Only what separates is validated on real recordings.")
        task.judged_by(_listener(validate_blind, network))
    items = task.curriculum(recipe.train).open(recipe.seed)
    validation = recipe.validation.open(recipe.seed + VALIDATION_SEED_OFFSET)
    if settle_level and isinstance(task, Separation):
        task.settle_level(validation, recipe.validation_items)
    return Run(
        task,
        items,
        recipe,
        folder,
        validation=validation,
        validation_items=recipe.validation_items,
        results=Results(folder, recipe, command),
        processes=processes,
    )


def _listener(folder: Path, network: Network) -> Listener:
    if not folder.exists():
        raise InputError(f"There is no folder '{folder}'.")
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        files = [each.path for each in expand([folder], Path(spool))]
    return Listener(files, network.sample_rate)
