"""``unbabble score --transcripts``: how many words, characters or phones of transcripts are wrong."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unbabble.base.errors import UsageError
from unbabble.base.files import check_not_read
from unbabble.base.report import FileReport, Report, plain
from unbabble.text.errors import Errors, Step, align, by_unit, cp_errors, errors, shown
from unbabble.text.normalise import words
from unbabble.text.transcripts import Said, files, read_all
from unbabble.verbs.frame import Frame, print_files, say, show, stdout

SPEAKER = "speaker"
NORMALISATION = "Both sides: lower case, no punctuation but apostrophes inside words, numbers in words."
LEAST_UNITS = 2
"""Speakers or recordings that an interval needs."""


class WordReport(Report):
    """Errors of transcripts; ``files[i].details["talkers"]`` has an entry for each talker of recording i."""

    @property
    def unit(self) -> str:
        """What is counted: words or phones."""
        return "phones" if self.config["phones"] else "words"

    @property
    def done(self) -> list[FileReport]:
        """The recordings that could be scored."""
        return [file for file in self.files if file.outcome == "done"]

    @property
    def several(self) -> bool:
        """Whether talkers share a recording, so that each is given the text that fits."""
        return any(len(file.details["talkers"]) > 1 or file.details["surplus"] for file in self.done)

    @property
    def rate(self) -> str:
        """What the rate is called."""
        return ("cp" if self.several else "") + {"words": "WER", "phones": "PER"}[self.unit]

    def total(self) -> dict[str, Any]:
        """Of all recordings together the errors of each unit, and the interval of the rate, drawn by speaker."""
        return _summary(self.done, self.unit, by=None if self.several else SPEAKER)

    def rows(self) -> list[dict[str, Any]]:
        """The same of each speaker, or of each value of the columns that were asked for."""
        return [
            {"by": name, "value": value} | _summary(files, self.unit, by=None)
            for name in self.config["by"]
            for value, files in sorted(_groups(self.done, name).items())
        ]

    def confusions(self) -> dict[str, dict[str, Any]]:
        """What became of each phone; empty of words."""
        if self.unit != "phones":
            return {}
        aligned = (
            [Step(*pair) for pair in talker["alignment"]]
            for file in self.done
            for talker in file.details["talkers"]
        )
        return {unit: each._asdict() for unit, each in by_unit(aligned).items()}

    def table(self) -> Any:
        """As a ``rich`` table: each group, and all together."""
        from rich.table import Table

        characters = self.unit == "words"
        table = Table(box=None, pad_edge=False)
        table.add_column("", overflow="fold")
        labels = ("recordings", self.unit, self.rate, "95 % within", "S", "D", "I", *(["CER"] * characters))
        for label in labels:
            table.add_column(label, justify="right", no_wrap=True)
        for row in self.rows():
            table.add_row(f"{row['by']} {row['value']}", *_cells(row, self.unit))
        table.add_row("all", *_cells(self.total(), self.unit), style="bold")
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return super().to_dict() | plain(
            {"total": self.total(), "rows": self.rows(), "confusions": self.confusions()}
        )


@dataclass(frozen=True)
class WordTask:
    """One recording, what was said and what was recognised in it, by talker."""

    name: str
    references: dict[str | None, str]
    hypotheses: dict[str | None, str] | None
    columns: dict[str, str]


def score_words(
    transcripts: Sequence[Path],
    references: Sequence[Path],
    *,
    phones: bool,
    by: Sequence[str],
    alignments: bool,
    frame: Frame,
) -> WordReport:
    """Score transcripts against what was said; for the arguments see ``score``.

    Raises:
        UsageError: nothing that goes together; a text that is given twice; a column that no reference has.
        InputError: a file that cannot be read.
        OutputError: the report has the name of what is read.
    """
    for path in (*references, *transcripts):
        check_not_read(frame.report, files(path))
    said, recognised = read_all(references), read_all(transcripts)
    for side, texts in ((references, said), (transcripts, recognised)):
        if not texts:
            raise UsageError(f"'{side[0]}' holds no transcripts.")
    tasks, unused = find_word_tasks(said, recognised)
    columns = [SPEAKER, *sorted({name for task in tasks for name in task.columns})]
    if unknown := [name for name in by if name not in columns]:
        raise UsageError(f"The references have no column '{unknown[0]}', but {', '.join(columns)}.")
    named = any(speaker is not None for task in tasks for speaker in task.references)
    config = {
        "phones": phones,
        "by": list(by) or [SPEAKER] * named,
        "normalisation": "none" if phones else NORMALISATION,
        "without_reference": unused,
    }
    report = WordReport("score", config=config)
    work = partial(_score_task, phones=phones, alignments=alignments or phones)
    frame.run(report, work, tasks, "Scoring")
    frame.conclude(report, partial(_print, report, alignments, frame.quiet))
    return report


def find_word_tasks(
    references: Sequence[Said], transcripts: Sequence[Said]
) -> tuple[list[WordTask], list[str]]:
    """What goes together by the name of the recording, and the names of transcripts without a reference.

    Folders count only where names alone do not tell recordings apart.

    Raises:
        UsageError: no name is on both sides.
    """
    places = [{each.recording for each in side} for side in (references, transcripts)]
    name = _short if all(len(set(map(_short, side))) == len(side) for side in places) else str
    said, recognised = _by_recording(references, name), _by_recording(transcripts, name)
    if not said.keys() & recognised.keys():
        first, second = next(iter(said), "none"), next(iter(recognised), "none")
        raise UsageError(
            f"No transcript is called like a reference: these are '{first}' ..., those '{second}' ...."
        )
    tasks = []
    for recording, parts in said.items():
        columns = {key: value for part in parts for key, value in part.columns.items()}
        texts = _by_speaker(recognised[recording]) if recording in recognised else None
        tasks.append(WordTask(recording, _by_speaker(parts), texts, columns))
    return tasks, [recording for recording in recognised if recording not in said]


def _short(recording: str) -> str:
    return recording.rpartition("/")[2]


def _by_recording(said: Iterable[Said], name: Callable[[str], str]) -> dict[str, list[Said]]:
    recordings: dict[str, list[Said]] = {}
    for each in said:
        recordings.setdefault(name(each.recording), []).append(each)
    return recordings


def _by_speaker(parts: Sequence[Said]) -> dict[str | None, str]:
    """All that each talker says, in the order of time."""
    texts: dict[str | None, list[str]] = {}
    for part in sorted(parts, key=lambda part: part.start):
        texts.setdefault(part.speaker, []).append(part.text)
    return {speaker: " ".join(text) for speaker, text in texts.items()}


def _score_task(task: WordTask, phones: bool, alignments: bool) -> FileReport:
    if task.hypotheses is None:
        return FileReport(task.name, "failed", error=f"There is no transcript of '{task.name}'.")
    units = str.split if phones else words
    said = {speaker: units(text) for speaker, text in task.references.items()}
    recognised = {speaker: units(text) for speaker, text in task.hypotheses.items()}
    speakers, names = list(said), list(recognised)
    assigned = cp_errors(list(said.values()), list(recognised.values()))
    talkers = []
    for speaker, place, counts in zip(speakers, assigned.order, assigned.each, strict=True):
        text = [] if place is None else recognised[names[place]]
        talker: dict[str, Any] = {"speaker": speaker, "transcript": None if place is None else names[place]}
        talker |= _units(counts, said[speaker], text, phones)
        if alignments:
            talker["alignment"] = [list(step) for step in align(said[speaker], text)]
        talkers.append(talker)
    surplus = [
        {"transcript": name} | _units(errors([], recognised[name]), [], recognised[name], phones)
        for place, name in enumerate(names)
        if place not in assigned.order and recognised[name]
    ]
    return FileReport(
        task.name, "done", details={"talkers": talkers, "surplus": surplus, "columns": task.columns}
    )


def _units(counts: Errors, said: list[str], text: list[str], phones: bool) -> dict[str, Any]:
    if phones:
        return {"phones": _counts(counts)}
    return {"words": _counts(counts), "characters": _counts(errors(" ".join(said), " ".join(text)))}


def _counts(counts: Errors) -> dict[str, Any]:
    return vars(counts) | {"rate": counts.rate}


def _errors(entries: Iterable[dict[str, Any]], unit: str) -> Errors:
    fields = Errors.__dataclass_fields__
    return sum((Errors(**{name: each[unit][name] for name in fields}) for each in entries), Errors())


def _of(file: FileReport, unit: str) -> Errors:
    return _errors([*file.details["talkers"], *file.details["surplus"]], unit)


def _groups(files: Sequence[FileReport], name: str) -> dict[str, list[FileReport]]:
    """Recordings by a column; by speaker, each recording with that talker alone."""
    groups: dict[str, list[FileReport]] = {}
    for file in files:
        if name != SPEAKER:
            groups.setdefault(file.details["columns"].get(name, ""), []).append(file)
            continue
        for talker in file.details["talkers"]:
            alone = FileReport(
                file.input, "done", details=file.details | {"talkers": [talker], "surplus": []}
            )
            groups.setdefault(talker["speaker"] or "", []).append(alone)
    return groups


def _summary(files: Sequence[FileReport], unit: str, by: str | None) -> dict[str, Any]:
    """Errors of recordings together, and the interval of their rate: of draws of speakers, or of recordings."""
    from unbabble.signal.statistics import ratio

    result: dict[str, Any] = {"recordings": len(files)}
    groups = list(_groups(files, by).values()) if by else []
    drawn = groups if len(groups) >= LEAST_UNITS else [[file] for file in files]
    for name in (unit, *(["characters"] * (unit == "words"))):
        sums = [sum((_of(file, name) for file in group), Errors()) for group in drawn]
        total = sum(sums, Errors())
        result[name] = _counts(total) | {"low": None, "high": None}
        if len(drawn) >= LEAST_UNITS and total.reference:
            estimate = ratio([each.count for each in sums], [each.reference for each in sums])
            result[name] |= {"low": estimate.low, "high": estimate.high}
    result["drawn"] = SPEAKER if drawn is groups else "recording"
    return result


def _cells(summary: dict[str, Any], unit: str) -> list[str]:
    counts = summary[unit]
    kinds = [counts[name] for name in ("substitutions", "deletions", "insertions")]
    said = counts["hits"] + kinds[0] + kinds[1]
    within = "" if counts["low"] is None else f"{100 * counts['low']:.1f} to {100 * counts['high']:.1f}"
    cells = [str(summary["recordings"]), str(said), _percent(counts), within, *map(str, kinds)]
    return cells + ([_percent(summary["characters"])] if unit == "words" else [])


def _percent(counts: dict[str, Any]) -> str:
    return f"{100 * counts['rate']:.1f} %" if counts["rate"] == counts["rate"] else ""


def _print(report: WordReport, alignments: bool, quiet: bool) -> None:
    if not quiet and report.done:
        if alignments:
            for file in report.done:
                for talker in file.details["talkers"]:
                    stdout().print(f"{file.input} {talker['speaker'] or ''}".rstrip(), style="bold")
                    stdout().print(shown([Step(*pair) for pair in talker["alignment"]]) + "\n")
        if report.unit == "phones":
            show(_confusion_table(report))
        show(report.table())
        drawn = {SPEAKER: "speakers", "recording": "recordings"}[report.total()["drawn"]]
        notes = "" if report.unit == "phones" else f"{NORMALISATION} "
        say(f"{notes}The interval is that of draws of {drawn}.")
    if (unused := report.config["without_reference"]) and not quiet:
        more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        say(f"Without a reference, not scored: {unused[0]}{more}.")
    print_files(report, quiet)


def _confusion_table(report: WordReport) -> Any:
    from rich.table import Table

    table = Table("phone", box=None, pad_edge=False)
    for label in ("said", "right", "deleted", "inserted"):
        table.add_column(label, justify="right")
    table.add_column("substituted by")
    for unit, each in report.confusions().items():
        cells = [each["said"], each["right"], each["deleted"], each["inserted"]]
        others = ", ".join(f"{other} {number}" for other, number in each["substituted"].items())
        table.add_row(unit, *map(str, cells), others)
    return table
