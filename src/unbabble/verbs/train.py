"""``unbabble train``: learn from a recipe, or tune a model on one's own recordings."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base import registry
from unbabble.base.config import check_arguments, load_yaml, merge, parse_assignments
from unbabble.base.errors import InputError, UsageError
from unbabble.base.extras import missing_extra
from unbabble.base.files import check_output
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import AnyPath, Assignments, Device, Out, as_path

if TYPE_CHECKING:
    from unbabble.nn.kinds.network import Network
    from unbabble.pipelines.score import Listener
    from unbabble.training.recipe import Recipe
    from unbabble.training.run import Run

RUNS = Path("runs")
TUNING_STEPS = 2000
TUNING_RATE = 1e-4


@dataclass
class Trained(Result):
    """What a run came to.

    Attributes:
        folder: of the run.
        weights: the best weights, None where tuning gained nothing.
        validations: what was measured on the way.
    """

    folder: Path
    weights: Path | None
    validations: list[dict[str, float]]


def train(
    *configs: AnyPath,
    set: Assignments = None,
    from_: str | None = None,
    data: AnyPath | None = None,
    validate_blind: AnyPath | None = None,
    out: Out | None = None,
    resume: bool = False,
    device: Device = "auto",
    quiet: bool = False,
) -> Trained:
    """Train a network by a recipe, or tune a model on a folder of one's own speech.

    A run can be stopped at any moment; --resume goes on from its last checkpoint with the same result. Progress,
    the learning curve and the best weights are in the run's folder; `unbabble separate --model
    FOLDER/best.safetensors` uses them.

    Args:
        configs: A recipe (YAML), or its parts: a network's and a corpus's from configs/; later ones win.
        set: Change an option of the recipe: batch=4, train.seconds=3, options.blocks=2; repeat for more.
        from_: Start from the weights of this model; parts whose shape the recipe changes start anew.
        data: Tune on this folder of clean speech (a folder for each speaker), or table, or manifest of mixtures.
        validate_blind: Keep the weights that separate these recordings best, as far as a blind score can tell: a folder
            of real mixtures, whose true voices nobody knows.
        out: Folder of the run; runs/<names of the parts> by default.
        resume: Go on with the run that is in the folder.
        device: auto, cpu, cuda ...
        quiet: Say nothing.

    Returns:
        Where the weights are, and what was measured.

    Raises:
        UsageError: a recipe that makes no sense, or a folder that holds a run already.
        InputError: data that cannot be used.
    """
    from unbabble.networks import load as networks
    from unbabble.training.recipe import read_recipe

    data = as_path(data)
    validate_blind = as_path(validate_blind)
    out = as_path(out)
    changes = parse_assignments(set or [])
    new: list[str] = []
    start = networks.load(from_).network if from_ is not None else None
    if configs and data is not None:
        raise UsageError(
            "A recipe says itself what data it takes: --set train.speech=DIR or train.manifest=FILE."
        )
    if configs:
        content = reduce(merge, map(load_yaml, configs))
    elif start is not None and data is not None:
        content = tuning_recipe(start, data)
    else:
        raise UsageError("Name a recipe, or a model and a folder: unbabble train --from MODEL --data DIR.")
    recipe = read_recipe(merge(content, changes))
    network = _fresh(recipe)
    for name, model in recipe.parts.items():
        _take_parts(network, name, networks.load(model).network, model)
    if start is not None:
        if start.card.name != recipe.method:
            raise UsageError(f"'{from_}' is a {start.card.name}, but the recipe is for {recipe.method}.")
        new = _transfer(start, network)
    if network.sample_rate != recipe.train.sample_rate:
        raise UsageError(f"The network has {network.sample_rate} Hz, the data {recipe.train.sample_rate} Hz.")
    folder = out or RUNS / (
        "-".join(Path(config).stem for config in configs) or f"{Path(str(from_)).stem}-tuned"
    )
    check_output(folder / "recipe.yaml")
    typed = [*map(str, configs), *(f"--set {each}" for each in set or [])]
    typed += [f"--from {from_}"] * (from_ is not None) + [f"--data {data}"] * (data is not None)
    typed += [f"--validate-blind {validate_blind}"] * (validate_blind is not None)
    settle = getattr(start, "levels", None) == "fitted" and getattr(network, "levels", None) == "kept"
    command = " ".join(["unbabble train", *typed])
    run = run_of(recipe, network, folder, device, command, validate_blind=validate_blind, settle_level=settle)
    if run.checkpoint.is_file() and not resume:
        raise UsageError(
            f"'{folder}' holds a run already: --resume goes on with it, --out names another folder."
        )
    run.resume()
    tell = partial(say, quiet=quiet)
    if start is not None and new and not run.progress.step:
        more = f" and {len(new) - 3} more" if len(new) > 3 else ""
        tell(f"These do not fit '{from_}' and start anew: {', '.join(new[:3])}{more}.")
    if start is not None and not new and not run.progress.validations:
        run.start_from_here(tell)
    progress = run.train(tell)
    weights = folder / "best.safetensors"
    tell(
        f"The best weights: {weights}"
        if weights.is_file()
        else f"No step was better than '{from_}': keep it."
    )
    return Trained(folder, weights if weights.is_file() else None, progress.validations)


def run_of(
    recipe: "Recipe",
    network: "Network",
    folder: Path,
    device: str = "auto",
    command: str = "",
    *,
    validate_blind: Path | None = None,
    settle_level: bool = False,
) -> "Run":
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
    from unbabble.training.results import Results
    from unbabble.training.run import VALIDATION_SEED_OFFSET, Run
    from unbabble.training.tasks import create
    from unbabble.training.tasks.separation import Separation

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


def tuning_recipe(start: "Network", data: Path) -> dict[str, Any]:
    """How to tune ``start`` on one's own recordings, judged by every fifth utterance of each speaker.

    Args:
        start: a trained network.
        data: clean speech, a folder for each speaker; or a manifest of mixtures (which judges by itself).
    """
    common: dict[str, Any] = {"sample_rate": start.sample_rate, "seconds": 4.0}
    if data.suffix == ".jsonl":
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


def _fresh(recipe: "Recipe") -> "Network":
    import torch

    card, _ = registry.find(recipe.method)
    if not card.network:
        raise UsageError(f"'{recipe.method}' is not a network: there is nothing to train.")
    torch.manual_seed(recipe.seed)
    owner = f"Method '{recipe.method}'"
    options = {"sample_rate": recipe.train.sample_rate} | recipe.options
    return registry.create(recipe.method, **check_arguments(registry.method(recipe.method), options, owner))


def _transfer(start: "Network", network: "Network") -> list[str]:
    """Copy what has the same name and shape; the names of the tensors that start anew.

    Raises:
        UsageError: nothing fits.
    """
    have, wanted = start.state_dict(), network.state_dict()
    fitting = {n: t for n, t in have.items() if n in wanted and t.shape == wanted[n].shape}
    if not fitting:
        raise UsageError("Nothing of the weights fits the recipe's options.")
    network.load_state_dict(fitting, strict=False)
    return [name for name in wanted if name not in fitting]


def _take_parts(network: "Network", pattern: str, source: "Network", model: str) -> None:
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
        for _, module in sorted(source.named_modules(), key=lambda found: found[0] != name):
            have = module.state_dict()
            if {key: tensor.shape for key, tensor in have.items()} == wanted:
                part.load_state_dict(have)
                break
        else:
            raise UsageError(f"The recipe's parts: nothing of '{model}' fits '{pattern}'.")


def _listener(folder: Path, network: "Network") -> "Listener":
    import tempfile

    from unbabble.base.inputs import expand
    from unbabble.pipelines.score import Listener

    if not folder.exists():
        raise InputError(f"There is no folder '{folder}'.")
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        files = [each.path for each in expand([folder], Path(spool))]
    return Listener(files, network.sample_rate)
