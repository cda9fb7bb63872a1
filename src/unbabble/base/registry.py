"""One registry for every method: ``@register`` in the method's file, the card travels with the class.

A method called ``auxiva`` lives in ``unbabble/methods/<family>/auxiva.py``. Looking one up imports that file
alone; listing them imports none (nor torch): the literal arguments of ``@register`` are read from the source.

The models of a network are its trained weights: those that came with the installation (``base.weights``). It can
be built without any, to be trained.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from unbabble.base import kinds
from unbabble.base.errors import UsageError
from unbabble.base.kinds import KINDS, Kind
from unbabble.base.weights import packaged, read_card
from unbabble.base.words import did_you_mean

METHODS_FOLDER = Path(__file__).parent.parent / "methods"
_T = TypeVar("_T", bound=type)
_classes: dict[str, type] = {}


@dataclass(frozen=True)
class Card:
    """What a listing shows of a method.

    Attributes:
        name: snake case, the paper's own name.
        contract: its kind, a key of ``base.kinds.KINDS``.
        summary: one line for a newcomer.
        citation: authors, title, venue, year.
        tags: variants; a model is ``name.tag``, the first tag is the default.
        network: its models are trained weights, ``tags`` is empty.
        counted: its models are tables in a file of weights, though it is no network; ``tags`` is empty.
        default: of what has weights, the tag of the weights that its bare name means; without, those first by name.
        also: further kinds: its networks say by ``acting_as`` what keeps those contracts.
        family: the folder under ``methods``.

    Raises:
        UsageError: there is no such kind.
    """

    name: str
    contract: str
    summary: str
    citation: str
    tags: tuple[str, ...] = ()
    network: bool = False
    default: str = ""
    also: tuple[str, ...] = ()
    counted: bool = False
    family: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in (self.contract, *self.also):
            kinds.find(name)

    def kinds(self, options: Mapping[str, object]) -> tuple[Kind, ...]:
        """What a model of this method can do that was built with ``options``, its own kind first.

        A separator that was built to return one voice is an enhancer: that voice, without its noise.
        """
        alone = self.contract == "separator" and options.get("sources") == 1
        return tuple(KINDS[name] for name in ("enhancer" if alone else self.contract, *self.also))

    @property
    def has_weights(self) -> bool:
        """Whether its models are files of weights."""
        return self.network or self.counted

    @property
    def models(self) -> tuple[str, ...]:
        """Full model names, default first; of what has weights those whose weights are here."""
        if self.has_weights:
            here = (name for name in packaged() if name.partition(".")[0] == self.name)
            return tuple(sorted(here, key=lambda name: (name.partition(".")[2] != self.default, name)))
        return tuple(f"{self.name}.{tag}" for tag in self.tags) or (self.name,)


def register(
    *,
    name: str,
    contract: str,
    summary: str,
    citation: str,
    tags: tuple[str, ...] = (),
    network: bool = False,
    default: str = "",
    also: tuple[str, ...] = (),
    counted: bool = False,
) -> Callable[[_T], _T]:
    """Class decorator that makes a method loadable by ``name`` or ``name.tag``.

    The class is built as ``cls(**options)``, with ``tag=...`` when the card lists tags. Arguments must be
    literals, because listings read them from the source without importing it.
    """

    def bind(cls: _T) -> _T:
        cls.card = Card(name, contract, summary, citation, tags, network, default, also, counted)  # type: ignore[attr-defined]
        _classes[name] = cls
        return cls

    return bind


@cache
def cards() -> dict[str, Card]:
    """All methods by name, read from the sources of ``methods/*/*.py`` without importing them."""
    by_name: dict[str, Card] = {}
    for path in sorted(METHODS_FOLDER.glob("*/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for call in node.decorator_list:
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id == "register"
                ):
                    options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
                    by_name[options["name"]] = Card(**options, family=path.parent.name)
    return by_name


def models() -> list[str]:
    """Every model name that ``create`` accepts."""
    return [model for card in cards().values() for model in card.models]


def find(model: str) -> tuple[Card, str]:
    """The card behind ``model`` (``name`` or ``name.tag``) and its tag (the first where none is named).

    Raises:
        UsageError: no such model.
    """
    name, _, tag = model.partition(".")
    card = cards().get(name)
    tags = tuple(each.partition(".")[2] for each in card.models if "." in each) if card else ()
    if card is None or (tag and tag not in tags) or model.endswith("."):
        hint = did_you_mean(model, [*models(), *cards()])
        raise UsageError(f"There is no model '{model}'.{hint} `unbabble models` lists them.")
    return card, tag or "".join(tags[:1])


def kinds_of(model: str) -> tuple[Kind, ...]:
    """What ``model`` can do, its own kind first; of packaged weights what they were trained to do, by their header.

    Raises:
        UsageError: no such model.
    """
    card, tag = find(model)
    weights = packaged().get(f"{card.name}.{tag}") if card.has_weights else None
    return card.kinds(read_card(weights).options if weights else {})


def of_kind(*names: str) -> list[str]:
    """Methods (not models) whose cards name one of these kinds."""
    return [card.name for card in cards().values() if card.contract in names]


def method(model: str) -> type:
    """The class behind ``model``; imports its file.

    Raises:
        UsageError: no such model.
    """
    card, _ = find(model)
    if card.name not in _classes:
        import_module(f"unbabble.methods.{card.family}.{card.name}")
    return _classes[card.name]


def create(model: str, **options: Any) -> Any:
    """Build the method behind ``model`` (``name`` or ``name.tag``); a network comes untrained.

    Raises:
        UsageError: no such model, or an option that the method does not have.
    """
    card, tag = find(model)
    if card.tags:
        options["tag"] = tag
    try:
        return method(model)(**options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        wrong = str(error).rsplit("'", 2)[1]
        raise UsageError(f"Model '{model}' has no option '{wrong}'.") from error
