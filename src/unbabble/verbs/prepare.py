"""``unbabble prepare``: manifests for a corpus as it lies on disk.

OUT/LAYOUT-PART.jsonl    one line a mixture (or an utterance), for each split and condition
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import writable_folder
from unbabble.base.report import FileReport, Report, Result, plain, timestamp
from unbabble.base.words import counted
from unbabble.data import layouts, manifest
from unbabble.data.layouts import Layout, Part
from unbabble.data.layouts.own import SPLITS
from unbabble.verbs.frame import Frame, print_files, say, stderr, stdout
from unbabble.verbs.options import AnyPath, Out, Texts, as_path, refuse_idle, several


@dataclass
class Listing(Result):
    """The layouts that can be prepared."""

    layouts: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return dict(self.layouts)


def prepare(
    layout: str | None = None,
    folder: AnyPath | None = None,
    /,
    *,
    out: Out = Path("manifests"),
    split: Texts | None = None,
    sample_rate: int | None = None,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report | Listing:
    """Write manifests for a corpus, to train with and to score on; `unbabble prepare` alone lists the layouts.

    Each split in each condition gets a manifest of its own. Every file's header is read; what is missing or broken
    is named and left out.

    Args:
        layout: How the corpus lies on disk: wsj0-2mix, wham, libri2mix, librispeech, folder ...
        folder: Where it lies.
        out: Folder for the manifests.
        split: Only these splits, as train, dev, test; train means all of a corpus's training splits.
        sample_rate: Only what is at this rate, in Hz.
        report: Write what happened to each manifest to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each manifest, or the layouts.

    Raises:
        UsageError: no such layout, no folder named, or OUT holds manifests of another corpus.
        InputError: the folder looks otherwise, or lacks the split or the rate.
        OutputError: the manifests cannot be written.
    """
    out = Path(out)
    folder = as_path(folder)
    report = as_path(report)
    if layout is None:
        refuse_idle(
            "needs a layout and a folder: unbabble prepare LAYOUT DIR",
            out=out != Path("manifests"),
            split=split is not None,
            sample_rate=sample_rate is not None,
            report=report is not None,
        )
        return _list()
    if folder is None:
        raise UsageError(f"Name the folder of the corpus: unbabble prepare {layout} DIR.")
    chosen = layouts.get(layout)
    parts = _select(layouts.find(layout, folder), folder, several(split), sample_rate)
    frame = Frame(report=report, quiet=quiet)
    writable_folder(out)
    for part in parts:
        _refuse_other(_place(out, chosen, part), part)
    result = Report(
        "prepare",
        config=plain(
            {"layout": layout, "folder": folder, "out": out, "split": split, "sample_rate": sample_rate}
        ),
    )
    headers: dict[Path, tuple[int, float] | str] = {}
    for part in parts:
        if quiet:
            result.files.append(_write(part, chosen, out, sample_rate, headers))
        else:
            with stderr().status(f"Reading the headers of {part.name}"):
                result.files.append(_write(part, chosen, out, sample_rate, headers))
    absent = [] if split else [name for name in chosen.splits if name not in {part.split for part in parts}]
    result.finished = timestamp()
    frame.conclude(result, partial(_print, result, absent, quiet))
    return result


def _list() -> Listing:
    console = stdout()
    for each in layouts.LAYOUTS.values():
        console.print(f"{each.name}: {each.summary}")
        console.print(f"    {each.looks}")
    return Listing(
        {each.name: {"summary": each.summary, "looks": each.looks} for each in layouts.LAYOUTS.values()}
    )


def _select(parts: list[Part], folder: Path, splits: list[str] | None, sample_rate: int | None) -> list[Part]:
    for wanted in splits or ():
        if not any(_is_split(part, wanted) for part in parts):
            known = ", ".join(dict.fromkeys(part.split or "one without a name" for part in parts))
            raise InputError(f"'{folder}' has no split '{wanted}', but {known}.")
    parts = [part for part in parts if not splits or any(_is_split(part, wanted) for wanted in splits)]
    rates = sorted({part.sample_rate for part in parts if part.sample_rate})
    parts = [
        part for part in parts if None in (sample_rate, part.sample_rate) or part.sample_rate == sample_rate
    ]
    if not parts:
        raise InputError(
            f"'{folder}' has nothing at {sample_rate} Hz, but at {' and '.join(map(str, rates))} Hz."
        )
    return parts


def _is_split(part: Part, wanted: str) -> bool:
    return part.split == SPLITS.get(wanted, wanted) or part.split.startswith(f"{wanted}-")


def _place(out: Path, layout: Layout, part: Part) -> Path:
    return out / f"{layout.name}-{part.name}.jsonl"


def _refuse_other(path: Path, part: Part) -> None:
    """A manifest that names none of the recordings of ``part``, or any other file, is never replaced.

    Raises:
        UsageError: it would be.
    """
    if not path.exists():
        return
    try:
        listed = {os.path.abspath(file) for entry in manifest.read(path) for file in entry.files}
    except InputError:
        listed = set()
    if listed.isdisjoint(os.path.abspath(file) for entry in part.entries for file in entry.files):
        raise UsageError(f"'{path}' names none of these recordings: choose another --out.")


def _write(
    part: Part,
    layout: Layout,
    out: Path,
    sample_rate: int | None,
    headers: dict[Path, tuple[int, float] | str],
) -> FileReport:
    good, bad, warnings = manifest.check(part.entries, sample_rate, headers)
    bad = [*part.missing, *bad]
    path = _place(out, layout, part)
    seconds = sum(entry.seconds or 0.0 for entry in good)
    uses = Counter(speaker for entry in good for speaker in entry.speakers)
    once = sum(count == 1 for count in uses.values())
    if once and not any(entry.mixture for entry in good):
        warnings.append(f"Kept with one utterance: {once} of {counted(len(uses), 'speaker')}.")
    result = FileReport(str(path), "done", audio_seconds=seconds, warnings=warnings)
    result.details = {
        "split": part.split,
        "items": len(good),
        "hours": round(seconds / 3600, 3),
        "speakers": len(uses),
        "speakers_with_one_utterance": once,
        "sample_rate": sorted({entry.sample_rate or 0 for entry in good}),
        "left_out": bad,
    }
    if good:
        manifest.write(path, good)
        result.outputs = [str(path)]
    if bad:
        result.outcome = "failed"
        items = counted(len(good) + len(bad), "item")
        result.error = f"Left out of '{path}': {len(bad)} of {items}; the first: {bad[0]}"
    elif not good:
        result.outcome, result.error = "failed", f"The split of '{path}' is empty: it is not written."
    return result


def _print(report: Report, absent: list[str], quiet: bool) -> None:
    from rich.table import Table

    if not quiet:
        table = Table("manifest", "items", "hours", "speakers", "Hz", "left out", box=None, pad_edge=False)
        for file in report.files:
            about = file.details
            rates, left_out = " ".join(map(str, about["sample_rate"])), len(about["left_out"])
            cells = (about["items"], f"{about['hours']:.2f}", about["speakers"] or "", rates, left_out or "")
            table.add_row(Path(file.input).name, *map(str, cells))
        stderr().print(table, soft_wrap=False)
        written = [file for file in report.files if file.outputs]
        if written:
            say(f"{counted(len(written), 'manifest')} in '{Path(written[0].outputs[0]).parent}'.")
        if absent:
            stderr().print(f"Not there: {', '.join(absent)}.", style="yellow")
    print_files(report, quiet)
