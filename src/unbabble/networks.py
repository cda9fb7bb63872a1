"""Networks with their weights, by name: packaged ones, a file, a folder, the Hugging Face Hub.

A folder in our layout is that of a repository on the Hub: ``model.safetensors``, ``config.json`` with its SHA-256,
and ``README.md``, the model card. Folders of other toolkits are ``unbabble.foreign``'s. Nothing is executed.
"""

import copy
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from unbabble.base import registry
from unbabble.base.config import check_arguments
from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.files import PARTIAL_SUFFIX
from unbabble.base.weights import SUFFIX, describe_mismatch, packaged, read_card, read_tensors
from unbabble.nn.separator import NeuralSeparator

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(r"(?:hub:)?(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")
HUB_FILES = ("*.safetensors", "*.json", "*.md", "*.yaml", "*.yml", "*.ckpt", "*.bin", "*.pth")
WEIGHTS_NAME, CONFIG_NAME, README_NAME = "model.safetensors", "config.json", "README.md"
LIBRARY = "unbabble"
KEPT_NETWORKS = 4
"""Networks that stay in memory once they are built: those that ``auto`` needs by turns, and one."""


def is_network(name: str) -> bool:
    """Whether ``name`` is that of a network, by its look alone: nothing is read or downloaded."""
    if name.endswith(SUFFIX) or name.startswith(HUB_PREFIX) or "/" in name:
        return True
    card = registry.cards().get(name.partition(".")[0])
    return card.network if card else Path(name).is_dir()


def locate(name: str) -> Path:
    """The file or folder that holds the weights called ``name``; fetched first where they are on the Hub.

    Raises:
        InputError: they are not there, or cannot be fetched.
        UsageError: no such model, a method that has no weights, or a network for which there are none yet.
    """
    if name.endswith(SUFFIX):
        return Path(name).expanduser()
    card = registry.cards().get(name.partition(".")[0])
    if card is None and (folder := Path(name).expanduser()).is_dir():
        return folder
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


def load_network(name: str, **options: Any) -> NeuralSeparator:
    """The network called ``name``, newly built, with its weights, on the CPU, ready to be used.

    Args:
        name: as ``conv_tasnet.two_talkers_8k``, a ``.safetensors`` file, a folder, or ``org/name[@revision]``.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model or option.
    """
    place = locate(name)
    if place.is_dir():
        if read_config(place).get("library_name") != LIBRARY:
            from unbabble.foreign import is_foreign, load_foreign

            if is_foreign(place):
                if options:
                    option = next(iter(options))
                    raise UsageError(f"'{name}' comes from another toolkit: it has no option '{option}'.")
                return load_foreign(place).eval()
        place = weights_in(place)
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
    return network.eval()


def ready(
    name: str, device: torch.device, *, reference: int = 0, sources: int | None = None, **options: Any
) -> NeuralSeparator:
    """The network called ``name`` on ``device``; built once, and handed out as a light copy that shares its weights.

    Args:
        name: as for ``load_network``.
        device: where to.
        reference: the microphone that is listened to.
        sources: how many voices are wanted of it, at most as many as it has.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model or option; more voices than it has.
    """
    place = locate(name)
    try:
        changed = max(path.stat().st_mtime_ns for path in [place, *place.glob("*")])
    except FileNotFoundError:
        raise InputError(f"There is no file '{place}'.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{place}': {error.strerror}.") from None
    network = copy.copy(_kept(name, place, changed, device, json.dumps(options, sort_keys=True)))
    if sources is not None and not 1 <= sources <= network.sources:
        raise UsageError(f"Model '{name}' gives at most {network.sources} sources, not {sources}.")
    network.reference, network.warnings = reference, []
    return network


@lru_cache(maxsize=KEPT_NETWORKS)
def _kept(name: str, place: Path, changed: int, device: torch.device, options: str) -> NeuralSeparator:
    return load_network(name, **json.loads(options)).to(device).requires_grad_(False)


def weights_in(folder: Path) -> Path:
    """The weights of a folder in our layout, checked against the SHA-256 that its ``config.json`` states.

    Raises:
        InputError: there are none, or they are not those that the configuration was written for.
    """
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"Folder '{folder}' holds no model: it has no {WEIGHTS_NAME}, and no other known layout."
        )
    expected = read_config(folder).get("sha256")
    if expected is not None and sha256(path) != expected:
        raise InputError(f"'{path}' is damaged or incomplete: its SHA-256 is not the one in {CONFIG_NAME}.")
    return path


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a folder; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise InputError(f"'{folder / CONFIG_NAME}' cannot be read as JSON.") from None
    return content if isinstance(content, dict) else {}


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


@contextmanager
def new_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder beside ``folder``; on success it gets that name, on failure it is removed.

    Where ``folder`` exists its other files stay, and those of the same name are replaced, the configuration last.

    Raises:
        OutputError: it cannot be written, or holds a model already and ``overwrite`` is not set.
    """
    staging = folder.with_name(f".{folder.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        if (
            any((folder / name).exists() for name in (WEIGHTS_NAME, CONFIG_NAME, README_NAME))
            and not overwrite
        ):
            raise OutputError(
                f"'{folder}' holds a model or a {README_NAME} already; --overwrite replaces it."
            )
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"Cannot write to folder '{folder}': it is a file.")
        staging.mkdir(parents=True)
        yield staging
        if folder.exists():
            for path in sorted(staging.iterdir(), key=lambda path: path.name == CONFIG_NAME):
                os.replace(path, folder / path.name)
        else:
            os.rename(staging, folder)
    except OSError as error:
        raise OutputError(f"Cannot write '{folder}': {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
