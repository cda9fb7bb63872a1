"""What a long benchmark has so far, a line each: it goes on where it was, also in several processes."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.kit.claim import rounded

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """A file of JSON objects, or none, and they are lost at the end.

    Args:
        minutes: nothing new is begun after so long.
        shard: K/N, what this process does of all.
    """

    path: Path | None
    minutes: float = float("inf")
    shard: str = "0/1"
    began: float = field(default_factory=time.monotonic)
    unsaved: list[dict] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether this process does everything."""
        return self.shard.endswith("/1")

    def mine(self, everything: Sequence[T]) -> Sequence[T]:
        """Every N-th, from the K-th on."""
        first, count = map(int, self.shard.split("/"))
        return everything[first::count]

    def read(self) -> list[dict]:
        text = self.path.read_text() if self.path and self.path.is_file() else ""
        return self.unsaved + [json.loads(line) for line in text.splitlines()]

    def add(self, key: dict, make: Callable[[], dict]) -> None:
        """What ``make`` gives for ``key``, unless that is there."""
        late = time.monotonic() - self.began > 60 * self.minutes
        if late or any(key.items() <= row.items() for row in self.read()):
            return
        row = rounded(key | make(), 4)
        print(row, flush=True)
        if self.path is None:
            self.unsaved.append(row)
            return
        self.path.parent.mkdir(exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
