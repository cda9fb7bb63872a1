"""The Hugging Face Hub: names of its repositories, what is fetched from them, what is put into them."""

import re
from functools import cache, partial
from pathlib import Path

from unbabble.base.errors import InputError, OutputError

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(r"(?:hub:)?(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")
SAFE_FILES = ("*.safetensors", "*.json", "*.txt", "*.md", "*.yaml", "*.yml")
OTHER_FILES = ("*.ckpt", "*.bin", "*.pth")
"""Of tensors; fetched where a repository has no safetensors: many have both, of several gigabytes each."""
TWICE = ("*fp32*",)
"""Weights that are there in half precision, too."""


def looks_like_hub(name: str) -> bool:
    """Whether ``name`` has the look of a repository, ``hub:org/name`` or ``org/name``; a folder may have it too."""
    return name.startswith(HUB_PREFIX) or "/" in name


def fetched(name: str) -> Path:
    """The folder that holds the repository called ``name``, as ``hub:org/name@revision``.

    Raises:
        InputError: not such a name, not there, not allowed, or no network.
    """
    named = HUB_NAME.fullmatch(name)
    if named is None:
        raise InputError(
            f"There is no folder '{name}', nor is that a name on the Hugging Face Hub (org/name)."
        )
    return download(named["repository"], named["revision"])


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
        fetch = partial(snapshot_download, repository, revision=revision, ignore_patterns=list(TWICE))
        folder = Path(fetch(allow_patterns=list(SAFE_FILES)))
        if any(folder.glob("*.safetensors")):
            return folder
        return Path(fetch(allow_patterns=[*SAFE_FILES, *OTHER_FILES]))
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
