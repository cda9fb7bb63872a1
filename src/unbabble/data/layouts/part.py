"""What a reader of a layout is, and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unbabble.data.manifest import Entry


@dataclass(frozen=True, slots=True)
class Part:
    """One split of one condition of a corpus.

    Attributes:
        name: that of its manifest, as ``8k-min-mix_clean-train``.
        split: ``train``, ``dev``, ``test``, or what the corpus calls it.
        entries: what is there; the files' headers were not read.
        missing: what should be there and is not, one sentence each.
        sample_rate: Hz, where the folders' names say.
    """

    name: str
    split: str
    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()
    sample_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which a corpus lies on disk.

    Attributes:
        name: as typed.
        summary: what it is.
        looks: how its folders look, for a listing.
        wanted: what a reader looks for, to complete the sentence "looked for ...".
        splits: those that a complete copy has.
        find: every part in a folder; none where the folder looks otherwise.
    """

    name: str
    summary: str
    looks: str
    wanted: str
    splits: tuple[str, ...]
    find: Callable[[Path], list[Part]]
