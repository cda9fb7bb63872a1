"""Lists of trials, as VoxCeleb has them: pairs of recordings, and whether one person speaks in both."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from unbabble.base.errors import UsageError
from unbabble.base.files import read_text

LABELS = {"1": True, "0": False, "target": True, "nontarget": False}


class Trial(NamedTuple):
    """A pair of recordings.

    Attributes:
        one: path of the first.
        other: of the second.
        same: whether one person speaks in both; None where the list does not say.
    """

    one: Path
    other: Path
    same: bool | None


def read_trials(path: Path) -> list[Trial]:
    """The trials of a list: ``1 anna/a.wav anna/b.wav`` a line, also without labels, or with them at the end.

    Fields are apart by spaces, or by tabs where there are any; labels are 1 and 0, or target and nontarget. Paths are
    relative to the list.

    Raises:
        InputError: it cannot be read.
        UsageError: a line that is no trial, none at all, or some with labels and some without.
    """
    trials = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [each.strip() for each in line.split("\t")] if "\t" in line else line.split()
        same = None
        if len(fields) == 3:
            label = fields.pop(0 if fields[0] in LABELS else 2)
            same = LABELS.get(label)
            fields += [] if same is not None else [label]
        if len(fields) != 2:
            raise UsageError(
                f"Line {number} of the trials '{path}' is no pair of recordings, with or without a label (1 or 0)."
            )
        trials.append(Trial(path.parent / fields[0], path.parent / fields[1], same))
    if not trials:
        raise UsageError(f"There are no trials in '{path}'.")
    if len({trial.same is None for trial in trials}) > 1:
        raise UsageError(f"Some of the trials in '{path}' have labels, others have none.")
    return trials


def speakers_of(trials: Sequence[Trial]) -> dict[Path, int]:
    """A number for whoever speaks in each recording, as far as labels tell: pairs of one person are of one speaker.

    Raises:
        UsageError: labels that contradict one another.
    """
    leader: dict[Path, Path] = {}

    def first(path: Path) -> Path:
        while leader.setdefault(path, path) != path:
            leader[path] = path = leader[leader[path]]
        return path

    for trial in trials:
        one, other = first(trial.one), first(trial.other)
        if trial.same:
            leader[one] = other
    for trial in trials:
        if trial.same is False and first(trial.one) == first(trial.other):
            raise UsageError(
                f"'{trial.one.name}' and '{trial.other.name}' are of two people by their own trial, and of one person "
                "by others."
            )
    numbers = {path: number for number, path in enumerate(dict.fromkeys(map(first, list(leader))))}
    return {path: numbers[first(path)] for path in list(leader)}
