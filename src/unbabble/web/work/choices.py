"""Which models the studio offers for which task; no method is imported to know."""

from dataclasses import dataclass
from functools import cache

from unbabble.base.kinds import taken_by
from unbabble.base.registry import Card, cards, kinds_of
from unbabble.base.weights import packaged, read_card

AUTO = "auto"
NEED_EXAMPLES = ("nmf", "speech_nmf")
"""Methods that take examples of what voices are like, which the studio does not have."""
ONE, SEVERAL = "one microphone", "several microphones"


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen: its name, a line about it, and what recordings it is for."""

    name: str
    summary: str
    group: str = ONE


@cache
def choices(kind: str, auto: str) -> tuple[Choice, ...]:
    """The models for jobs of this kind, ``auto`` first.

    Args:
        kind: of the job.
        auto: what ``auto`` is, in a line.
    """
    if kind == "adapt":
        return (Choice(AUTO, auto),)
    names = [
        Choice(name, _summary(card, name), ONE if card.network or kind == "enhance" else SEVERAL)
        for card in cards().values()
        if card.name not in NEED_EXAMPLES
        for name in card.models
        if kinds_of(name)[0].name in taken_by(kind) and (card.network or kind != "extract")
    ]
    return (Choice(AUTO, auto), *sorted(names, key=lambda each: (each.group, each.name)))


def _summary(card: Card, name: str) -> str:
    path = packaged().get(name)
    text = read_card(path).summary if path is not None else card.summary
    return text.rstrip(".")
