"""``unbabble models``: what there is, and all about one. The listing imports no method, nor torch."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unbabble.base import registry
from unbabble.base.config import keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.base.kinds import Kind
from unbabble.base.registry import Card
from unbabble.base.report import Result
from unbabble.verbs.frame import show, stdout
from unbabble.verbs.options import check_choice

UNTRAINED, TRAINED = "none yet: unbabble train", "best.safetensors"


@dataclass
class Listing(Result):
    """What was listed, by model."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return dict(self.models)


def models(
    action: Literal["list", "info"] = "list", name: str | None = None, /, *, quiet: bool = False
) -> Listing:
    """List the models; `models info NAME` tells all about one: options, and of weights data, licence and scores.

    Args:
        action: list, or info.
        name: The model to tell about, as auxiva or auxiva.ipa; of a network also a weights file or a folder.
        quiet: Print the names alone.

    Raises:
        InputError: `info` of weights that cannot be read.
        UsageError: `info` without a name, or of a model that does not exist.
    """
    check_choice("What is to be done", action, "list", "info")
    console = stdout()
    if action == "info":
        if name is None:
            raise UsageError("Name a model: unbabble models info NAME.")
        card, method, weights = about(name)
        kinds = _kinds(name)
        _print_card(console, name, card, kinds, known := options(method), weights)
        described = _plain(card) | {"contract": kinds[0].name, "options": known}
        return Listing({name: described | ({"weights": weights} if weights else {})})
    if name is not None:
        raise UsageError(f"To know about one model: unbabble models info {name}.")
    cards = registry.cards()
    if quiet:
        for model in registry.models():
            console.print(model)
    else:
        _print_table(cards)
    return Listing({card.name: _plain(card) for card in cards.values()})


def options(method: type) -> dict[str, dict[str, str]]:
    """The options of a model: type, default and help, from its constructor's signature and docstring.

    What has no default, or is no plain value, is given by the program, and is no option.
    """
    help_texts: dict[str, str] = {}
    for cls in reversed(method.__mro__):
        help_texts |= _argument_help(inspect.cleandoc(cls.__doc__ or ""))
        help_texts |= _argument_help(inspect.cleandoc(cls.__init__.__doc__ or ""))
    described = {}
    for each in keyword_parameters(method).values():
        if each.name == "tag" or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            continue
        kind = "" if each.annotation is each.empty else inspect.formatannotation(each.annotation)
        if each.default is each.empty or "Callable" in kind:
            continue
        described[each.name] = {
            "type": kind,
            "default": str(each.default),
            "help": help_texts.get(each.name, ""),
        }
    return described


def about(name: str) -> tuple[Card, type, dict[str, Any]]:
    """The card and class of a model, and what its weights say of themselves, with their size, if it has any.

    Raises:
        InputError: they cannot be read.
        UsageError: no such model.
    """
    if name in registry.cards() or (name in registry.models() and not registry.find(name)[0].has_weights):
        return registry.find(name)[0], registry.method(name), {}
    from unbabble.networks.cost import parameter_count
    from unbabble.networks.folder import sha256
    from unbabble.networks.load import load

    loaded = load(name)
    size = (
        {"n-grams": loaded.network.ngrams.size}
        if loaded.network.card.counted
        else {"parameters": parameter_count(loaded.network)}
    )
    if loaded.path is not None:
        size |= {"bytes": loaded.path.stat().st_size, "sha256": sha256(loaded.path)}
    return loaded.network.card, type(loaded.network), loaded.card.to_dict() | size


def _argument_help(docstring: str) -> dict[str, str]:
    """The entries under ``Args:`` of a Google-style docstring."""
    texts: dict[str, str] = {}
    name, inside = "", False
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside = line.strip() == "Args:"
        elif inside and indent == 4 and ":" in line:
            name, _, text = line.strip().partition(":")
            name = name.split(" ")[0]
            texts[name] = text.strip()
        elif inside and name and line.strip():
            texts[name] += f" {line.strip()}"
    return texts


def _plain(card: Card) -> dict[str, Any]:
    return {
        "contract": card.contract,
        "models": list(card.models),
        "summary": card.summary,
        "citation": card.citation,
    }


def _print_table(cards: dict[str, Card]) -> None:
    """Methods that learn from the recording itself, then networks."""
    from rich.table import Table

    table = Table(
        "method", "kind", "models, the first is the default", "what it does", box=None, pad_edge=False
    )
    for card in sorted(cards.values(), key=lambda card: card.network):
        table.add_row(card.name, card.contract, _models(card), card.summary)
    show(table)


def _models(card: registry.Card) -> str:
    """Their names, or how to get one; a text encoder learns within other networks alone."""
    if card.models:
        return ", ".join(card.models)
    return "none yet" if card.contract == "text encoder" else UNTRAINED


def _kinds(name: str) -> tuple[Kind, ...]:
    """What the model called ``name`` can do, its own kind first; files and folders are read only where named."""
    if name in registry.cards() or name in registry.models():
        return registry.kinds_of(name)
    from unbabble.networks.load import kinds_of

    return kinds_of(name)


def _print_card(
    console: Any,
    name: str,
    card: Card,
    kinds: Sequence[Kind],
    about: dict[str, dict[str, str]],
    weights: dict[str, Any],
) -> None:
    console.print(f"{card.name}: {card.summary}\n")
    if card.name in registry.cards():
        console.print(f"Models:   {_models(card)}")
    for kind in kinds:
        console.print(f"Kind:     {kind.name}: it {kind.does}")
        if kind.verb:
            trained = bool(weights or card.models or not card.has_weights)
            console.print(f"Use:      {kind.command(name if trained else f'runs/{name}/{TRAINED}')}")
    console.print(f"Citation: {card.citation}\n")
    if weights:
        _print_weights(console, weights)
    if about:
        console.print("Options (--set NAME=VALUE, or load(..., NAME=VALUE)):")
    for option_name, option in about.items():
        trained = weights.get("options", {}).get(option_name, option["default"])
        console.print(f"  {option_name} ({option['type']}) = {trained}")
        if option["help"]:
            console.print(f"      {option['help']}")


def _print_weights(console: Any, weights: dict[str, Any]) -> None:
    """The card of the weights: what is stated, and the scores as a table."""
    from rich.table import Table

    if weights["summary"]:
        console.print(f"{weights['summary']}\n")
    lines = {"Data": "data", "Licence": "licence", "Command": "command", "Seed": "seed", "Limits": "limits"}
    shown = {label: weights[name] for label, name in lines.items() if weights[name] not in ("", None)}
    shown |= {"Training": ", ".join(f"{name} {value}" for name, value in weights["training"].items())}
    size = f", {weights['bytes'] / 1e6:.2f} MB" if "bytes" in weights else ""
    parts = next(f"{weights[part]:,} {part}" for part in ("parameters", "n-grams") if part in weights)
    shown |= {"Size": f"{parts}{size}", "SHA-256": weights.get("sha256")}
    for label, value in shown.items():
        if value not in ("", None):
            console.print(f"{label + ':':<9} {value}")
    if scores := weights["scores"]:
        metrics = list(dict.fromkeys(metric for each in scores.values() for metric in each))
        table = Table("scores on", *metrics, box=None, pad_edge=False)
        for name, each in scores.items():
            table.add_row(name, *(f"{each[metric]:g}" if metric in each else "" for metric in metrics))
        console.print()
        console.print(table)
    console.print()
