"""What a section of a recipe can name: kinds of data, each by ``@data`` beside the dataclass that describes it.

    train:
      kind: mixtures          # which dataclass; the other keys are its fields
      speech: speech.csv

A description opens as a row of items; item ``i`` depends on the seed and ``i`` alone. Several sets are one:

    train:
      kind: several
      sets:
        near: {kind: mixtures, share: 0.7, speech: ...}     # of the batches
        far: {kind: mixtures, share: 0.3, speech: ...}

or one after another: ``steps`` in place of ``share``, of all but the last.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from unbabble.base.config import validate
from unbabble.base.errors import UsageError
from unbabble.data.batches import ByDuration, ByLength, ByShare, ByStage, Place, Plain, Plan


class Items(Protocol):
    """What is learnt from: a row of named tuples, most often without end."""

    def __getitem__(self, number: int, /) -> Any:
        """Item ``number``: a named tuple of arrays, tensors, texts."""
        ...


@runtime_checkable
class Sized(Items, Protocol):
    """Items whose lengths are known, and differ: batches are made by length."""

    lengths: Sequence[float]
    """Of each item, in any unit."""


@runtime_checkable
class Timed(Sized, Protocol):
    """Items of which a batch holds as many as last so long."""

    batch_length: float
    """Of a batch, padded, in the unit of ``lengths``."""


@runtime_checkable
class Written(Items, Protocol):
    """Items with texts, whose words are known before any recording is read."""

    def written(self) -> Iterator[Mapping[str, str]]:
        """Each different word of all texts: how it stands in which field of the items."""
        ...


class Data:
    """What a section of a recipe says of a set; derived classes are frozen dataclasses with ``@data``."""

    sample_rate: int

    def decides(self) -> dict[str, Any]:
        """Options of a network that are the data's affair, as the tokens that its texts are written with."""
        return {}

    @abstractmethod
    def open(self, seed: int) -> Items:
        """The set.

        Raises:
            InputError: its recordings cannot be used.
            UsageError: its options make no sense.
        """


_kinds: dict[str, type[Data]] = {}
_names: dict[type[Data], str] = {}
_T = TypeVar("_T", bound=type[Data])


def data(kind: str) -> Callable[[_T], _T]:
    """Class decorator: sections of recipes with ``kind: KIND`` are described by this dataclass."""

    def bind(cls: _T) -> _T:
        _kinds[kind], _names[cls] = cls, kind
        return cls

    return bind


def kinds() -> list[str]:
    """All kinds of data, by name."""
    return sorted(_kinds)


def read(content: Mapping[str, Any], owner: str) -> Data:
    """Check a section as it stands in YAML.

    Args:
        content: with its ``kind``.
        owner: how errors name the section.

    Raises:
        UsageError: no such kind, an unknown name, with the nearest one, or a value of the wrong type.
    """
    rest = dict(content)
    kind = rest.pop("kind", None)
    if kind not in _kinds:
        raise UsageError(f"{owner} needs a kind, one of {', '.join(kinds())}; it has {kind!r}.")
    if _kinds[kind] is Several:
        return _several(rest, owner)
    return validate(_kinds[kind], rest, owner)


def written(described: Data) -> dict[str, Any]:
    """A section as it stands in YAML: what ``read`` makes ``described`` of again."""
    if not isinstance(described, Several):
        return {"kind": _names[type(described)], **asdict(described)}  # type: ignore[call-overload]
    sets = {}
    for name, one in described.sets.items():
        sets[name] = written(one)
        for key, values in (("share", described.shares), ("steps", described.steps)):
            if name in values:
                sets[name][key] = values[name]
    return {"kind": _names[Several], "sets": sets}


@data("several")
@dataclass(frozen=True)
class Several(Data):
    """Several sets: by their shares, or one after another.

    Args:
        sets: by name.
        shares: of the batches, by name, in proportion to one another; 1 where nothing is said.
        steps: in place of shares, how many batches each set has but the last, which has no end.

    Raises:
        UsageError: no sets, other rates, shares that are none, or both shares and steps.
    """

    sets: dict[str, Data]
    shares: dict[str, float]
    steps: dict[str, int]

    def __post_init__(self) -> None:
        if not self.sets or len({each.sample_rate for each in self.sets.values()}) > 1:
            raise UsageError("Several sets: there is at least one, and all have one sample rate.")
        if self.steps and (self.shares or list(self.steps) != list(self.sets)[:-1]):
            raise UsageError("Several sets: each has a share, or all but the last have steps.")
        if min([1, *self.shares.values(), *self.steps.values()]) <= 0:
            raise UsageError("Several sets: shares are above 0, and so are steps.")

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return next(iter(self.sets.values())).sample_rate

    def decides(self) -> dict[str, Any]:
        """What the last set decides, which has no end: it has the most; of words that are learnt, those of all."""
        decided = [one.decides() for one in self.sets.values()]
        words = {word for each in decided for word in str(each.get("words", "")).split(",") if word}
        return decided[-1] | ({"words": ",".join(sorted(words))} if words else {})

    def open(self, seed: int) -> "Joined":
        """All of them."""
        return Joined(self, [each.open(seed) for each in self.sets.values()], seed)


class Joined:
    """Several sets as one: ``items[Place(set, number)]``; ``items[number]`` takes from all in their shares."""

    def __init__(self, described: Several, sets: Sequence[Items], seed: int) -> None:
        self.described, self.sets, self.seed = described, sets, seed

    def plan(self, size: int) -> Plan:
        """Batches of so many items."""
        plans = [_plan(one, size, self.seed, number) for number, one in enumerate(self.sets)]
        if self.described.steps:
            return ByStage(plans, list(self.described.steps.values()))
        shares = [self.described.shares.get(name, 1.0) for name in self.described.sets]
        return ByShare(plans, shares, self.seed)

    def __getitem__(self, place: int | Place) -> Any:
        if not isinstance(place, Place):
            (place,) = self.plan(1)[place]
        return self.sets[place.set][place.number]


def batches(items: Items, size: int, seed: int) -> Plan:
    """How items are put together: by share or by stage, by length, or one after another, whatever they are."""
    return items.plan(size) if isinstance(items, Joined) else _plan(items, size, seed, 0)


def item(items: Items, place: Place) -> Any:
    """The item at a place of a plan."""
    return items[place] if isinstance(items, Joined) else items[place.number]


def parts(items: Items) -> list[Items]:
    """The sets that they are made of, each of items that are alike."""
    return list(items.sets) if isinstance(items, Joined) else [items]


def _plan(items: Items, size: int, seed: int, number: int) -> Plan:
    if isinstance(items, Timed):
        return ByDuration(items.lengths, items.batch_length, seed, number)
    if isinstance(items, Sized):
        return ByLength(items.lengths, size, seed, number)
    return Plain(size, number)


def _several(content: dict[str, Any], owner: str) -> Several:
    sets = content.pop("sets", None)
    if not isinstance(sets, dict) or content or not all(isinstance(each, dict) for each in sets.values()):
        raise UsageError(f"{owner}: several sets stand by name under 'sets', and nothing else beside them.")
    read_sets, taken = {}, {"share": {}, "steps": {}}
    for name, one in sets.items():
        one = dict(one)
        for key, values in taken.items():
            if (value := one.pop(key, None)) is not None:
                values[name] = value
        read_sets[name] = read(one, f"{owner}, set '{name}'")
    try:
        shares = {name: float(each) for name, each in taken["share"].items()}
        steps = {name: int(each) for name, each in taken["steps"].items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"{owner}: share and steps are numbers.") from error
    return Several(read_sets, shares, steps)
