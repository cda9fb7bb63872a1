"""What jobs do: the functions behind the verbs, on a folder, in a process that may fall without harm.

Only ``serve`` runs there; it imports torch when the first job comes, and keeps the models for the next.
"""

import logging
import signal
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from unbabble.base import notes
from unbabble.base.errors import InputError, UnbabbleError
from unbabble.base.report import plain
from unbabble.jobs.attempt import NO_MEMORY
from unbabble.jobs.processes import end_with_starter
from unbabble.jobs.progress import listening
from unbabble.web.work import KINDS

logger = logging.getLogger(__name__)
TELL_SECONDS = 0.5


@dataclass(frozen=True)
class File:
    """An input of a job: what for, how its owner calls it, where it lies, and what is to be known of what was sent."""

    role: str
    name: str
    path: Path
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """What the process says. ``what``: how far it is (``share``), or how it ended."""

    what: Literal["progress", "done", "refused", "failed"]
    share: float | None = None
    sentence: str = ""
    result: dict[str, Any] | None = None
    outputs: tuple[Path, ...] = ()


def work(
    kind: str, folder: Path, parameters: dict[str, Any], files: Sequence[File]
) -> tuple[dict[str, Any], list[Path]]:
    """Do a job; see the kind's file in ``web.work`` for what it takes and leaves.

    Args:
        kind: of the job.
        folder: for results, and what is needed on the way.
        parameters: of the kind.
        files: the inputs.

    Returns:
        The result, and files for its owner.

    Raises:
        InputError: it cannot be done, in one sentence in which files are called as their owner calls them.
    """
    roles: dict[str, list[Path]] = {}
    for file in files:
        roles.setdefault(file.role, []).append(file.path)
    try:
        result, outputs = KINDS[kind].do(folder, parameters, roles)
    except UnbabbleError as error:
        raise InputError(_named(str(error), files)) from error
    sent = [f"{file.name}: {text}" for file in files for text in file.warnings]
    made = [notes.without_options(text) for text in result.get("warnings", ())]
    return _named(plain(result | {"warnings": [*sent, *made]}), files), outputs


def _named(value: Any, files: Sequence[File]) -> Any:
    """With the names that their owner gave in place of paths."""
    if isinstance(value, str):
        for file in files:
            value = value.replace(str(file.path), file.name).replace(file.path.name, file.name)
        return value
    if isinstance(value, dict):
        return {name: _named(each, files) for name, each in value.items()}
    return [_named(each, files) for each in value] if isinstance(value, list) else value


def serve(connection: Connection) -> None:
    """Do the jobs that come through ``connection``, one after the other, until it closes or its other end falls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_starter()
    while True:
        try:
            kind, folder, parameters, files = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_attempt(connection, kind, folder, parameters, files))


def _attempt(connection: Connection, kind: str, folder: Path, parameters: dict[str, Any], files: list[File]):
    reported = 0.0

    def listener(done: float, total: float | None) -> None:
        nonlocal reported
        if total and time.monotonic() - reported > TELL_SECONDS:
            reported = time.monotonic()
            connection.send(Message("progress", min(1.0, done / total)))

    try:
        with listening(listener):
            result, outputs = work(kind, folder, parameters, files)
    except UnbabbleError as error:
        return Message("refused", sentence=str(error))
    except MemoryError:
        return Message("refused", sentence=NO_MEMORY)
    except Exception as error:
        logger.error("%s", traceback.format_exc())
        return Message("failed", sentence=f"Unexpected {type(error).__name__}.")
    return Message("done", result=result, outputs=tuple(outputs))
