"""Recipes: all that decides a training run, checked; and the data that they name, opened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from unbabble.base.config import validate
from unbabble.base.errors import UsageError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures, Item
from unbabble.data.examples import Examples
from unbabble.data.librimix import LibriMixSet
from unbabble.data.manifest import ManifestSet
from unbabble.data.speakers import (
    EnrolledItem,
    EnrolledMixing,
    EnrolledMixtures,
    LabelledItem,
    LabelledMixing,
    LabelledMixtures,
    SpeakerGroups,
    SpeakerItems,
    Utterances,
)
from unbabble.nn.losses import SOFT_DB
from unbabble.training.sets.rated import RatedItem, RatedItems, RatedMixing
from unbabble.training.sets.separated import ScoredItem, ScoredItems, SeparatedData

Schedule = Literal["constant", "cosine", "plateau", "decay"]


@dataclass(frozen=True)
class ManifestData:
    """Ready mixtures.

    Args:
        manifest: as ``unbabble prepare`` writes them.
        seconds: duration of an excerpt, None for whole mixtures (then the batch is 1).
        sample_rate: Hz.
    """

    manifest: Path
    seconds: float | None = 4.0
    sample_rate: int = 8000


@dataclass(frozen=True)
class LibriMixData:
    """LibriMix without its files: see ``data.librimix.LibriMixSet``.

    Args:
        metadata: a list of LibriMix.
        librispeech: the corpus that it is made of.
        noise: WHAM!'s noise, where the condition has noise.
        condition: mix_clean, mix_both or mix_single.
        mode: min or max.
        seconds: as in ``ManifestData``.
        sample_rate: Hz.
    """

    metadata: Path
    librispeech: Path
    noise: Path | None = None
    condition: Literal["mix_clean", "mix_both", "mix_single"] = "mix_clean"
    mode: Literal["min", "max"] = "min"
    seconds: float | None = 4.0
    sample_rate: int = 8000


Data = (
    DynamicMixing
    | ManifestData
    | LibriMixData
    | SeparatedData
    | SpeakerGroups
    | EnrolledMixing
    | LabelledMixing
    | RatedMixing
)
AnyItem = Item | ScoredItem | Utterances | EnrolledItem | LabelledItem | RatedItem


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run.

    Args:
        method: a network of the registry.
        options: of its constructor.
        parts: for a part of the network (``embedder``), or several (``specialists.*``), the model that they come
            from: one of which some part has the same tensors.
        train: what it learns from: mixtures made on the way (``speech: ...``), ready ones (``manifest: ...``),
            LibriMix made on the way (``metadata: ...``), separated mixtures for scorers (``parts: ...``), utterances
            by speaker for embedders (``utterances: ...``), mixtures with an enrollment for extractors
            (``enrollment: ...``), noisy voices with labels for ensembles (``labels: ...``), or enhanced ones with
            their PESQ for meters of quality (``enhancers: ...``).
        validation: what the best weights are chosen on.
        validation_items: how many.
        steps: updates of the weights.
        fixed_order_steps: for so many steps at first, a woman and a man talk, and each output learns one of them: a
            network that need not find out who is who leaves the plateau of permutation-invariant training sooner.
        soft_db: ratio beyond which a voice's loss gains little. Where few may talk, silence is easy, and with 30 dB
            it outweighs the separation of those who do talk.
        mixit: what stands for voices are recordings of several, or noisy ones: nobody knows what they are made of, and
            the network learns by mixture invariant training.
        batch: items an update, over all processes.
        optimizer: adam, adamw, or muon: Muon for the matrices, AdamW for all else.
        learning_rate: the highest.
        matrix_share: learning rate of Muon's matrices, over that of all else.
        weight_decay: of the optimizer.
        clip_norm: largest norm of the gradient.
        schedule: cosine falls to ``final_share``; plateau halves after ``patience`` validations without a gain;
            decay multiplies by ``decay`` every ``decay_steps``.
        warmup_steps: in which the learning rate rises from 0.
        final_share: of the learning rate, that cosine ends at.
        patience: see ``schedule``.
        decay: see ``schedule``.
        decay_steps: see ``schedule``.
        average: weight of the past in the running average of the weights that is validated and kept; 0 for none.
        precision: of matrix products.
        compile: let torch compile the network.
        validate_every: steps.
        save_every: steps between checkpoints.
        workers: processes that make mixtures; 0 makes them in this one.
        seed: of weights, data and all else.
        summary: for the card of the weights.
        licence: of the weights.
        data: description of the data, for the card.
        limits: what the network cannot do, for the card.

    Raises:
        UsageError: a number that makes no sense.
    """

    method: str
    train: Data
    validation: Data
    options: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    validation_items: int = 100
    steps: int = 100_000
    fixed_order_steps: int = 0
    soft_db: float = SOFT_DB
    mixit: bool = False
    batch: int = 8
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    learning_rate: float = 1e-3
    matrix_share: float = 4.0
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    final_share: float = 0.01
    patience: int = 3
    decay: float = 0.98
    decay_steps: int = 10_000
    average: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    validate_every: int = 1000
    save_every: int = 500
    workers: int = 2
    seed: int = 0
    summary: str = ""
    licence: str = ""
    data: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validation_items", "validate_every", "save_every", "decay_steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"Recipe: {name} is at least 1.")
        for name in ("learning_rate", "matrix_share", "clip_norm", "soft_db"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Recipe: {name} is positive.")
        if not 0 <= self.average < 1:
            raise UsageError("Recipe: average lies between 0 and 1, 1 excluded.")


def read_recipe(options: dict[str, Any]) -> Recipe:
    """Check a recipe as it stands in YAML.

    Raises:
        UsageError: an unknown name, with the nearest one, or a value of the wrong type.
    """
    options = dict(options)
    for section in ("train", "validation"):
        content = options.get(section)
        if not isinstance(content, dict):
            raise UsageError(
                f"The recipe has no section '{section}': add a corpus, as one of configs/corpora/."
            )
        kind = next((kind for name, kind in _DATA.items() if name in content), DynamicMixing)
        options[section] = validate(kind, content, f"Section '{section}'")
    if "method" not in options:
        raise UsageError("The recipe names no method.")
    return validate(Recipe, options, "The recipe")


_DATA = {
    "manifest": ManifestData,
    "metadata": LibriMixData,
    "parts": SeparatedData,
    "utterances": SpeakerGroups,
    "enrollment": EnrolledMixing,
    "labels": LabelledMixing,
    "enhancers": RatedMixing,
}


def learning_rate(recipe: Recipe, step: int, losses: Sequence[float] = ()) -> float:
    """The learning rate of the next step: a function of nothing but what is in a checkpoint.

    Args:
        recipe: says the schedule.
        step: how many were made.
        losses: of all validations so far.
    """
    rate = recipe.learning_rate
    if step < recipe.warmup_steps:
        return rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        low = recipe.final_share
        return rate * (low + (1 - low) * (1 + math.cos(math.pi * min(1.0, done))) / 2)
    if recipe.schedule == "decay":
        return rate * recipe.decay ** (step // recipe.decay_steps)
    if recipe.schedule == "plateau":
        best, waited = math.inf, 0
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= recipe.patience:
                rate, waited = rate / 2, 0
    return rate


class Items(Protocol):
    """What a run learns from: item ``index`` of an endless row."""

    def __getitem__(self, index: int) -> AnyItem:
        """A mixture and what goes with it."""
        ...


def open_data(source: Data, seed: int, by_sex: int = 0) -> Items:
    """Open a section of a recipe; ``by_sex`` as in ``DynamicMixtures``.

    Raises:
        InputError: its recordings cannot be used.
        UsageError: ready mixtures are not by sex.
    """
    if isinstance(source, DynamicMixing):
        return DynamicMixtures(source, seed, by_sex)
    if by_sex:
        raise UsageError("The recipe's fixed_order_steps need mixtures made on the way (train.speech).")
    if isinstance(source, SeparatedData):
        return ScoredItems(source, seed)
    if isinstance(source, SpeakerGroups):
        return SpeakerItems(source, seed)
    if isinstance(source, EnrolledMixing):
        return EnrolledMixtures(source, seed)
    if isinstance(source, RatedMixing):
        return RatedItems(source, seed)
    if isinstance(source, LabelledMixing):
        return LabelledMixtures(source, seed)
    if isinstance(source, ManifestData):
        return _Ready(ManifestSet(source.manifest, source.sample_rate), source.seconds, seed)
    ready = LibriMixSet(
        source.metadata,
        source.librispeech,
        source.mode,
        source.sample_rate,
        condition=source.condition,
        noise=source.noise,
    )
    return _Ready(ready, source.seconds, seed)


@dataclass(frozen=True)
class _Ready:
    """Ready mixtures in an order of their own, at unit level."""

    mixtures: Examples
    seconds: float | None
    seed: int

    def __getitem__(self, index: int) -> Item:
        mixture, sources = self.mixtures.example(index, self.seed, self.seconds)
        level = np.sqrt(np.mean(mixture**2)) or np.float32(1)
        return Item(mixture / level, sources / level)
