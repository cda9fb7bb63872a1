"""SpeechBrain's classifiers of sounds: ``embedding_model.ckpt``, ``classifier.ckpt``, ``hyperparams.yaml``, and
``label_encoder.txt`` with the names of the classes.

Its CNN14 and its ``Conv2dEncoder_v2`` (``cnn14-esc50``, ``PIQ-ESC50`` and what its recipe ESC50/classification trains)
are our ``cnn14`` and ``conv2d`` under other names. Two things differ on purpose: recordings are brought to one level
first, and cosines of its last layer, which it takes for logits, are as steep as while it learnt (30 times).
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.networks.foreign.reading import Foreign, need, read_pickled, read_tensors, rename
from unbabble.networks.foreign.speechbrain import YAML, Hyperparameters, read_hyperparameters

WEIGHTS, HEAD, LABELS = "embedding_model.ckpt", "classifier.ckpt", "label_encoder.txt"
CNN14, CONV2D = "Cnn14", "Conv2dEncoder_v2"
_CNN14 = (
    (r"^norm0\.", "trunk.norm0."),
    (r"^conv_block(\d)\.", lambda match: f"trunk.blocks.{int(match[1]) - 1}."),
)
_CONV2D = (
    (r"^conv(\d)\.", lambda match: f"layers.{3 * int(match[1]) - 3}."),
    (r"^bn(\d)\.", lambda match: f"layers.{3 * int(match[1]) - 2}."),
    (r"^resblock\.block\.", "added."),
)
_HEAD = ((r"^blocks\.0\.norm\.", "blocks.0."), (r"^blocks\.1\.w\.", "blocks.1."), (r"^", "head."))


def is_speechbrain_classifier(folder: Path) -> bool:
    """Whether ``folder`` has the layout; embedders of speakers also have a file of that name."""
    if not all((folder / name).is_file() for name in (WEIGHTS, HEAD, YAML)):
        return False
    said = read_hyperparameters(folder / YAML)
    return said.has(CNN14) or said.has(CONV2D)


def open_classifier(folder: Path) -> Foreign:
    """The classifier in ``folder``.

    Raises:
        InputError: damaged, unsafe, or with other features, and what differs.
    """
    said = read_hyperparameters(folder / YAML)
    path, head_path = folder / WEIGHTS, folder / HEAD
    cnn14 = said.has(CNN14)
    read = read_tensors(path, read_pickled(path))
    tensors = {rename(name, _CNN14 if cnn14 else _CONV2D): each for name, each in read.items()}
    head = read_tensors(head_path, read_pickled(head_path))
    head = {rename(name, _HEAD): each for name, each in head.items()}
    bands = _bands(said)
    options: dict[str, Any] = {
        "bands": bands,
        "sample_rate": int(said.resolve(said.content.get("sample_rate"), 16000)),
        **_about_head(head, head_path),
    }
    if cnn14:
        if not bands:
            raise InputError(f"'{YAML}' says use_melspectra: False, but Unbabble's cnn14 hears mel bands.")
        first = need(tensors, "trunk.blocks.0.conv1.weight", path, 4)
        last = need(tensors, "trunk.blocks.5.conv1.weight", path, 4)
        options |= {"width": len(first), "dimension": len(last), "features": "log1p"}
    else:
        options |= {"channels": len(need(tensors, "layers.0.weight", path, 4))}
    options["labels"] = _labels(folder, len(need(head, "head.weight", head_path, 2)))
    return Foreign("cnn14" if cnn14 else "conv2d", options, tensors | head, str(folder))


def _about_head(head: dict[str, Tensor], path: Path) -> dict[str, Any]:
    if any(re.match(r"head\.blocks\.(?![01]\.)", name) for name in head):
        raise InputError(
            f"'{path.name}' has several layers before its cosines, but Unbabble has at most one there."
        )
    if "head.bias" in head:
        return {"head": "linear"}
    hidden = head.get("head.blocks.1.weight")
    return {"head": "cosine", "hidden": len(hidden) if hidden is not None else 0}


def _bands(said: Hyperparameters) -> int:
    """Mel bands; 0 for the spectrum itself.

    Raises:
        InputError: features are not log(1 + magnitude), and what differs.
    """
    stft, filters = said.tagged("STFT"), {}
    mel = bool(said.resolve(said.content.get("use_melspectra"), False))
    wanted: list[tuple[dict[str, Any], str, Any, Any]] = [
        (said.content, "spec_mag_power", 0.5, 0.5),
        (stft, "n_fft", 1024, 400),
        (stft, "win_length", 23.2199, 25),
        (stft, "hop_length", 11.6099, 10),
    ]
    if mel:
        filters = said.tagged("Filterbank")
        wanted += [
            (said.content, "use_log1p_mel", True, False),
            (filters, "n_fft", 1024, 400),
            (filters, "filter_shape", "triangular", "triangular"),
            (filters, "f_min", 0, 0),
        ]
    for where, name, value, default in wanted:
        said.expect(where, name, value, default, "classifiers of sounds")
    return int(said.resolve(filters.get("n_mels"), 40)) if mel else 0


def _labels(folder: Path, classes: int) -> list[str]:
    """The names of the classes in the order of their numbers; numbers where no file names them.

    Raises:
        InputError: the file names other classes than there are.
    """
    path = folder / LABELS
    if not path.is_file():
        return [f"class {number}" for number in range(classes)]
    named = {
        int(number): name
        for name, number in re.findall(r"^'(.*)' => (\d+)\s*$", path.read_text(encoding="utf-8"), re.M)
        if name != "starting_index"
    }
    if sorted(named) != [*range(classes)]:
        raise InputError(f"'{LABELS}' does not name the {classes} classes that '{HEAD}' has.")
    return [named[number] for number in range(classes)]
