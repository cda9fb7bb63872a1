"""``unbabble assess``: how well the phones of a prompt were said."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_not_read, read_text
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report
from unbabble.text import transcripts
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.options import AnyPath, Device, Duration, Jobs, SoundStream, Start, as_path

if TYPE_CHECKING:
    from rich.table import Table

MOST_PHONES = 12
"""Of a recording that the table has; the report has all."""


@dataclass(frozen=True)
class Task(Input):
    """A recording and what was to be said in it; None: what the text beside it says."""

    prompt: str | None = None


def assess(
    *inputs: str | Path,
    prompt: str | None = None,
    prompts: AnyPath | None = None,
    model: str = "auto",
    dictionary: AnyPath | None = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Say which phones of a prompt were said, which came out as others, and which are missing.

    Beside each rate of errors stands that of typical speakers: a recogniser errs too.

    Args:
        inputs: Recordings of one speaker each: files, folders, patterns, manifests, or - for standard input.
        prompt: What was to be said, in English. Without it, and without --prompts, the .txt beside each recording.
        prompts: A table (columns file and text), or a folder of texts, with the prompt of each recording.
        model: What recognises phones: a packaged model, a .safetensors file, or auto.
        dictionary: Pronunciations in place of the packaged ones, as CMUdict is written.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        report: Write what happened to each recording to this file, as JSON, with every phone of the prompt.
        quiet: Say nothing but what failed.

    Returns:
        ``files[i].details`` is what ``pipelines.assess.Assessment`` holds.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: prompts or pronunciations that cannot be read.
        OutputError: the report cannot be written.
    """
    from unbabble.pipelines.assess import load_assessor

    frame = Frame(jobs, as_path(report), quiet)
    if prompt is not None and prompts is not None:
        raise UsageError("Either --prompt or --prompts.")
    dictionary, prompts = as_path(dictionary), as_path(prompts)
    name = load_assessor(
        model, device, dictionary
    ).name  # what is wrong with the request is said before any work
    result = Report("assess", config={"model": name, "dictionary": dictionary and str(dictionary)})
    with TemporaryDirectory(prefix="unbabble-") as spool:
        given = expand(inputs, spool)
        read = [*inputs, *(each.path for each in given), *filter(None, [dictionary]), *_files(given, prompts)]
        check_not_read(frame.report, read)
        tasks = [Task(**vars(each), prompt=text) for each, text in _prompted(given, prompt, prompts)]
        part = Part(start, duration, stream)
        work = partial(assess_one, model=name, device=device, dictionary=dictionary, part=part)
        frame.run(result, work, tasks, "Assessing")
    frame.conclude(result, partial(_print, result, quiet))
    return result


def _print(report: Report, quiet: bool) -> None:
    if not quiet:
        for file in report.files:
            if file.outcome == "done":
                show(phone_table(file.input, file.details))
                say(_summary(file.details))
    print_files(report, quiet)


def assess_one(task: Task, model: str, device: str, dictionary: Path | None, part: Part) -> FileReport:
    """Assess one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.assess import load_assessor
    from unbabble.pipelines.recording import Recording

    began = time.perf_counter()
    prompt = _beside(task.path) if task.prompt is None else task.prompt
    if not prompt:
        raise InputError(f"There is no prompt for '{task.name}': --prompt, --prompts, or a .txt beside it.")
    recording = Recording.open(part.of(task.path))
    assessment = load_assessor(model, device, dictionary)(recording, prompt)
    warnings = list(recording.info.warnings)
    if not assessment.fits:
        warnings.append(
            f"{_share(assessment.error_rate)} of the phones are wrong: the prompt may be that of another recording."
        )
    return FileReport(
        task.name,
        "done",
        model=model,
        seconds=time.perf_counter() - began,
        audio_seconds=recording.seconds,
        warnings=warnings,
        details=assessment.to_dict(),
    )


def phone_table(name: str, details: dict[str, Any]) -> "Table":
    """The phones with most errors, as a ``rich`` table."""
    from rich.table import Table

    table = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for label in ("phone", "to say", "said", "goodness", "typical errors", "came out as", "missing"):
        table.add_column(
            label, justify="left" if label in ("phone", "came out as") else "right", no_wrap=True
        )
    for row in details["by_phone"][:MOST_PHONES]:
        others = ", ".join(f"{phone} {count}" for phone, count in row["substituted"].items())
        typical = "" if row["typical"] is None else _share(row["typical"])
        table.add_row(
            row["phone"],
            str(row["count"]),
            str(row["right"]),
            f"{row['goodness']:.2f}",
            typical,
            others,
            str(row["deleted"] or ""),
        )
    return table


def _summary(details: dict[str, Any]) -> str:
    low, high = details["interval"]
    typical = details["typical_phone_error_rate"]
    beside = "" if typical is None else f"; of typical speakers {_share(typical)}"
    weakest = ", ".join(
        f"{row['phone']} of '{row['word']}' {row['goodness']:.2f}" for row in details["weakest"]
    )
    return (
        f"{_share(details['phone_error_rate'])} of the phones wrong "
        f"(95 times in 100 {_share(low)} to {_share(high)}){beside}."
        + (f" Weakest: {weakest}." if weakest else "")
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f} %"


def _prompted(
    given: Sequence[Input], prompt: str | None, prompts: Path | None
) -> list[tuple[Input, str | None]]:
    if prompts is None:
        return [(each, prompt) for each in given]
    texts: dict[str, list[str]] = {}
    for row in transcripts.read(prompts):
        texts.setdefault(row.recording, []).append(row.text)
    return [(each, " ".join(texts.get(_named(each, texts), []))) for each in given]


def _named(recording: Input, prompts: Collection[str]) -> str:
    """The name in a table of prompts that is that of a recording: where several are, by the folders before it.

    Raises:
        UsageError: the folders do not tell which.
    """
    parts = recording.path.absolute().with_suffix("").parts
    shared = {name: _shared_end(Path(name).parts, parts) for name in prompts}
    best = max(shared.values(), default=0)
    fitting = [name for name, count in shared.items() if count == best > 0]
    fitting = [name for name in fitting if len(Path(name).parts) == best] or fitting
    if len(fitting) > 1:
        raise UsageError(
            f"The prompt of '{recording.name}' may be that of '{fitting[0]}' or of '{fitting[1]}': "
            "name recordings with their folders."
        )
    return fitting[0] if fitting else ""


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _files(given: Sequence[Input], prompts: Path | None) -> list[Path]:
    """Where prompts are."""
    return (
        [each.path.with_suffix(".txt") for each in given] if prompts is None else transcripts.files(prompts)
    )


def _beside(path: Path) -> str:
    """The text beside a recording; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    text = path.with_suffix(".txt")
    return read_text(text).strip() if text.exists() else ""
