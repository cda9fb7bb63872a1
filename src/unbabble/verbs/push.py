"""``unbabble push``: a network with its weights and a model card, as a folder or a repository of the Hub."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unbabble.base import registry
from unbabble.base.errors import UsageError
from unbabble.base.files import check_output
from unbabble.base.report import Result
from unbabble.verbs.frame import say
from unbabble.verbs.options import Overwrite

if TYPE_CHECKING:
    from unbabble.networks.load import Weighted
    from unbabble.nn.kinds.network import Network


@dataclass
class Transfer(Result):
    """What was pushed or pulled.

    Attributes:
        model: which network.
        target: folder, or address of the repository.
        sha256: of the weights.
    """

    model: str
    target: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.model} is in {self.target} (SHA-256 {self.sha256[:16]}...)"


def push(
    name: str, target: str, /, *, private: bool = False, overwrite: Overwrite = False, quiet: bool = False
) -> Transfer:
    """Write a network as the Hugging Face Hub has them: weights, how to build it, and a model card.

    Args:
        name: The network: conv_tasnet.2talkers_8k, a .safetensors file, a folder, or org/name on the Hub.
        target: A folder, or hub:org/name for a repository on the Hugging Face Hub.
        private: Make the repository on the Hub a private one.
        overwrite: Replace the model that is in the folder.
        quiet: Say nothing.

    Raises:
        InputError: weights that cannot be used.
        OutputError: the target cannot be written.
        UsageError: no such network, or a name that the Hub does not take.
    """
    from unbabble.networks.folder import write_folder
    from unbabble.networks.hub import HUB_PREFIX, upload

    if not target.startswith(HUB_PREFIX):
        if private:
            raise UsageError("Only a repository on the Hugging Face Hub (hub:org/name) can be private.")
        return copy_network(name, Path(target), overwrite, quiet)
    repository = target.removeprefix(HUB_PREFIX)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(f"A repository on the Hugging Face Hub is hub:org/name, not '{target}'.")
    loaded = network_called(name)
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        folder = Path(spool) / "model"
        digest = write_folder(folder, loaded.network, loaded.card, title=repository, source=loaded.path)
        result = Transfer(name, upload(folder, repository, private), digest)
    say(str(result), quiet)
    return result


def copy_network(name: str, folder: Path, overwrite: bool, quiet: bool) -> Transfer:
    """Write the network called ``name`` into ``folder``, and say so.

    Raises:
        InputError, OutputError, UsageError: as ``push``.
    """
    from unbabble.networks.folder import WEIGHTS_NAME, write_folder

    folder = folder.expanduser()
    check_output(folder / WEIGHTS_NAME)
    loaded = network_called(name)
    digest = write_folder(
        folder, loaded.network, loaded.card, title=str(folder), source=loaded.path, overwrite=overwrite
    )
    result = Transfer(name, str(folder), digest)
    say(str(result), quiet)
    return result


def network_called(name: str) -> "Weighted[Network]":
    """The network called ``name``, with its weights.

    Raises:
        InputError: weights that cannot be used.
        UsageError: no such network, a model that is none, or a network that another library computes.
    """
    from unbabble.networks.load import load
    from unbabble.nn.kinds.network import Network

    loaded = load(name)
    if not isinstance(loaded.network, Network):
        raise UsageError(f"'{name}' is no network: its file can be copied as it is.")
    if loaded.network.card.name not in registry.cards():
        raise UsageError(f"Model '{name}' is another library's: share its files as they are.")
    return loaded
