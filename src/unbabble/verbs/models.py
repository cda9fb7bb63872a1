"""``unbabble models``: what there is, and all about one. The listing imports no method."""

import inspect
from dataclasses import dataclass, field
from typing import Any, Literal

from unbabble.base import registry
from unbabble.base.config import keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.base.registry import Card


@dataclass
class Listing:
    """What was listed, by model."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return dict(self.models)


def models(
    action: Literal["list", "info"] = "list", name: str | None = None, /, *, quiet: bool = False
) -> Listing:
    """List the models; `models info NAME` tells all about one, with its options.

    Args:
        action: list, or info.
        name: The model to tell about, as auxiva or auxiva.ipa.
        quiet: Print the names alone.

    Raises:
        UsageError: `info` without a name, or of a model that does not exist.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if action == "info":
        if name is None:
            raise UsageError("Name a model: unbabble models info NAME.")
        card, _ = registry.find(name)
        _print_card(console, card, about := options(name))
        return Listing({name: _plain(card) | {"options": about}})
    if name is not None:
        raise UsageError(f"To know about one model: unbabble models info {name}.")
    cards = registry.cards()
    if quiet:
        for model in registry.models():
            console.print(model)
    else:
        _print_table(cards)
    return Listing({card.name: _plain(card) for card in cards.values()})


def options(name: str) -> dict[str, dict[str, str]]:
    """The options of a model: type, default and help, from its constructor's signature and docstring."""
    method = registry.method(name)
    help_texts: dict[str, str] = {}
    for cls in reversed(method.__mro__):
        help_texts |= _argument_help(inspect.cleandoc(cls.__doc__ or ""))
        help_texts |= _argument_help(inspect.cleandoc(cls.__init__.__doc__ or ""))
    found = {}
    for each in keyword_parameters(method).values():
        if each.name == "tag" or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            continue
        kind = "" if each.annotation is each.empty else inspect.formatannotation(each.annotation)
        default = "" if each.default is each.empty else str(each.default)
        found[each.name] = {"type": kind, "default": default, "help": help_texts.get(each.name, "")}
    return found


def _argument_help(docstring: str) -> dict[str, str]:
    """The entries under ``Args:`` of a Google-style docstring."""
    found: dict[str, str] = {}
    name, inside = "", False
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent == 0:
            inside = line.strip() == "Args:"
        elif inside and indent == 4 and ":" in line:
            name, _, text = line.strip().partition(":")
            name = name.split(" ")[0]
            found[name] = text.strip()
        elif inside and name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def _plain(card: Card) -> dict[str, Any]:
    return {
        "contract": card.contract,
        "models": list(card.models),
        "summary": card.summary,
        "citation": card.citation,
    }


def _print_table(cards: dict[str, Card]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "models, the first is the default", "what it does", box=None, pad_edge=False)
    for card in cards.values():
        table.add_row(card.name, ", ".join(card.models), card.summary)
    Console(highlight=False, markup=False).print(table)


def _print_card(console: Any, card: Card, about: dict[str, dict[str, str]]) -> None:
    console.print(f"{card.name}: {card.summary}\n")
    console.print(f"Models:   {', '.join(card.models)}")
    console.print(f"Kind:     {card.contract}")
    console.print(f"Citation: {card.citation}\n")
    console.print("Options (--set NAME=VALUE, or load(..., NAME=VALUE)):")
    for name, option in about.items():
        console.print(f"  {name} ({option['type']}) = {option['default'] or 'required'}")
        if option["help"]:
            console.print(f"      {option['help']}")
