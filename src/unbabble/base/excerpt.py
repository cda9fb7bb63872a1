"""Which part of a recording is read: from where, how much, and which of a video's sound streams."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from unbabble.base.errors import UsageError


@dataclass(frozen=True)
class Part:
    """What is read of recordings; by default all of the first sound stream.

    Args:
        start: seconds that are left out at the beginning.
        duration: seconds that are read; None for all that follows. Less is read where the recording ends sooner.
        stream: which sound stream of a file that holds several, from 1; None for the first, with a warning.

    Raises:
        UsageError: a time or number that makes no sense.
    """

    start: float = 0.0
    duration: float | None = None
    stream: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < math.inf:
            raise UsageError(
                "The start is a number of seconds from the beginning of the recording, 0 or more."
            )
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise UsageError("The duration is a number of seconds above 0.")
        if self.stream is not None and self.stream < 1:
            raise UsageError("Sound streams are numbered from 1.")

    def of(self, path: "str | os.PathLike[str]") -> "Path | Excerpt":
        """This part of the recording in ``path``: a path itself where the part is the whole."""
        return Path(path) if self == WHOLE else Excerpt(Path(path), self)


WHOLE = Part()


@dataclass(frozen=True)
class Excerpt(os.PathLike[str]):
    """Stands for a recording's path wherever one is read, and gives a part of it as if there were no more.

    Args:
        path: the recording.
        part: what is read of it.
    """

    path: Path
    part: Part

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)
