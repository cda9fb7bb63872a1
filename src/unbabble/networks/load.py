"""Networks with their weights, by name: packaged ones, a file, a folder, the Hugging Face Hub."""

import copy
import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.contracts import Counter
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.weights import SUFFIX, WeightsCard, describe_mismatch, packaged, read_card, read_tensors
from unbabble.networks.folder import checked_weights, is_ours
from unbabble.networks.foreign import is_foreign, load_foreign
from unbabble.networks.onnx import Runtime, with_runtime
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.nn.kinds.separator import NeuralSeparator

FILE_SUFFIXES = (SUFFIX, ".bin", ".pth", ".pt", ".ckpt")
HUB_PREFIX = "hub:"
HUB_NAME = re.compile(r"(?:hub:)?(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")
HUB_FILES = ("*.safetensors", "*.json", "*.md", "*.yaml", "*.yml", "*.ckpt", "*.bin", "*.pth")
KEPT_NETWORKS = 4
"""Networks that stay in memory once they are built: those that ``auto`` needs by turns, and one."""


def is_network(name: str) -> bool:
    """Whether ``name`` is that of a network, by its look alone: nothing is read or downloaded."""
    if name.endswith(FILE_SUFFIXES) or name.startswith(HUB_PREFIX) or "/" in name:
        return True
    card = registry.cards().get(name.partition(".")[0])
    return bool(card and card.network) or _is_folder(name)


def _is_folder(name: str) -> bool:
    """Whether ``name`` is a folder, and no method is called so."""
    return name not in registry.cards() and name not in registry.models() and Path(name).expanduser().is_dir()


def locate(name: str) -> Path:
    """The file or folder that holds the weights called ``name``; fetched first where they are on the Hub.

    Raises:
        InputError: they are not there, or cannot be fetched.
        UsageError: no such model, a method that has no weights, or a network for which there are none yet.
    """
    if name.endswith(FILE_SUFFIXES):
        return Path(name).expanduser()
    if _is_folder(name):
        return Path(name).expanduser()
    if name.startswith(HUB_PREFIX) or "/" in name:
        named = HUB_NAME.fullmatch(name)
        if named is None:
            raise InputError(
                f"There is no folder '{name}', nor is that a name on the Hugging Face Hub (org/name)."
            )
        return download(named["repository"], named["revision"])
    card, tag = registry.find(name)
    if not card.network:
        raise UsageError(f"Model '{name}' has no weights: it learns from the recording itself.")
    if not tag:
        raise UsageError(
            f"There are no weights for '{card.name}' yet: train them with `unbabble train`, or name a "
            "file, a folder or a Hub id (org/name) that has some."
        )
    return packaged()[f"{card.name}.{tag}"]


@dataclass(frozen=True)
class Weighted:
    """A network with its weights.

    Attributes:
        network: on the CPU, ready to be used.
        card: what the weights are.
        path: their file; None for those of other toolkits.
    """

    network: Network
    card: WeightsCard
    path: Path | None = None


def load_network(name: str, **options: Any) -> Weighted:
    """The network called ``name``, newly built, with its weights.

    Args:
        name: as ``conv_tasnet.2talkers_8k``, a file, a folder, or ``org/name[@revision]``.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model or option.
    """
    place = locate(name)
    if is_foreign(place) and not is_ours(place):
        network = load_foreign(place, **options)
        method: Any = type(network)
        card = WeightsCard(method.card.name, network.resolved_options(), f"From '{name}'.")
        return Weighted(network.eval(), card)
    if place.is_dir():
        place = checked_weights(place)
    card = read_card(place)
    known = registry.cards().get(card.method)
    if known is None or not known.network:
        raise InputError(
            f"'{place.name}' holds weights of '{card.method}', a network that this version does not have."
        )
    method = registry.method(card.method)
    given = check_arguments(method, options, f"Model '{name}'")
    try:
        network = method(**check_arguments(method, card.options, f"The card in '{place.name}'") | given)
    except UsageError as error:
        if given:
            raise
        raise InputError(str(error)) from None
    if difference := describe_mismatch(place, network.state_dict()):
        changed = f" with {', '.join(given)} changed" if given else ""
        raise InputError(f"The weights do not fit {card.method}{changed}: {difference}")
    network.load_state_dict(read_tensors(place))
    return Weighted(network.eval(), card, place)


def load_separator(name: str, **options: Any) -> tuple[NeuralSeparator, Weighted]:
    """As ``load_network``, for what separates.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model or option, or one that does something else.
    """
    found = load_network(name, **options)
    if not isinstance(found.network, NeuralSeparator):
        raise UsageError(f"Model '{name}' does not separate: its kind is {found.network.card.contract}.")
    return found.network, found


def ready(
    name: str,
    device: torch.device,
    *,
    runtime: Runtime = "auto",
    reference: int = 0,
    sources: int | None = None,
    **options: Any,
) -> NeuralSeparator:
    """The network called ``name`` on ``device``; built once, and handed out as a light copy that shares its weights.

    Args:
        name: as for ``load_network``.
        device: where to.
        runtime: what computes it, see ``networks.onnx.with_runtime``.
        reference: the microphone that is listened to.
        sources: how many voices are wanted of it, at most as many as it has.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        MissingExtraError: ``onnx`` without its extra.
        UsageError: no such model or option; more voices than it has; a runtime that does not fit.
    """
    place = locate(name)
    try:
        changed = max(path.stat().st_mtime_ns for path in [place, *place.glob("*")])
    except FileNotFoundError:
        raise InputError(f"There is no file '{place}'.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{place}': {error.strerror}.") from None
    network = copy.copy(_kept(name, place, changed, device, runtime, json.dumps(options, sort_keys=True)))
    if sources is not None and not 1 <= sources <= network.sources:
        raise UsageError(f"Model '{name}' gives at most {network.sources} sources, not {sources}.")
    network.reference, network.warnings = reference, []
    return network


@lru_cache(maxsize=KEPT_NETWORKS)
def _kept(
    name: str, place: Path, changed: int, device: torch.device, runtime: Runtime, options: str
) -> NeuralSeparator:
    network, _ = load_separator(name, **json.loads(options))
    return with_runtime(network.to(device).requires_grad_(False), runtime)


@cache
def counter(name: str, device: torch.device) -> Counter:
    """The packaged network called ``name``, which counts talkers, on ``device``."""
    return load_network(name).network.to(device).requires_grad_(False)


@lru_cache(maxsize=2)
def scorer(name: str, device: torch.device) -> NeuralScorer:
    """The network called ``name``, which scores separations, on ``device``.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model, or one that does something else.
    """
    network = load_network(name).network
    if not isinstance(network, NeuralScorer):
        raise UsageError(f"Model '{name}' does not score: its kind is {network.card.contract}.")
    return network.to(device).requires_grad_(False)


@cache
def download(repository: str, revision: str | None = None) -> Path:
    """Fetch a repository of the Hugging Face Hub into its cache; what is there already is not fetched again.

    An interrupted download goes on where it stopped. Without a network, what the cache has is taken.

    Raises:
        InputError: not there, not allowed, or no network.
    """
    from huggingface_hub import errors, snapshot_download

    at = f"'{repository}'" + (f" at revision '{revision}'" if revision else "")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(HUB_FILES)))
    except errors.GatedRepoError:
        reason = "its owners want to be asked first; accept their terms on its page, then `hf auth login`"
    except errors.RepositoryNotFoundError:
        reason = "there is no such repository, or it is private (`hf auth login`)"
    except errors.RevisionNotFoundError:
        reason = "there is no such revision"
    except errors.LocalEntryNotFoundError:
        reason = "the Hub cannot be reached, and it was not downloaded before"
    except Exception as error:  # whatever its HTTP library raises, which differs between versions
        reason = first_line(error)
    raise InputError(
        f"There is no folder {at}, and it cannot be fetched from the Hugging Face Hub: {reason}."
    )


def upload(folder: Path, repository: str, private: bool = False) -> str:
    """Put the files of ``folder`` into a repository of the Hugging Face Hub, which is made if need be.

    Returns:
        Its address.

    Raises:
        OutputError: not logged in, not allowed, or no network.
    """
    from huggingface_hub import HfApi, errors

    try:
        api = HfApi()
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Push with Unbabble")
        return str(address)
    except (errors.LocalTokenNotFoundError, errors.HfHubHTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 401)
        reason = (
            "you may not write there; `hf auth login` first" if status in (401, 403) else first_line(error)
        )
    except Exception as error:  # whatever its HTTP library raises, which differs between versions
        reason = first_line(error)
    raise OutputError(f"Cannot push to '{repository}' on the Hugging Face Hub: {reason}.")


def first_line(error: BaseException) -> str:
    """What an error says first, to stand within a sentence."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line.strip().rstrip(".")
