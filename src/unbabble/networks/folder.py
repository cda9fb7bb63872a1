"""A network as a folder, in the layout of a repository on the Hugging Face Hub.

``model.safetensors`` holds the weights and says by itself what they are; ``config.json`` says the same for others to
read, with the SHA-256 of the weights; ``README.md`` is the model card.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from unbabble.base import weights
from unbabble.base.errors import InputError, OutputError
from unbabble.base.files import as_utf8, partial_name, write_json
from unbabble.base.kinds import Kind
from unbabble.base.weights import WeightsCard
from unbabble.networks.cost import parameter_count
from unbabble.nn.kinds.network import Network

WEIGHTS_NAME, CONFIG_NAME, README_NAME = "model.safetensors", "config.json", "README.md"
NAMES = (WEIGHTS_NAME, CONFIG_NAME, README_NAME)
LIBRARY = "unbabble"
HUB_LICENCES = (
    "apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-4.0", "cc0-1.0",
    "gpl-3.0", "mit",
)  # fmt: skip
"""Names that the Hub has for licences; any other is ``other`` with a name of its own."""
TAGS = {
    "separator": ("speech-separation", "audio-source-separation"),
    "enhancer": ("speech-enhancement",),
    "extractor": ("target-speaker-extraction",),
    "embedder": ("speaker-embedding",),
}
"""By kind, the names that the Hub's users search for."""


def write_folder(
    folder: Path,
    network: Network,
    card: WeightsCard,
    *,
    title: str,
    source: Path | None = None,
    overwrite: bool = False,
) -> str:
    """Write weights, configuration and model card; all of them or nothing.

    Args:
        folder: where to.
        network: with its weights.
        card: what the weights are.
        title: under which name the model card tells users to load the network.
        source: a weights file to copy as it is, in place of the network's own weights in full precision.
        overwrite: replace a model that is there.

    Returns:
        SHA-256 of the weights.

    Raises:
        OutputError: it cannot be written, or there is a model already.
    """
    with new_folder(folder, overwrite) as staging:
        path = staging / WEIGHTS_NAME
        if source is None:
            weights.save(path, network.state_dict(), card)
        else:
            shutil.copyfile(source, path)
        digest = sha256(path)
        about = {"weights": WEIGHTS_NAME, "sha256": digest, "bytes": path.stat().st_size}
        about |= {"parameters": parameter_count(network)}
        write_json(staging / CONFIG_NAME, {"library_name": LIBRARY} | card.to_dict() | about)
        (staging / README_NAME).write_bytes(as_utf8(model_card(title, card, network)))
    return digest


@contextmanager
def new_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder beside ``folder``; on success it gets that name, on failure it is removed.

    Where ``folder`` exists its other files stay, and those of the same name are replaced, the configuration last.

    Raises:
        OutputError: it cannot be written, or holds a model already and ``overwrite`` is not set.
    """
    folder = Path(os.path.abspath(folder))
    staging = folder.with_name(partial_name(folder.name))
    taken = [name for name in NAMES if (folder / name).exists()]
    if taken and not overwrite:
        raise OutputError(f"Folder '{folder}' has a {taken[0]} already; --overwrite replaces it.")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"Cannot write to folder '{folder}': it is a file.")
    try:
        staging.mkdir(parents=True)
        yield staging
        if folder.exists():
            for path in sorted(staging.iterdir(), key=lambda path: path.name == CONFIG_NAME):
                os.replace(path, folder / path.name)
        else:
            os.rename(staging, folder)
    except OSError as error:
        raise OutputError(f"Cannot write folder '{folder}': {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def checked_weights(folder: Path) -> Path:
    """The weights in ``folder``, once their SHA-256 is found to be the one that its configuration states.

    Raises:
        InputError: there are none, or others.
    """
    path = weights_in(folder)
    expected = read_config(folder).get("sha256")
    if expected is not None and sha256(path) != expected:
        raise InputError(f"'{path}' is damaged or incomplete: its SHA-256 is not the one in {CONFIG_NAME}.")
    return path


def weights_in(folder: Path) -> Path:
    """The weights in ``folder``, unchecked.

    Raises:
        InputError: there are none.
    """
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(
            f"Folder '{folder}' holds no model: it has no {WEIGHTS_NAME}, and no other known layout."
        )
    return path


def is_ours(folder: Path) -> bool:
    """Whether ``folder`` has this layout, rather than that of another toolkit."""
    return folder.is_dir() and read_config(folder).get("library_name") == LIBRARY


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` in ``folder``; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / CONFIG_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise InputError(f"'{path}' cannot be read as JSON.") from None
    return content if isinstance(content, dict) else {}


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_card(title: str, card: WeightsCard, network: Network) -> str:
    """The README of a model: front matter for the Hub, then what a reader wants to know."""
    licence = re.sub(r"[\s_]+", "-", card.licence.strip().lower())
    kind = network.kind
    front: dict[str, Any] = {"library_name": LIBRARY}
    if kind.hub_task:
        front["pipeline_tag"] = kind.hub_task
    if licence in HUB_LICENCES:
        front["license"] = licence
    elif licence:
        front |= {"license": "other", "license_name": licence}
    front["tags"] = ["audio", "speech", *TAGS.get(kind.name, ()), card.method]
    if isinstance(datasets := card.training.get("datasets"), list):
        front["datasets"] = datasets
    if card.scores and kind.hub_task:
        front["metrics"] = sorted({metric for scores in card.scores.values() for metric in scores})
        front["model-index"] = [{"name": title, "results": _results(card, kind)}]
    training = {
        "Data": card.data,
        "Licence of the weights": card.licence,
        "Command": card.command and f"`{card.command}`",
    }
    training |= {"Seed": "" if card.seed is None else card.seed} | card.training
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        card.summary,
        f"It {kind.does}{_voices(network)}: {_hears(network)}{parameter_count(network):,} parameters; "
        f"a network `{card.method}` of [Unbabble](https://pypi.org/project/unbabble/).",
        _usage(title, kind),
        "## Scores",
        _table(card.scores) if card.scores else "None were stored with the weights.",
        "## Training",
        "\n".join(f"- {name}: {value}" for name, value in training.items() if value != "") or "Not stated.",
        "## Limits",
        card.limits or "Not stated.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _hears(network: Network) -> str:
    """What it is given, where that is sound."""
    return f"one microphone, {network.sample_rate / 1000:g} kHz, " if network.sample_rate else ""


def _voices(network: Network) -> str:
    """How many talkers it tells apart, where that is more than one."""
    return f" ({network.sources})" if network.sources > 1 else ""


def _usage(title: str, kind: Kind) -> str:
    command = f"```console\n$ {kind.command(title)}\n```\n\n" if kind.verb else ""
    python = f'{kind.name} = unbabble.load("{title}")'
    return f"## Use\n\n{command}```python\nimport unbabble\n\n{python}\n```"


def _table(scores: dict[str, dict[str, float]]) -> str:
    metrics = list(dict.fromkeys(metric for each in scores.values() for metric in each))
    rows = [["test set", *metrics], ["-", *("-" for _ in metrics)]]
    rows += [[name, *(f"{each[m]:g}" if m in each else "" for m in metrics)] for name, each in scores.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _results(card: WeightsCard, kind: Kind) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": kind.hub_task, "name": kind.name.capitalize()},
            "dataset": {"type": name, "name": name},
            "metrics": [{"type": metric, "value": value} for metric, value in scores.items()],
        }
        for name, scores in card.scores.items()
    ]
