"""What jobs do: the functions behind the verbs, on a folder, in a process that may fall without harm.

Only ``serve`` runs there; it imports torch when the first job comes, and keeps the models for the next.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from unbabble.base.errors import InputError, UnbabbleError
from unbabble.base.report import FileReport, Report, plain
from unbabble.jobs.attempt import NO_MEMORY
from unbabble.jobs.progress import listening, report_progress

logger = logging.getLogger(__name__)
STAGES = {
    "separate": "Separating",
    "enhance": "Taking off noise",
    "extract": "Looking for the voice",
    "adapt": "Learning from the recordings",
    "score": "Listening",
    "export": "Exporting",
    "board": "Scoring",
}
TELL_SECONDS = 0.5
ADAPTED = "me.unbabble"
"""Folder of an adapted model, in its zip."""


@dataclass(frozen=True)
class File:
    """An input of a job: what for, how its owner calls it, and where it lies."""

    role: str
    name: str
    path: Path


@dataclass(frozen=True)
class Told:
    """What the process says. ``what``: how far it is (``share``), or how it ended."""

    what: Literal["progress", "done", "refused", "failed"]
    share: float | None = None
    sentence: str = ""
    result: dict[str, Any] | None = None
    outputs: tuple[Path, ...] = ()


def work(
    kind: str, folder: Path, parameters: dict[str, Any], files: Sequence[File]
) -> tuple[dict[str, Any], list[Path]]:
    """Do a job; see ``queue`` for what each kind takes and leaves.

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
        result, outputs = _KINDS[kind](folder, parameters, roles)
    except UnbabbleError as error:
        raise InputError(_named(str(error), files)) from error
    return _named(plain(result), files), outputs


def _separate(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.verbs.separate import separate

    report = separate(
        *roles["mixture"],
        out=folder / "out",
        model=parameters.get("model", "auto"),
        sources=parameters.get("sources", "auto"),
        iterations=parameters.get("iterations"),
        format="flac",
        quiet=True,
    )
    return _told(report)


def _enhance(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.verbs.enhance import enhance

    model = parameters.get("model", "auto")
    for path in roles.get("model", ()):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / "model")
        model = str(folder / "model" / ADAPTED)
    report = enhance(
        *roles["mixture"],
        out=folder / "out",
        model=model,
        strength=parameters.get("strength", "auto"),
        format="flac",
        quiet=True,
    )
    result, outputs = _told(report)
    return result | ({"model": ADAPTED} if "model" in roles else {}), outputs


def _extract(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.verbs.extract import extract

    report = extract(
        *roles["mixture"],
        enroll=roles["enrollment"],
        out=folder / "out",
        model=parameters.get("model", "auto"),
        format="flac",
        quiet=True,
    )
    return _told(report)


def _adapt(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.verbs.adapt import adapt

    with _cache(folder / "cache"):  # what is kept of recordings goes with the folder
        found = adapt(
            *roles["recording"],
            out=folder / ADAPTED,
            clean=roles.get("clean"),
            steps=parameters.get("steps", 200),
            quiet=True,
        )
    packed = folder / f"{ADAPTED}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / ADAPTED).iterdir()):
            archive.write(path, f"{ADAPTED}/{path.name}")
    known = ("student", "method", "steps", "reason", "warnings")
    result = {name: found.details[name] for name in known if name in found.details}
    seconds = sum(each["seconds"] for each in found.details["sources"])
    return result | {"kept": found.kept, "gain_db": found.gain_db, "audio_seconds": seconds}, [packed]


def _score(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.verbs.score import score

    (mixture,) = roles["mixture"]
    estimates, channel = roles.get("estimate") or [mixture], parameters.get("channel", 1)
    result: dict[str, Any] = {"scores": None, "warnings": []}
    if references := roles.get("reference"):
        report = score(
            mixture=mixture, references=references, estimates=estimates, channel=channel, quiet=True
        )
        file = _only(report)
        kept = ("voices", "mean", "mixture", "unused_estimates", "sample_rate")
        result["metrics"] = {name: file.details[name] for name in kept}
        result["warnings"] += file.warnings
    try:
        file = _only(score(mixture=mixture, estimates=estimates, channel=channel, quiet=True))
    except InputError as error:
        if not references:
            raise
        result["warnings"].append(str(error))
    else:
        result |= {"scorer": file.model, "audio_seconds": file.audio_seconds}
        result["warnings"] += file.warnings
        keys = ("si_snr_db", "low_db", "high_db", "verdict")
        result["scores"] = [{key: voice[key] for key in keys} for voice in file.details["voices"]]
    return result, []


def _export(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.web.database import Database
    from unbabble.web.review.datasets import make
    from unbabble.web.storage import Storage

    settings = parameters["site"]
    database, storage = Database(settings.database), Storage(settings.storage)
    try:
        result, path = make(
            parameters, database, storage, settings.secret, folder, lambda share: report_progress(share, 1.0)
        )
    finally:
        database.close()
    return result, [path]


def _board(folder: Path, parameters: dict[str, Any], roles: dict[str, list[Path]]):
    from unbabble.web.leaderboard.board_work import board

    return board(folder, parameters, roles)


_KINDS: dict[str, Callable[..., tuple[dict[str, Any], list[Path]]]] = {
    "separate": _separate,
    "enhance": _enhance,
    "extract": _extract,
    "adapt": _adapt,
    "score": _score,
    "export": _export,
    "board": _board,
}


def _only(report: Report) -> FileReport:
    (file,) = report.files
    if file.outcome != "done":
        if "traceback" in file.details:
            logger.error("%s", file.details["traceback"])
        raise InputError(file.error or "This cannot be done.")
    return file


def _told(report: Report) -> tuple[dict[str, Any], list[Path]]:
    """What a verb says of its only recording, and what it wrote."""
    file = _only(report)
    kept = {"scores": None} | {name: value for name, value in file.details.items() if name != "segments"}
    known = {name: getattr(file, name) for name in ("model", "seconds", "audio_seconds", "warnings")}
    return kept | known, [Path(path) for path in file.outputs]


@contextmanager
def _cache(folder: Path):
    """Where the verbs keep what can be made again, meanwhile."""
    before = os.environ.get("UNBABBLE_CACHE")
    os.environ["UNBABBLE_CACHE"] = os.fspath(folder)
    try:
        yield
    finally:
        os.environ.pop("UNBABBLE_CACHE")
        if before is not None:
            os.environ["UNBABBLE_CACHE"] = before


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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            kind, folder, parameters, files = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_attempt(connection, kind, folder, parameters, files))


def _attempt(connection: Connection, kind: str, folder: Path, parameters: dict[str, Any], files: list[File]):
    told = 0.0

    def listener(done: float, total: float | None) -> None:
        nonlocal told
        if total and time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            connection.send(Told("progress", min(1.0, done / total)))

    try:
        with listening(listener):
            result, outputs = work(kind, folder, parameters, files)
    except UnbabbleError as error:
        return Told("refused", sentence=str(error))
    except MemoryError:
        return Told("refused", sentence=NO_MEMORY)
    except Exception as error:
        logger.error("%s", traceback.format_exc())
        return Told("failed", sentence=f"Unexpected {type(error).__name__}.")
    return Told("done", result=result, outputs=tuple(outputs))


def _end_with_parent() -> None:
    """Whoever asked has fallen, or was killed: nobody wants this work any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
