"""What happened to each input of a command, as a typed record that is saved as JSON."""

import math
import os
import platform
import sys
from dataclasses import dataclass, field, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from unbabble.base.files import write_json

Outcome = Literal["done", "skipped", "failed"]
REPORTED_PACKAGES = ("unbabble", "torch", "numba", "numpy")


class Result:
    """What a command gives back: a dataclass with plain content for JSON and the exit code of its process."""

    @property
    def exit_code(self) -> int:
        """0 when all is done, 1 when something failed."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return plain(vars(self) | {"exit_code": self.exit_code})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        write_json(path, self.to_dict())
        return Path(path)


@dataclass
class FileReport:
    """What happened to one input.

    Attributes:
        input: the path as typed, or ``-``.
        outcome: ``done``, ``skipped`` (done by an earlier run) or ``failed``.
        error: one sentence, where it failed.
        model: what was used.
        seconds: wall time spent.
        audio_seconds: duration of the recording.
        outputs: the files written.
        warnings: what the user should know of this recording.
        details: whatever else the command reports.
    """

    input: str
    outcome: Outcome
    error: str | None = None
    model: str | None = None
    seconds: float = 0.0
    audio_seconds: float | None = None
    outputs: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds spent per second of audio: below 1 is faster than the recording plays."""
        return self.seconds / self.audio_seconds if self.audio_seconds else None

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return plain(vars(self) | {"real_time_factor": self.real_time_factor})


@dataclass
class Report(Result):
    """What a command did: every input with its outcome, and how to do it again.

    Attributes:
        command: the verb.
        config: the resolved options.
        files: one entry per input, in order.
        interrupted: the user stopped it; what was not done counts as failed.
    """

    command: str
    config: dict[str, Any] = field(default_factory=dict)
    files: list[FileReport] = field(default_factory=list)
    interrupted: bool = False
    started: str = field(default_factory=lambda: timestamp())
    finished: str | None = None
    versions: dict[str, str] = field(default_factory=lambda: versions())

    @property
    def exit_code(self) -> int:
        """0 when every input is done, 1 when some failed."""
        return int(self.interrupted or any(file.outcome == "failed" for file in self.files))


def timestamp() -> str:
    """Now, in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, without importing it."""
    installed = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for package in REPORTED_PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def plain(value: Any) -> Any:
    """Reduce to what JSON has: paths become text, dataclasses objects, tuples lists, NaN and infinity null."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist())
    return str(value)
