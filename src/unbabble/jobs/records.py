"""What was done, recorded beside its results (``unbabble.json``), so that the next run can skip it."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from unbabble.base.files import write_json
from unbabble.base.report import FileReport, plain, timestamp, versions

RECORD_NAME = "unbabble.json"


def done_before(folder: Path, path: Path, config: dict[str, Any]) -> FileReport | None:
    """The record of an earlier run, if it did the same to the same file and its results are still there."""
    record = read_record(folder)
    if record.get("outcome") != "done" or record.get("config") != plain(config):
        return None
    names = record.get("outputs") or []
    if not all((folder / name).is_file() for name in names) or not _same_file(
        path, record.get("source") or {}
    ):
        return None
    known = {name: record[name] for name in FileReport.__dataclass_fields__ if name in record}
    outputs = [str(folder / name) for name in names]
    return FileReport(**known | {"outcome": "skipped", "outputs": outputs, "seconds": 0.0})


def record_done(folder: Path, path: Path, config: dict[str, Any], report: FileReport) -> None:
    """Say in ``folder`` what was done there, so that ``done_before`` finds it. To be called last."""
    names = [os.path.relpath(output, folder) for output in report.outputs]
    content = report.to_dict() | {"outputs": names, "config": plain(config), "source": _identity(path)}
    write_json(folder / RECORD_NAME, content | {"versions": versions(), "finished": timestamp()})


def forget(folder: Path) -> None:
    """Remove an earlier run's record and results, before new ones are written."""
    record = read_record(folder)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    for name in record.get("outputs") or []:
        if isinstance(name, str) and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)


def read_record(folder: Path) -> dict[str, Any]:
    """What an earlier run says it did in ``folder``; empty where there was none."""
    try:
        content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _identity(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": _sha256(path)}


def _same_file(path: Path, identity: dict[str, Any]) -> bool:
    """Same size and time, or, where only the time differs (a copy, standard input), same content."""
    try:
        status = path.stat()
        if status.st_size != identity.get("bytes"):
            return False
        return status.st_mtime_ns == identity.get("modified_ns") or _sha256(path) == identity.get("sha256")
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
