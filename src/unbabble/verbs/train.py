"""``unbabble train``: learn from a recipe, or tune a model on one's own recordings."""

from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

from unbabble.base.config import load_yaml, merge, parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.files import check_output
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import AnyPath, Assignments, Device, Out, as_path, several

RUNS = Path("runs")


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
        data: Tune on this folder of clean speech (a folder for each speaker), or table, or manifest of mixtures; a
            recogniser, on recordings with their texts beside them; an encoder of sounds, on any new recordings, without
            forgetting those before.
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
    from unbabble.training import begin
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
        content = begin.tuning_recipe(start, data)
    else:
        raise UsageError("Name a recipe, or a model and a folder: unbabble train --from MODEL --data DIR.")
    recipe = read_recipe(merge(content, changes))
    network = begin.fresh(recipe)
    for name, model in recipe.parts.items():
        begin.take_parts(network, name, networks.load(model).network, model)
    if start is not None:
        if start.card.name != recipe.method:
            raise UsageError(f"'{from_}' is a {start.card.name}, but the recipe is for {recipe.method}.")
        new = begin.transfer(start, network)
    if network.sample_rate != recipe.train.sample_rate:
        raise UsageError(f"The network has {network.sample_rate} Hz, the data {recipe.train.sample_rate} Hz.")
    folder = out or RUNS / (
        "-".join(Path(config).stem for config in configs) or f"{Path(str(from_)).stem}-tuned"
    )
    check_output(folder / "recipe.yaml")
    typed = [*map(str, configs), *(f"--set {each}" for each in several(set))]
    typed += [f"--from {from_}"] * (from_ is not None) + [f"--data {data}"] * (data is not None)
    typed += [f"--validate-blind {validate_blind}"] * (validate_blind is not None)
    settle = getattr(start, "levels", None) == "fitted" and getattr(network, "levels", None) == "kept"
    command = " ".join(["unbabble train", *typed])
    run = begin.run_of(
        recipe, network, folder, device, command, validate_blind=validate_blind, settle_level=settle
    )
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
