"""Networks that other toolkits trained: read from their files, as networks of ours.

- SpeechBrain's SepFormer: ``encoder.ckpt``, ``masknet.ckpt``, ``decoder.ckpt`` and ``hyperparams.yaml``; REAL-M's
  SI-SNR estimator: ``encoder.ckpt``, ``encoder_out.ckpt`` and ``hyperparams.yaml``.
- Asteroid's ConvTasNet and DPRNNTasNet: ``pytorch_model.bin``, or a single such file under any name.

Files of tensors are read with an unpickler that makes tensors, numbers, text and containers of these, and refuses
everything else; YAML as plain data, whatever its tags ask for. Nothing in them is ever executed.
"""

import os
from pathlib import Path
from typing import Any

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.errors import InputError
from unbabble.base.weights import describe_difference
from unbabble.networks.foreign.asteroid import FILE, open_asteroid
from unbabble.networks.foreign.reading import Foreign
from unbabble.networks.foreign.speechbrain import (
    is_estimator,
    is_speechbrain,
    open_estimator,
    open_speechbrain,
)
from unbabble.nn.kinds.network import Network

QUANTILES = "quantiles"
"""Of our scorers' intervals: other toolkits have none."""
__all__ = ["is_foreign", "load_foreign", "open_foreign"]


def is_foreign(place: str | os.PathLike[str]) -> bool:
    """Whether ``place`` is a folder in one of the layouts, or a file of tensors that is not safetensors."""
    path = Path(place)
    if path.is_dir():
        return is_speechbrain(path) or is_estimator(path) or (path / FILE).is_file()
    return path.is_file() and path.suffix in (".bin", ".pth", ".pt", ".ckpt")


def load_foreign(place: str | os.PathLike[str], **options: Any) -> Network:
    """The network in ``place``, ready for use.

    Args:
        place: a folder or file, see ``is_foreign``.
        options: of our network, in place of those that its files imply: ``precision="bfloat16"``, ``levels="kept"``.

    Raises:
        InputError: damaged, unsafe, or a network that Unbabble does not have, and what differs.
        UsageError: no such option.
    """
    method, implied, tensors, source = open_foreign(place)
    implied |= check_arguments(registry.method(method), options, f"Model '{place}'")
    network: Network = registry.create(method, **implied)
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    tensors = {name: each for name, each in network.state_dict().items() if name == QUANTILES} | tensors
    problem = describe_difference(source, {name: tuple(each.shape) for name, each in tensors.items()}, shapes)
    if problem:
        raise InputError(problem)
    network.load_state_dict(tensors)
    return network.eval()


def open_foreign(place: str | os.PathLike[str]) -> Foreign:
    """What is in ``place``, in our terms.

    Raises:
        InputError: damaged, unsafe, or a kind of network that Unbabble does not have.
    """
    path = Path(place)
    if path.is_dir() and is_speechbrain(path):
        return open_speechbrain(path)
    if path.is_dir() and is_estimator(path):
        return open_estimator(path)
    return open_asteroid(path / FILE if path.is_dir() else path)
