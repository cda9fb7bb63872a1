"""Networks with their weights, by name and kind: packaged ones, a file, a folder, the Hugging Face Hub."""

import copy
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

import torch

from unbabble.base import registry
from unbabble.base.config import check_arguments, check_names
from unbabble.base.errors import InputError, UsageError
from unbabble.base.kinds import Kind, wrong_kind
from unbabble.base.weights import SUFFIX, WeightsCard, describe_mismatch, packaged, read_card, read_tensors
from unbabble.networks import hub
from unbabble.networks.folder import checked_weights, is_ours, weights_in
from unbabble.networks.foreign import is_foreign, kinds_in, load_foreign
from unbabble.networks.foreign.by_ctranslate2 import by_ctranslate2
from unbabble.networks.onnx import Runtime, with_runtime
from unbabble.nn.kinds.counter import NeuralCounter
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.nn.kinds.extractor import NeuralExtractor
from unbabble.nn.kinds.network import Network
from unbabble.nn.kinds.scorer import NeuralScorer
from unbabble.nn.kinds.segmenter import NeuralSegmenter
from unbabble.nn.kinds.separator import NeuralSeparator

FILE_SUFFIXES = (SUFFIX, ".bin", ".pth", ".pt", ".ckpt")
KEPT_NETWORKS = 8
"""Networks that stay in memory once they are built: those that ``auto`` needs by turns, what counts and scores for it,
and one."""
AnyRuntime: TypeAlias = Runtime | Literal["ctranslate2"]
N = TypeVar("N", covariant=True)


def is_network(name: str) -> bool:
    """Whether ``name`` is that of a network, by its look alone: nothing is read or downloaded."""
    card = registry.cards().get(name.partition(".")[0])
    return _lies_elsewhere(name) or bool(card and card.network)


def _lies_elsewhere(name: str) -> bool:
    """Whether ``name`` is that of weights which did not come with the installation: a file, a folder, the Hub."""
    return name.endswith(FILE_SUFFIXES) or hub.looks_like_hub(name) or _is_folder(name)


def _is_folder(name: str) -> bool:
    """Whether ``name`` is a folder, and no method is called so."""
    return (
        bool(name)
        and name not in registry.cards()
        and name not in registry.models()
        and Path(name).expanduser().is_dir()
    )


def locate(name: str) -> Path:
    """The file or folder that holds the weights called ``name``; fetched first where they are on the Hub.

    Raises:
        InputError: they are not there, or cannot be fetched.
        UsageError: no such model, a method that has no weights, or a network for which there are none yet.
    """
    if name.endswith(FILE_SUFFIXES) or _is_folder(name):
        return Path(name).expanduser()
    if Path(name).is_file():
        raise InputError(f"'{name}' is no model: weights are a .safetensors file, a folder, or on the Hub.")
    if hub.looks_like_hub(name):
        return hub.fetched(name)
    card, tag = registry.find(name)
    if not card.has_weights:
        raise UsageError(f"Model '{name}' has no weights: it {card.kinds({})[0].does} without any.")
    if not tag:
        how = "train them with `unbabble train`" if card.network else "make them by `unbabble language-model`"
        raise UsageError(
            f"There are no weights for '{card.name}' yet: {how}, or name a "
            "file, a folder or a Hub id (org/name) that has some."
        )
    return packaged()[f"{card.name}.{tag}"]


@dataclass(frozen=True)
class Weighted(Generic[N]):
    """A network with its weights.

    Attributes:
        network: on the CPU, ready to be used.
        card: what the weights are.
        kind: what the caller needs it for.
        path: their file; None for those of other toolkits.
    """

    network: N
    card: WeightsCard
    kind: Kind
    path: Path | None = None


_Voices = Literal["separator", "enhancer"]


@overload
def load(name: str, /, **options: Any) -> Weighted[Network]: ...
@overload
def load(name: str, wanted: _Voices, /, *others: _Voices, **options: Any) -> Weighted[NeuralSeparator]: ...
@overload
def load(name: str, wanted: Literal["extractor"], /, **options: Any) -> Weighted[NeuralExtractor]: ...
@overload
def load(name: str, wanted: Literal["scorer"], /, **options: Any) -> Weighted[NeuralScorer]: ...
@overload
def load(name: str, wanted: Literal["embedder"], /, **options: Any) -> Weighted[NeuralEmbedder]: ...
@overload
def load(name: str, wanted: Literal["counter"], /, **options: Any) -> Weighted[NeuralCounter]: ...
@overload
def load(name: str, wanted: Literal["segmenter"], /, **options: Any) -> Weighted[NeuralSegmenter]: ...
@overload
def load(name: str, wanted: str, /, *others: str, **options: Any) -> Weighted[Any]: ...
def load(name: str, /, *wanted: str, **options: Any) -> Weighted[Any]:
    """The network called ``name``, newly built, with its weights.

    Args:
        name: as ``conv_tasnet.2talkers_8k``, a file, a folder, or ``org/name[@revision]``.
        wanted: what it has to be, one of these (``base.kinds``); any will do where none is named.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        UsageError: no such model or option, or a model of another kind.
    """
    kind = check_kind(name, *wanted)
    place = locate(name)
    if _is_theirs(place):
        network = load_foreign(place, **options)
        card = WeightsCard(network.card.name, network.resolved_options(), f"From '{name}'.")
        return Weighted(network.eval(), card, kind)
    if place.is_dir():
        place = checked_weights(place)
    card = read_card(place)
    known = _method(card, place)
    method = registry.method(known.name)
    if known.counted:
        check_names(options, [], f"Model '{name}'")
        return Weighted(method.read(place), card, kind, place)
    given = check_arguments(method, options, f"Model '{name}'")
    try:
        network = method(**check_arguments(method, card.options, f"The card in '{place.name}'") | given)
    except UsageError as error:
        if given:
            raise
        raise InputError(str(error)) from None
    except (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError) as error:
        if not given:
            raise
        changed = ", ".join(f"{option}={value}" for option, value in given.items())
        raise UsageError(f"Model '{name}' cannot be built with {changed}.") from error
    if difference := describe_mismatch(place, network.state_dict()):
        changed = f" with {', '.join(given)} changed" if given else ""
        raise InputError(f"The weights do not fit {card.method}{changed}: {difference}")
    network.load_state_dict(read_tensors(place))
    network.eval()
    return Weighted(network if kind == network.kind else network.acting_as(kind.name), card, kind, place)


def kinds_of(name: str) -> tuple[Kind, ...]:
    """What the model called ``name`` can do, its own kind first, whether it is a network or not.

    Nothing but the header is read of our weights.

    Raises:
        InputError: the weights are missing or damaged.
        UsageError: no such model.
    """
    if not _lies_elsewhere(name):
        return registry.kinds_of(name)
    card, place = card_of(name), locate(name)
    return kinds_in(place) if card is None else _method(card, place).kinds(card.options)


def card_of(name: str) -> WeightsCard | None:
    """What the weights called ``name`` say of themselves; None for those of other toolkits. Nothing else is read.

    Raises:
        InputError: the weights are missing or damaged.
        UsageError: no such model.
    """
    place = locate(name)
    if _is_theirs(place):
        return None
    return read_card(weights_in(place) if place.is_dir() else place)


def check_kind(name: str, *wanted: str) -> Kind:
    """The one of the kinds ``wanted`` that the model called ``name`` is of; its own where none is named.

    Raises:
        InputError: the weights are missing or damaged.
        UsageError: no such model, or one of another kind; the sentence says what it is for.
    """
    kinds = kinds_of(name)
    for kind in kinds:
        if not wanted or kind.name in wanted:
            return kind
    raise UsageError(wrong_kind(name, kinds[0], wanted[0]))


def _method(card: WeightsCard, place: Path) -> registry.Card:
    """The method that the weights in ``place`` are of.

    Raises:
        InputError: a network that this version does not have.
    """
    known = registry.cards().get(card.method)
    if known is None or not known.has_weights:
        raise InputError(
            f"'{place.name}' holds weights of '{card.method}', a network that this version does not have."
        )
    return known


def _is_theirs(place: Path) -> bool:
    """Whether another toolkit wrote what is there."""
    return is_foreign(place) and not is_ours(place)


@overload
def ready(name: str, device: torch.device, wanted: Literal["scorer"], /, **options: Any) -> NeuralScorer: ...
@overload
def ready(
    name: str, device: torch.device, wanted: Literal["counter"], /, **options: Any
) -> NeuralCounter: ...
@overload
def ready(
    name: str, device: torch.device, /, *wanted: str, runtime: AnyRuntime = ..., **options: Any
) -> Any: ...
def ready(
    name: str, device: torch.device, /, *wanted: str, runtime: AnyRuntime = "torch", **options: Any
) -> Any:
    """The network called ``name`` on ``device``; built once, and handed out as a light copy that shares its weights.

    Args:
        name: as for ``load``.
        device: where to.
        wanted: as for ``load``.
        runtime: what computes it, see ``networks.onnx.with_runtime``; ``ctranslate2`` for Whisper.
        options: of the constructor, in place of those with which it was trained.

    Raises:
        InputError: the weights are missing, damaged, or those of another architecture.
        MissingExtraError: ``onnx`` or ``ctranslate2`` without its extra.
        UsageError: no such model or option, a model of another kind, or a runtime that does not fit.
    """
    if not _lies_elsewhere(name):
        check_kind(name, *wanted)  # which says what it is for
    place, changed = locate(name), last_change(name)
    return copy.copy(
        _kept(name, wanted, place, changed, device, runtime, json.dumps(options, sort_keys=True))
    )


def last_change(name: str) -> int:
    """When the weights called ``name`` were last written to, in ns, whatever time their files are said to be of.

    Raises:
        InputError: they are not there, or cannot be read.
        UsageError: no such model.
    """
    place = locate(name)
    try:
        stats = [path.stat() for path in [place, *place.glob("*")]]
    except FileNotFoundError:
        raise InputError(f"There is no file '{place}'.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{place}': {error.strerror}.") from None
    return max(max(each.st_mtime_ns, each.st_ctime_ns) for each in stats)


@lru_cache(maxsize=KEPT_NETWORKS)
def _kept(
    name: str,
    wanted: tuple[str, ...],
    place: Path,
    changed: int,
    device: torch.device,
    runtime: AnyRuntime,
    options: str,
) -> Network:
    network: Any = load(name, *wanted, **json.loads(options)).network
    if runtime == "ctranslate2":
        return by_ctranslate2(network).to(device)
    network = network.to(device).requires_grad_(False)
    return network if runtime == "torch" else with_runtime(network, runtime)
