"""``unbabble embed``: who speaks, as vectors that are near to each other where one person does."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import atomic, check_apart, check_not_read, check_output
from unbabble.base.inputs import Input, expand
from unbabble.base.report import FileReport, Report
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.options import (
    AnyPath,
    Device,
    Duration,
    Jobs,
    Out,
    Overwrite,
    SoundStream,
    Start,
    as_path,
)

if TYPE_CHECKING:
    from rich.table import Table

SUFFIX = ".npz"
SPEEDS = (0.5, 2.0)
MOST_SHOWN = 10
"""Recordings, beyond which no table compares each with each."""


@dataclass(frozen=True)
class Settings:
    """What is asked of each recording."""

    model: str
    part: Part
    device: str
    speed: float = 1.0
    only_speech: bool = False
    """Whether a recording in which nobody speaks is refused."""
    sounds: bool = False
    """Whether the model is one for whatever sounds, not for speakers."""


def embed(
    *inputs: str | Path,
    out: Out = "embeddings.npz",
    model: str = "auto",
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    speed: float = 1.0,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    overwrite: Overwrite = False,
    quiet: bool = False,
) -> Report:
    """Turn recordings of one person each into vectors, which are near to each other where that is the same person.

    Vectors are of unit norm: the sum of the products of two is their likeness, from -1 to 1.

    Args:
        inputs: Recordings of one speaker each: files, folders, patterns, manifests, or - for standard input.
        out: File for the vectors, .npz: names (recording), vectors (recording, dimension) and speed.
        model: What tells speakers apart: a packaged model, a file, a folder, or auto.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        speed: Of each recording, 0.5 to 2: faster is higher, and somebody else to learn from.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        report: Write what happened to each recording to this file, as JSON, with its vector.
        overwrite: Replace the file of vectors.
        quiet: Say nothing but what failed.

    Returns:
        ``files[i].details["vector"]`` is that of a recording.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        OutputError: the vectors cannot be written.
    """
    frame, out = Frame(jobs, as_path(report), quiet), Path(out)
    if out.suffix != SUFFIX:
        raise UsageError(f"The file of --out ends in {SUFFIX}, unlike '{out}'.")
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        raise UsageError(f"--speed is from {SPEEDS[0]:g} to {SPEEDS[1]:g}, not {speed:g}.")
    if out.exists() and not overwrite:
        raise UsageError(f"'{out}' is there already: --overwrite replaces it.")
    check_output(out)
    check_apart(out, frame.report)
    model, sounds = _opened(model, device)  # what is wrong with the request is said before any work
    settings = Settings(model, Part(start, duration, stream), device, speed, sounds=sounds)
    result = Report("embed", config={"model": model, "out": str(out)})
    with TemporaryDirectory(prefix="unbabble-") as spool:
        given = expand(inputs, spool)
        check_not_read(frame.report, [*inputs, *(each.path for each in given)])
        frame.run(result, partial(embed_one, settings=settings), given, "Embedding")
    made = [file for file in result.files if file.outcome == "done"]
    if made:
        vectors = np.array([file.details["vector"] for file in made], np.float32)
        with atomic(out) as temporary, temporary.open("wb") as file:
            np.savez(file, names=np.array([each.input for each in made]), vectors=vectors, speed=speed)
    frame.conclude(result, partial(_print, result, made, out, quiet))
    return result


def _opened(model: str, device: str) -> tuple[str, bool]:
    """The name of the model that is meant, and whether it is one for whatever sounds.

    Raises:
        InputError: weights that are missing or damaged; nothing installed for ``auto``.
        UsageError: no such model or device, or one that does something else.
    """
    from unbabble.networks.load import check_kind
    from unbabble.pipelines.embed import embedder_name, load_embedder
    from unbabble.pipelines.sounds import load_sounds

    name = embedder_name(model)
    if check_kind(name, "embedder", "joint embedder").name == "embedder":
        return load_embedder(name, device).name, False
    return load_sounds(name, device).name, True


def embed_one(task: Input, settings: Settings) -> FileReport:
    """Embed one recording.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    from unbabble.base.audio import resample
    from unbabble.pipelines.embed import load_embedder
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.sounds import load_sounds

    began = time.perf_counter()
    recording = Recording.open(settings.part.of(task.path))
    if settings.speed != 1:
        rate = recording.sample_rate
        recording = Recording.of(resample(recording.samples, round(rate * settings.speed), rate), rate)
    if settings.sounds:
        vector = load_sounds(settings.model, settings.device).windows(recording).mean()
        return FileReport(
            task.name,
            "done",
            model=settings.model,
            seconds=time.perf_counter() - began,
            audio_seconds=recording.seconds,
            warnings=list(recording.info.warnings),
            details={"vector": vector.tolist()},
        )
    voice = load_embedder(settings.model, settings.device).voice(recording)
    if settings.only_speech and not voice.speech_seconds:
        raise InputError("Nobody seems to speak in it.")
    return FileReport(
        task.name,
        "done",
        model=settings.model,
        seconds=time.perf_counter() - began,
        audio_seconds=recording.seconds,
        warnings=[*recording.info.warnings, *voice.warnings],
        details={"vector": voice.vector.tolist(), "speech_seconds": voice.speech_seconds},
    )


def _print(report: Report, made: list[FileReport], out: Path, quiet: bool) -> None:
    if not quiet:
        if 1 < len(made) <= MOST_SHOWN:
            show(likeness_table(made))
        if made:
            say(f"{out}: {len(made)} x {len(made[0].details['vector'])}.")
    print_files(report, quiet)


def likeness_table(made: list[FileReport]) -> "Table":
    """How like each recording is to each other one, as a ``rich`` table."""
    from rich.table import Table

    vectors = np.array([file.details["vector"] for file in made])
    table = Table(title="likeness, -1 to 1", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for number in range(1, len(made) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for number, (file, row) in enumerate(zip(made, vectors @ vectors.T, strict=True), 1):
        table.add_row(f"{number} {file.input}", *(f"{each:.2f}" for each in row))
    return table
