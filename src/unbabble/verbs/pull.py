"""``unbabble pull``: a network from the Hugging Face Hub, or from a folder, into a folder of one's own."""

from pathlib import Path

from unbabble.base.errors import UsageError
from unbabble.verbs.options import Out, Overwrite, as_path
from unbabble.verbs.push import Transfer, copy_network


def pull(
    source: str, /, *, out: Out | None = None, overwrite: Overwrite = False, quiet: bool = False
) -> Transfer:
    """Fetch a network from the Hugging Face Hub; its weights are checked before they get their name.

    An interrupted download goes on where it stopped. Weights of SpeechBrain and Asteroid become safetensors.

    Args:
        source: org/name or org/name@revision on the Hub, or a folder.
        out: Folder to write; by default one in this place, called like the repository.
        overwrite: Replace the model that is in the folder.
        quiet: Say nothing.

    Raises:
        InputError: there is no such thing, it cannot be fetched, or its weights are damaged.
        OutputError: the folder cannot be written.
        UsageError: the name of a model that needs no fetching.
    """
    from unbabble.networks.hub import HUB_PREFIX, looks_like_hub

    out = as_path(out)
    if not (looks_like_hub(source) or Path(source).is_dir()):
        raise UsageError(f"'{source}' is neither a folder nor a name on the Hugging Face Hub (org/name).")
    folder = out or Path(source.removeprefix(HUB_PREFIX).partition("@")[0]).name
    return copy_network(source, Path(folder), overwrite, quiet)
