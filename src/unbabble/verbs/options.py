"""Options that verbs share: their short names, what Python may hand over, and which of them ``--help`` leaves to
``--help-all``."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from cyclopts import ArgumentCollection, Group, Parameter

from unbabble.base.errors import UsageError

if TYPE_CHECKING:
    AnyPath = str | os.PathLike[str]
    Paths = AnyPath | Sequence[AnyPath]
    Texts = str | Sequence[str]
else:  # what the command line makes of them
    AnyPath, Paths, Texts = Path, list[Path], list[str]
"""A file or folder, one or several of them, and of texts."""

NUMBERS = {int: "a whole number", float: "a number"}
"""What options take, in words that name no Python types."""


def refuse_fractions(arguments: ArgumentCollection) -> None:
    """Refuse ``--iterations 2.5``, which Cyclopts would round."""
    for argument in arguments:
        for token in argument.tokens:
            if type(argument.value) is int and "." in token.value and not float(token.value).is_integer():
                raise ValueError(
                    f'{token.keyword or argument.name} takes {NUMBERS[int]}, not "{token.value}".'
                )


class MoreOptions(Group):
    """A heading of the help that is only shown when all options are."""

    shown: ClassVar[bool] = False

    @property
    def show(self) -> bool:
        """Whether the help lists what stands under this heading."""
        return MoreOptions.shown


MORE = Parameter(group=MoreOptions("More options", validator=refuse_fractions))

Enroll = Annotated[Paths, Parameter(consume_multiple=True, show_default=False)]
Out = Annotated[AnyPath, Parameter(alias="-o")]
Jobs = Annotated[int, Parameter(alias="-j")]
Device = Annotated[str, Parameter(alias="-d")]
Overwrite = Annotated[bool, Parameter(alias="--force")]
Assignments = Annotated[Texts | None, MORE]
Start = Annotated[float, MORE]
Duration = Annotated[float | None, MORE]
SoundStream = Annotated[int | None, MORE]


def as_path(path: AnyPath | None) -> Path | None:
    """The path, if there is one."""
    return None if path is None else Path(path)


def several(given: Any | Iterable[Any] | None) -> list[Any]:
    """What was given where there may be several: a text or path by itself is one."""
    if given is None:
        return []
    return [given] if isinstance(given, str | os.PathLike) else list(given)


def check_recordings(given: Sequence[Any], enroll: Sequence[Any]) -> None:
    """Refuse a command in which ``--enroll``, which takes all names behind it, has taken the recordings, too.

    Raises:
        UsageError: nothing but enrollments.
    """
    if enroll and not given:
        raise UsageError("Name the recordings before --enroll, which takes all names behind it.")


def check_choice(name: str, value: object, *choices: str, number: str = "") -> None:
    """Refuse a text that is no choice, which the command line does by itself.

    Args:
        name: of the option, or what it is, to begin a sentence.
        value: what was given; of no text nothing is said.
        choices: what it may be.
        number: what it may be besides, in words: "a whole number".

    Raises:
        UsageError: it is none of them.
    """
    if isinstance(value, str) and value not in choices:
        *others, last = [*([number] if number else []), *choices]
        raise UsageError(f"{name} is {', '.join(others)} or {last}, not '{value}'.")


def refuse_idle(reason: str, **given: bool) -> None:
    """Refuse options that would have no effect.

    Args:
        reason: what they are for: "is for a simulated room: --room".
        given: options by name, and whether they were given.

    Raises:
        UsageError: naming the first that was.
    """
    for name, was_given in given.items():
        if was_given:
            raise UsageError(f"--{name.replace('_', '-')} {reason}.")
