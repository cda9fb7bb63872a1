"""Recipes: all that decides a training run, checked."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import InstanceOf

from unbabble.base.config import validate
from unbabble.base.errors import UsageError
from unbabble.data import captioned, clips, dynamic, ready, sets, speakers, texts, transcribed
from unbabble.data.sets import Data
from unbabble.training.schedule import Schedule
from unbabble.training.sets import rated, separated

logger = logging.getLogger(__name__)
SECTIONS = ("train", "validation")
KIND_MODULES = (captioned, clips, dynamic, ready, speakers, texts, transcribed, separated, rated)
"""What has ``@data`` in it."""


@dataclass(frozen=True, kw_only=True)
class Updates:
    """How weights are updated, whatever is learnt.

    Args:
        steps: updates of the weights.
        batch: items an update, over all processes.
        optimizer: adam, adamw, sgd (with a momentum of .9), or muon: Muon for the matrices, AdamW for all else.
        learning_rate: the highest.
        matrix_share: learning rate of Muon's matrices, over that of all else.
        matrix_precision: in which Muon makes its updates orthogonal.
        weight_decay: of the optimizer.
        clip_norm: largest norm of the gradient.
        schedule: cosine falls to ``final_share`` when it has risen; falling does so from the first step on; plateau
            halves after ``patience`` validations without a gain; decay multiplies by ``decay`` every ``decay_steps``.
        cycles: so many times the schedule is run through, one after another: once for each group of a stream.
        warmup_steps: in which the learning rate rises from 0.
        final_share: of the learning rate, that cosine ends at, and that falling does not go below.
        patience: see ``schedule``.
        decay: see ``schedule``.
        decay_steps: see ``schedule``.
        average: weight of the past in the running average of the weights that is validated and kept; 0 for none.
        average_rises: at first the past weighs less, so that random first weights are soon forgotten; false where the
            first weights have learnt already.
        precision: of matrix products.
        compile: let torch compile the losses.
        most_lost_updates: so many updates in a row with gradients that are not finite end a run: it has diverged.
        validate_every: steps.
        save_every: steps between checkpoints.
        workers: processes that make items; 0 makes them in this one.
        seed: of weights, data and all else.

    Raises:
        UsageError: a number that makes no sense.
    """

    steps: int = 100_000
    batch: int = 8
    optimizer: Literal["adam", "adamw", "sgd", "muon"] = "adam"
    learning_rate: float = 1e-3
    matrix_share: float = 4.0
    matrix_precision: Literal["float32", "bfloat16"] = "float32"
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    schedule: Schedule = "constant"
    cycles: int = 1
    warmup_steps: int = 0
    final_share: float = 0.01
    patience: int = 3
    decay: float = 0.98
    decay_steps: int = 10_000
    average: float = 0.0
    average_rises: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    most_lost_updates: int = 50
    validate_every: int = 1000
    save_every: int = 500
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch",
            "most_lost_updates",
            "validate_every",
            "save_every",
            "decay_steps",
            "cycles",
        ):
            if getattr(self, name) < 1:
                raise UsageError(f"Recipe: {name} is at least 1.")
        for name in ("learning_rate", "matrix_share", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UsageError(f"Recipe: {name} is positive.")
        if not 0 <= self.average < 1:
            raise UsageError("Recipe: average lies between 0 and 1, 1 excluded.")


@dataclass(frozen=True, kw_only=True)
class Recipe(Updates):
    """All that decides a training run.

    Args:
        method: a network of the registry.
        options: of its constructor.
        parts: for a part of the network (``embedder``), or several (``specialists.*``), the model that they come
            from: one of which some part has the same tensors.
        task: what is learnt (``training.tasks``): ``kind``, by default the network's own, and the options of that.
        train: what it learns from: a ``kind`` of data (``data.sets``) and its fields.
        validation: what the best weights are chosen on.
        validation_items: how many.
        summary: for the card of the weights.
        licence: of the weights.
        data: description of the data, for the card.
        limits: what the network cannot do, for the card.

    Raises:
        UsageError: a number that makes no sense.
    """

    method: str
    train: InstanceOf[Data]
    validation: InstanceOf[Data]
    options: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    validation_items: int = 100
    summary: str = ""
    licence: str = ""
    data: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_items < 1:
            raise UsageError("Recipe: validation_items is at least 1.")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in YAML."""
        return asdict(self) | {name: sets.written(getattr(self, name)) for name in SECTIONS}


def read_recipe(options: dict[str, Any]) -> Recipe:
    """Check a recipe as it stands in YAML.

    Raises:
        UsageError: an unknown name, with the nearest one, or a value of the wrong type.
    """
    options = _of_earlier_releases(options)
    for name in SECTIONS:
        content = options.get(name)
        if not isinstance(content, dict):
            raise UsageError(f"The recipe has no section '{name}': add a corpus, as one of configs/corpora/.")
        options[name] = sets.read(content, f"Section '{name}'")
    if "method" not in options:
        raise UsageError("The recipe names no method.")
    return validate(Recipe, options, "The recipe")


EARLIER_KINDS = {
    "manifest": "manifest",
    "metadata": "librimix",
    "parts": "separated",
    "utterances": "speakers",
    "enrollment": "enrolled",
    "labels": "labelled",
    "enhancers": "rated",
}
"""Until November 2026 the kind of a section was guessed from its keys."""
EARLIER_TASK = ("fixed_order_steps", "soft_db", "mixit")
"""Until then these stood in the recipe itself."""


def _of_earlier_releases(options: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it is written now; what was written otherwise is read for one more release, and noted."""
    options = dict(options)
    for name in SECTIONS:
        content = options.get(name)
        if isinstance(content, dict) and "kind" not in content:
            kind = next((kind for key, kind in EARLIER_KINDS.items() if key in content), "mixtures")
            options[name] = {"kind": kind, **content}
            logger.warning(
                "The recipe's section '%s' has no kind and is taken for `kind: %s`: the next release asks for it.",
                name,
                kind,
            )
    for name in EARLIER_TASK:
        if name in options:
            options["task"] = options.get("task", {}) | {name: options.pop(name)}
            logger.warning(
                "The recipe's `%s` belongs into `task: {%s: ...}`: the next release reads it there alone.",
                name,
                name,
            )
    return options
