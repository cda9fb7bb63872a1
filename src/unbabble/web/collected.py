"""``unbabble collected``: what a site has collected and accepted, as a data set in a folder."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from unbabble.base.errors import InputError, OutputError, UsageError
from unbabble.base.extras import require
from unbabble.base.files import PARTIAL_SUFFIX, writable_folder
from unbabble.base.report import FileReport, Report, plain, timestamp
from unbabble.base.words import counted
from unbabble.verbs.options import AnyPath, as_path, check_choice
from unbabble.web.review.card import How, LayoutName
from unbabble.web.review.splits import DEV_SHARE, TEST_SHARE

if TYPE_CHECKING:
    from unbabble.web.review.export import Written

MARKS = ("README.md", "manifest.jsonl")
"""By which a folder is known that may be replaced."""
LEAST_SHARD_MEGABYTES = 1


def collected(
    out: AnyPath,
    /,
    *,
    data: AnyPath = Path("unbabble-data"),
    database: str | None = None,
    storage: str | None = None,
    campaign: str | None = None,
    layout: LayoutName = "manifest",
    shards: bool = False,
    shard_megabytes: float = 256.0,
    title: str = "Collected mixtures",
    seed: int = 0,
    dev: float = DEV_SHARE,
    test: float = TEST_SHARE,
    overwrite: bool = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Export the recordings that a site's reviewers have accepted: WAV files, manifests, splits, licence and consent.

    `unbabble score OUT/manifest.jsonl`, `unbabble bench folder --data OUT/manifest.jsonl` and `unbabble train
    --validate-blind OUT/dev.jsonl` read it. No contributor is in two splits, and more contributors move nobody. People
    and recordings have pseudonyms; what was withdrawn is left out.

    Args:
        out: Folder for the data set; appears when it is complete.
        data: The site's folder.
        database: As for `unbabble serve`.
        storage: As for `unbabble serve`.
        campaign: Only of this one, by the name in its address.
        layout: manifest: recordings sample by sample; realm: at 8 kHz and in folders as REAL-M has them.
        shards: Also write tar shards for WebDataset.
        shard_megabytes: Size that no shard passes.
        title: Of the data set.
        seed: Of the splits.
        dev: Expected share of the contributors in the split dev.
        test: Expected share of the contributors in the split test.
        overwrite: Replace the data set that is in the folder.
        report: Write what happened to each recording to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each recording.

    Raises:
        InputError: no site, no such campaign, or nothing accepted.
        MissingExtraError: without the extra.
        OutputError: the folder cannot be written.
        UsageError: shares that are none, or a folder that holds something else.
    """
    require("web")
    out, data, report = Path(out), Path(data), as_path(report)
    from unbabble.web.database import Database
    from unbabble.web.review.datasets import without_withdrawn
    from unbabble.web.review.export import export
    from unbabble.web.review.shards import FolderSink
    from unbabble.web.review.takes import Choice, find_takes
    from unbabble.web.settings import Settings
    from unbabble.web.storage import Storage

    check_choice("--layout", layout, *get_args(LayoutName))
    if shard_megabytes < LEAST_SHARD_MEGABYTES:
        raise UsageError(f"A shard has at least {LEAST_SHARD_MEGABYTES} MB.")
    _check_place(out, overwrite)
    if not (data / "secret").is_file() and "UNBABBLE_SECRET" not in os.environ:
        raise InputError(f"There is no site in '{data}'.")
    settings = Settings.of(data, database, storage)
    store, recordings = Database(settings.database), Storage(settings.storage)
    how = How(title, layout, shards, round(1e6 * shard_megabytes), seed)
    result = Report("collected", config=plain(vars(how) | {"campaign": campaign, "dev": dev, "test": test}))
    writable_folder(out.absolute().parent)
    with tempfile.TemporaryDirectory(
        dir=out.absolute().parent, prefix=f".{out.name}.", suffix=PARTIAL_SUFFIX
    ) as place:
        folder, spool = Path(place) / "set", Path(place) / "spool"

        def once() -> "Written":
            for each in (folder, spool):
                shutil.rmtree(each, ignore_errors=True)
                each.mkdir()
            takes, consents = find_takes(store, settings.secret, Choice(campaign, seed, dev, test))
            with _progress(len(takes), quiet) as progress:
                return export(takes, consents, how, recordings, FolderSink(folder), spool, progress)

        try:
            store.migrate()
            written = without_withdrawn(store, once)
            _publish(folder, out, Path(place) / "before")
        except OSError as error:
            raise OutputError(f"Cannot write '{out}': {error.strerror or error}.") from error
        finally:
            store.close()
    result.files = _files(written, out)
    result.finished = timestamp()
    if report is not None:
        result.save(report)
    _print(result, out, quiet)
    return result


def _check_place(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file: name a folder.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise UsageError(
            f"'{out}' is not empty: name another folder, or replace what it holds with --overwrite."
        )
    if not all((out / mark).is_file() for mark in MARKS):
        raise UsageError(f"'{out}' holds something else than a data set: it is not replaced.")


def _publish(folder: Path, out: Path, before: Path) -> None:
    """The new one in place of the old one."""
    if out.exists():
        out.replace(before)
    folder.replace(out)


@contextmanager
def _progress(count: int, quiet: bool) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Exporting", total=count)
        yield lambda share: bar.update(task, completed=share * count)


def _files(written: "Written", out: Path) -> list[FileReport]:
    files = [
        FileReport(
            line["id"],
            "done",
            audio_seconds=line["seconds"],
            outputs=[str(out / line["mixture"])],
            details={"split": line["split"]},
        )
        for line in written.lines.values()
    ]
    return files + [
        FileReport(name, "failed", error=f"{name} is left out. {sentence}")
        for name, sentence in written.missing.items()
    ]


def _print(report: Report, out: Path, quiet: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    done = [file for file in report.files if file.outcome == "done"]
    if not quiet:
        splits = [file.details["split"] for file in done]
        counts = ", ".join(f"{splits.count(split)} {split}" for split in dict.fromkeys(sorted(splits)))
        minutes = sum(file.audio_seconds or 0.0 for file in done) / 60
        console.print(f"{counted(len(done), 'recording')}, {minutes:.1f} minutes, in '{out}': {counts}.")
    for file in report.files:
        if file.error:
            console.print(file.error, style="red")
