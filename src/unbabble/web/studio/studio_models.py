"""Which models the studio offers for which task; no method is imported to know."""

from dataclasses import dataclass
from functools import cache

from unbabble.base.registry import Card, cards
from unbabble.base.weights import packaged, read_card

AUTO = "auto"
NEED_EXAMPLES = ("nmf", "speech_nmf")
"""Methods that are told by examples what voices are like, which the studio does not have."""
ONE, SEVERAL = "one microphone", "several microphones"


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen: its name, a line about it, and what recordings it is for."""

    name: str
    summary: str
    group: str = ONE


@cache
def choices(kind: str) -> tuple[Choice, ...]:
    """The models for jobs of this kind, ``auto`` first."""
    if kind == "separate":
        found = [
            Choice(name, _summary(card, name), ONE if card.network else SEVERAL)
            for card in cards().values()
            if card.family == "separation" and card.name not in NEED_EXAMPLES
            for name in card.models
            if _voices(name) != 1
        ]
        first = "tries all that fit the recording, and keeps the best by blind score"
    elif kind == "enhance":
        found = [
            Choice(name, _summary(card, name))
            for card in cards().values()
            if card.network and card.contract == "separator"
            for name in card.models
            if card.family == "enhancement" or _voices(name) == 1
        ]
        first = "the best that is installed"
    elif kind == "extract":
        found = [
            Choice(name, _summary(card, name))
            for card in cards().values()
            if card.network and card.contract in ("separator", "extractor")
            for name in card.models
            if card.contract == "extractor" or (_voices(name) or 0) > 1
        ]
        first = "the best that is installed"
    else:
        return (Choice(AUTO, "the largest small network that is installed"),)
    return (Choice(AUTO, first), *sorted(found, key=lambda each: (each.group, each.name)))


def is_choice(kind: str, name: str) -> bool:
    """Whether a job of this kind may name this model."""
    return any(each.name == name for each in choices(kind))


def _voices(name: str) -> int | None:
    """How many voices a network's weights return; None where they do not say."""
    path = packaged().get(name)
    return read_card(path).options.get("sources") if path is not None else None


def _summary(card: Card, name: str) -> str:
    path = packaged().get(name)
    text = read_card(path).summary if path is not None else card.summary
    return text.rstrip(".")
