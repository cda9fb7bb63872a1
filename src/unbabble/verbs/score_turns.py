"""``unbabble score --turns``: how much of the time the wrong talker, nobody, or somebody too many speaks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import check_not_read, read_text
from unbabble.base.report import FileReport, Report, plain
from unbabble.base.spans import Span
from unbabble.signal.diarization import TurnErrors, compare
from unbabble.text import rttm
from unbabble.verbs.frame import Frame, print_files, say, show

PARTS = ("missed", "false_alarm", "confusion")
LEAST_RECORDINGS = 2
"""That an interval needs."""
Read = TypeVar("Read")


class TurnReport(Report):
    """Errors of turns; ``files[i].details`` has seconds, rates and talkers of recording i."""

    @property
    def done(self) -> list[FileReport]:
        """The recordings that could be scored."""
        return [file for file in self.files if file.outcome == "done"]

    def total(self) -> dict[str, Any]:
        """Of all recordings together: seconds and the rate, its interval by recordings, and the mean JER of talkers."""
        from unbabble.signal.statistics import ratio

        each = [_errors(file.details) for file in self.done]
        result = _row(sum(each, TurnErrors()), [jer for file in self.done for jer in _jaccard(file.details)])
        result |= {"recordings": len(each), "low": None, "high": None}
        if len(each) >= LEAST_RECORDINGS and all(errors.speech for errors in each):
            estimate = ratio([errors.seconds for errors in each], [errors.speech for errors in each])
            result |= {"low": estimate.low, "high": estimate.high}
        right = [file.details["talkers"] == file.details["talkers_given"] for file in self.done]
        return result | {"talkers_right": sum(right)}

    def table(self) -> Any:
        """As a ``rich`` table: each recording, and all together."""
        from rich.table import Table

        table = Table("", box=None, pad_edge=False)
        labels = ("speech", "DER", "95 % within", "missed", "false alarm", "confusion", "JER", "talkers")
        for label in labels:
            table.add_column(label, justify="right", no_wrap=True)
        for file in self.done:
            talkers = f"{file.details['talkers_given']} of {file.details['talkers']}"
            table.add_row(file.input, *_cells(file.details, ""), talkers)
        total = self.total()
        within = "" if total["low"] is None else f"{100 * total['low']:.1f} to {100 * total['high']:.1f}"
        right = f"right in {total['talkers_right']} of {total['recordings']}"
        table.add_row("all", *_cells(total, within), right, style="bold")
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return super().to_dict() | plain({"total": self.total()})


@dataclass(frozen=True)
class TurnTask:
    """The turns of one recording: the true ones, those that are scored, and where."""

    name: str
    reference: list[Span]
    hypothesis: list[Span] | None
    within: list[Span] | None


def score_turns(
    turns: Sequence[Path],
    references: Sequence[Path],
    *,
    collar: float,
    uem: Path | None,
    frame: Frame,
) -> TurnReport:
    """Score turns against the true ones; for the arguments see ``score``.

    Raises:
        UsageError: nothing that goes together.
        InputError: a file that cannot be read.
        OutputError: the report has the name of what is read.
    """
    if not 0 <= collar < float("inf"):
        raise UsageError("The collar is a number of seconds.")
    read = [file for path in (*turns, *references) for file in _files(path)]
    check_not_read(frame.report, [*read, *([uem] if uem else [])])
    true, said = _read_all(references), _read_all(turns)
    within = None if uem is None else _read(uem, rttm.read_uem)
    if not true.keys() & said.keys():
        first, second = next(iter(true), "none"), next(iter(said), "none")
        raise UsageError(
            f"No turns are of a recording of the references: these are of '{first}' ..., those of '{second}' ...."
        )
    if within is not None and (missing := [name for name in true if name not in within]):
        raise UsageError(f"'{uem}' does not say what is scored of '{missing[0]}'.")
    tasks = [
        TurnTask(name, true[name], said.get(name), None if within is None else within[name]) for name in true
    ]
    unused = [name for name in said if name not in true]
    report = TurnReport("score", config={"collar": collar, "without_reference": unused})
    frame.run(report, partial(_score_task, collar=collar), tasks, "Scoring")
    frame.conclude(report, partial(_print, report, frame.quiet))
    return report


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == rttm.SUFFIX)
    if not files:
        raise UsageError(f"Folder '{path}' holds no turns: files of the kind {rttm.SUFFIX}.")
    return files


def _read_all(paths: Sequence[Path]) -> dict[str, list[Span]]:
    """By recording; a file without rows is of a recording of its own name, in which nobody speaks.

    Raises:
        UsageError: turns of one recording in two files, which may be two recordings.
        InputError: a file that cannot be read.
    """
    turns: dict[str, list[Span]] = {}
    sources: dict[str, Path] = {}
    for file in (file for path in paths for file in _files(path)):
        for name, spans in (_read(file, rttm.read) or {rttm.name(file.stem): []}).items():
            if name in turns:
                raise UsageError(
                    f"Turns of '{name}' stand in '{sources[name]}' and in '{file}': which count?"
                )
            turns[name], sources[name] = spans, file
    return turns


def _read(file: Path, read: Callable[[str], Read]) -> Read:
    text = read_text(file)
    try:
        return read(text)
    except InputError as error:
        raise InputError(f"'{file}' {error}") from error


def _score_task(task: TurnTask, collar: float) -> FileReport:
    if task.hypothesis is None:
        return FileReport(task.name, "failed", error=f"There are no turns of '{task.name}'.")
    compared = compare(task.reference, task.hypothesis, task.within, collar)
    details = _row(compared.errors, list(compared.jaccard.values())) | {
        "talkers": _talkers(task.reference),
        "talkers_given": _talkers(task.hypothesis),
        "speakers": {
            name: {"speaker": compared.speakers.get(name), "jer": jer}
            for name, jer in compared.jaccard.items()
        },
    }
    left_out = any(turn.end > turn.start for turn in task.reference) and not compared.errors.speech
    warnings = (
        ["None of its speech is scored: the collar or the UEM leaves all of it out."] if left_out else []
    )
    return FileReport(task.name, "done", warnings=warnings, details=details)


def _talkers(turns: Sequence[Span]) -> int:
    """How many speak; a turn that lasts no time is nobody's."""
    return len({turn.speaker for turn in turns if turn.end > turn.start})


def _row(errors: TurnErrors, jaccard: Sequence[float]) -> dict[str, Any]:
    jer = sum(jaccard) / len(jaccard) if jaccard else None
    return vars(errors) | {"der": errors.rate, "jer": jer}


def _errors(details: dict[str, Any]) -> TurnErrors:
    return TurnErrors(**{name: details[name] for name in ("speech", *PARTS)})


def _jaccard(details: dict[str, Any]) -> list[float]:
    return [speaker["jer"] for speaker in details["speakers"].values()]


def _cells(row: dict[str, Any], within: str) -> list[str]:
    parts = [row[name] / row["speech"] if row["speech"] else float("nan") for name in PARTS]
    speech = f"{row['speech']:.1f} s"
    return [speech, _percent(row["der"]), within, *map(_percent, parts), _percent(row["jer"])]


def _percent(value: float | None) -> str:
    return "" if value is None or value != value else f"{100 * value:.1f} %"


def _print(report: TurnReport, quiet: bool) -> None:
    if not quiet and report.done:
        show(report.table())
        collar = report.config["collar"]
        forgiven = f"{collar:g} s on either side of each true boundary are" if collar else "Nothing is"
        say(f"{forgiven} left out; where several speak at once, each counts.")
    if (unused := report.config["without_reference"]) and not quiet:
        more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        say(f"Without a reference, not scored: {unused[0]}{more}.")
    print_files(report, quiet)
