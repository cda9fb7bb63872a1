"""``unbabble label``: what is heard in each recording, of the words that a model knows or that are named."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unbabble.base.config import parse_assignments
from unbabble.base.errors import UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_not_read
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.options import (
    AnyPath,
    Assignments,
    Device,
    Duration,
    Jobs,
    SoundStream,
    Start,
    Texts,
    as_path,
    several,
)

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 3
"""Words of each recording in the table, and in the report where the model's own words are many."""
REPORTED = 10


@dataclass(frozen=True)
class Settings:
    """What is asked of each recording."""

    model: str
    options: dict[str, Any]
    words: tuple[str, ...]
    part: Part
    device: str


def label(
    *inputs: str | Path,
    words: Texts | None = None,
    model: str = "auto",
    set: Assignments = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Say what is heard in each recording, and when: which of several words describes it best.

    One of the words is said to fit at any time, also where none does.

    Args:
        inputs: Recordings: files, folders, patterns, manifests, or - for standard input.
        words: Words to choose from, with commas between them; all that the model has learnt if not given.
        model: What compares sounds and words: a packaged model, a file, a folder, or auto.
        set: Options of the model, as text=FOLDER.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        report: Write what is heard in each recording to this file, as JSON.
        quiet: Say nothing but what is heard, and what failed.

    Returns:
        ``files[i].details`` has ``labels``, each with its ``share``, the best first, and ``events``, each with
        ``start`` and ``end`` in seconds, its ``text`` and its ``score``.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: a word that cannot be read.
        OutputError: the report cannot be written.
    """
    from unbabble.pipelines.label import Vocabulary
    from unbabble.pipelines.sounds import NAMING, load_sounds

    frame = Frame(jobs, as_path(report), quiet)
    chosen = split_words(several(words))
    options = parse_assignments(several(set))
    embedder = load_sounds(model, device, NAMING, **options)
    vocabulary = Vocabulary.of(embedder, chosen)
    settings = Settings(embedder.name, options, vocabulary.words, Part(start, duration, stream), device)
    result = Report("label", config={"model": embedder.name, "words": list(vocabulary.words)})
    with TemporaryDirectory(prefix="unbabble-") as spool:
        given = expand(inputs, spool)
        check_not_read(frame.report, [*inputs, *(each.path for each in given)])
        frame.run(result, partial(label_one, settings=settings), given, "Listening")
    frame.conclude(result, partial(_print, result, vocabulary.guessed, embedder.name, quiet))
    return result


def split_words(given: Sequence[str]) -> tuple[str, ...]:
    """Words out of texts with commas.

    >>> split_words(["rain, siren", "a dog"])
    ('rain', 'siren', 'a dog')

    Raises:
        UsageError: nothing between two commas.
    """
    words = tuple(word.strip() for text in given for word in text.split(","))
    if not all(words):
        raise UsageError(
            "A word of --words is empty: words have commas between them, as in --words 'rain, siren'."
        )
    return words


def label_one(task: Input, settings: Settings) -> FileReport:
    """Label one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.pipelines.label import Vocabulary
    from unbabble.pipelines.label import label as heard_in
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.sounds import NAMING, load_sounds

    began = time.perf_counter()
    recording = Recording.open(settings.part.of(task.path))
    embedder = load_sounds(settings.model, settings.device, NAMING, **settings.options)
    labelled = heard_in(embedder, Vocabulary.of(embedder, settings.words), recording)
    shares = list(labelled.shares.items())[:REPORTED]
    return FileReport(
        task.name,
        "done",
        model=settings.model,
        seconds=time.perf_counter() - began,
        audio_seconds=recording.seconds,
        warnings=list(recording.info.warnings),
        details={
            "labels": [{"text": word, "share": share} for word, share in shares],
            "events": [event.to_dict() for event in labelled.events],
        },
    )


def guessed_note(words: Sequence[str], model: str) -> str:
    """What is said of words that a model has not learnt by name."""
    return (
        f"'{model}' has not learnt {', '.join(repr(word) for word in words)} by name: what is most like it in meaning "
        "counts, which is often wrong."
    )


def _print(report: Report, guessed: Sequence[str], model: str, quiet: bool) -> None:
    made = [file for file in report.files if file.outcome == "done"]
    if made:
        show(label_table(made))
    if guessed:
        say(guessed_note(guessed, model), quiet)
    print_files(report, quiet)


def label_table(made: Sequence[FileReport]) -> "Table":
    """The best words of each recording, and when which of them is heard, as a ``rich`` table."""
    from rich.table import Table

    table = Table("recording", "labels", "events", box=None, pad_edge=False)
    for file in made:
        labels = "\n".join(f"{each['share']:4.0%} {each['text']}" for each in file.details["labels"][:SHOWN])
        events = "\n".join(
            f"{each['start']:.1f}-{each['end']:.1f} s {each['text']}" for each in file.details["events"]
        )
        table.add_row(file.input, labels, events)
    return table
