"""``unbabble score`` without the true voices: a score with its interval, and a word, for each separated voice."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import WHOLE, Part
from unbabble.base.files import as_utf8, atomic, check_output
from unbabble.base.inputs import STDIN, recordings_in, result_name
from unbabble.base.report import FileReport, Report
from unbabble.jobs.records import folders_by_recording, read_record, recording_of
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.score_files import numbered_voices

if TYPE_CHECKING:
    from unbabble.pipelines.score import VoiceScore

SHOWN_SECONDS = 60.0
"""Of a recording, in its picture."""
RANGE_DB = 70.0
PICTURE_SUFFIX = ".png"


class BlindReport(Report):
    """Scores without references; ``files[i].details["voices"]`` has an entry for each voice."""

    def table(self) -> Any:
        """As a ``rich`` table."""
        from rich.table import Table

        table = Table("recording", "voice", box=None, pad_edge=False)
        for label in ("SI-SNR (estimated)", "9 times in 10 within", ""):
            table.add_column(label, justify="right" if label else "left", no_wrap=True)
        for file in self.files:
            for number, voice in enumerate(file.details.get("voices", ())):
                cells = (file.input if number == 0 else "", Path(voice["estimate"]).name)
                table.add_row(*cells, *score_cells(voice))
        return table


@dataclass(frozen=True)
class BlindTask:
    """One recording to score.

    Attributes:
        name: as reports call it.
        mixture: the recording.
        estimates: its voices.
        part: of the recording that the voices are known to be of.
    """

    name: str
    mixture: Path
    estimates: tuple[Path, ...]
    part: Part = WHOLE
    channel: int | None = None
    """The microphone, from 1, as which the voices sound, if that is known."""


def score_cells(voice: dict[str, Any]) -> tuple[str, str, str]:
    """Score, interval and verdict of a voice, to be shown."""
    return (
        f"{voice['si_snr_db']:.1f} dB",
        f"{voice['low_db']:.1f} to {voice['high_db']:.1f}",
        voice["verdict"],
    )


def score_blind(
    files: Sequence[Path],
    mixture: Path | None,
    estimates: Sequence[Path],
    *,
    model: str,
    channel: int | None,
    part: Part,
    plot: Path | None,
    device: str,
    frame: Frame,
) -> BlindReport:
    """Score without references; for the arguments see ``score``."""
    from unbabble.networks.device import choose_device
    from unbabble.pipelines.score import BlindScorer

    tasks = find_blind_tasks([*map(Path, files)], mixture and Path(mixture), [*map(Path, estimates)])
    pictures: list[Path | None] = [None] * len(tasks)
    if plot is not None:
        one = len(tasks) == 1 and plot.suffix.lower() == PICTURE_SUFFIX
        if plot.suffix and not one and not plot.is_dir():
            wanted = (
                f"a {PICTURE_SUFFIX} file, or a folder"
                if len(tasks) == 1
                else "a folder where there are several"
            )
            raise UsageError(f"--plot takes {wanted}, not '{plot}'.")
        pictures = [plot] if one else [plot / f"{name}{PICTURE_SUFFIX}" for name in _picture_names(tasks)]
        check_output(pictures[0])
    BlindScorer(model, str(choose_device(device)))  # says what is wrong with the request, before any work
    result = BlindReport("score", config={"model": model, "channel": channel, "device": device})
    named = [_Pictured(task, picture) for task, picture in zip(tasks, pictures, strict=True)]
    work = partial(
        _score_recording, model=model, channel=channel, device=str(choose_device(device)), part=part
    )
    frame.run(result, work, named, "Scoring")
    frame.conclude(result, partial(_print, result, frame.quiet))
    return result


@dataclass(frozen=True)
class _Pictured:
    task: BlindTask
    picture: Path | None

    @property
    def name(self) -> str:
        return self.task.name


def _score_recording(
    pictured: _Pictured, model: str, channel: int | None, device: str, part: Part
) -> FileReport:
    from unbabble.base.audio import probe
    from unbabble.pipelines.score import BlindScorer
    from unbabble.verbs.score_files import parts

    started, task = time.perf_counter(), pictured.task
    if not task.estimates:
        raise InputError(f"There are no separated voices of '{task.name}'.")
    if task.mixture == Path(STDIN):
        raise InputError(
            f"The voices in '{task.name}' came out of standard input: name what it was with --mixture, "
            "and them with --estimates."
        )
    channel = channel or task.channel or 1
    if part != WHOLE and task.part != WHOLE:
        raise InputError(
            f"The voices in '{task.name}' are of a part of the recording: score them without another."
        )
    part = task.part if part == WHOLE else part
    mixture, *estimates = parts(part, task.mixture, [task.mixture, *task.estimates])
    scorer = BlindScorer(model, device)
    scores = scorer.files(mixture, estimates, channel)
    info = probe(mixture)
    voices = [
        {"estimate": str(path)} | score.to_dict() for path, score in zip(task.estimates, scores, strict=True)
    ]
    outputs = []
    if pictured.picture is not None:
        plot_scores(mixture, estimates, scores, pictured.picture, channel)
        outputs = [str(pictured.picture)]
    return FileReport(
        task.name,
        "done",
        model=scorer.name,
        seconds=time.perf_counter() - started,
        audio_seconds=info.seconds,
        outputs=outputs,
        warnings=list(info.warnings),
        details={"voices": voices},
    )


def find_blind_tasks(
    files: Sequence[Path], mixture: Path | None, estimates: Sequence[Path]
) -> list[BlindTask]:
    """What to score: a mixture and its voices; two folders; a folder that ``separate`` wrote; a manifest.

    Raises:
        UsageError: nothing, or nothing that goes together.
    """
    if mixture is not None or estimates:
        if mixture is None or not estimates or files:
            raise UsageError(
                "Name the recording with --mixture and its voices with --estimates, or both without."
            )
        return [BlindTask(str(mixture), mixture, _voices(estimates))]
    if not files:
        raise UsageError("Name a recording and the voices that were separated from it.")
    first, *others = files
    if first.suffix.lower() == ".jsonl" and not others:
        return _from_manifest(first)
    if not first.is_dir():
        if not others:
            raise UsageError(f"Name the voices that were separated from '{first}', too.")
        return [BlindTask(str(first), first, _voices(others))]
    if not others:
        return _from_separated(first)
    if len(others) > 1 or not others[0].is_dir():
        raise UsageError("After a folder of recordings comes the folder of their voices.")
    recordings = list(recordings_in(first))
    if not recordings:
        raise UsageError(f"Folder '{first}' holds no recordings.")
    known = folders_by_recording(others[0])
    return [_in_folders(path, first, known, others[0]) for path in recordings]


def _in_folders(path: Path, recordings: Path, known: dict[str, Path], voices: Path) -> BlindTask:
    """The voices of ``path``, one of the ``recordings``, in the folder that says so, or in one that is called so."""
    names = (voices / result_name(path, recordings), voices / path.stem)
    folder = known.get(os.path.realpath(path)) or next(filter(Path.is_dir, names), names[0])
    return BlindTask(
        str(path), path, tuple(numbered_voices(folder)), _recorded_part(folder), _recorded_channel(folder)
    )


def _recorded_part(folder: Path) -> Part:
    """The part of the recording that the voices in ``folder`` are of; all of it if no record says so."""
    return Part(**(read_record(folder).get("config") or {}).get("part", {}))


def _recorded_channel(folder: Path) -> int | None:
    """The microphone, from 1, as which the voices in ``folder`` sound, if a record says so."""
    options = (read_record(folder).get("config") or {}).get("options") or {}
    return options["reference"] + 1 if isinstance(options.get("reference"), int) else None


def _picture_names(tasks: Sequence[BlindTask]) -> list[str]:
    """One for each task, none like another."""
    names: list[str] = []
    for number, task in enumerate(tasks, 1):
        name = result_name(task.mixture)
        names.append(f"{name}-{number}" if name in names else name)
    return names


def _voices(paths: Sequence[Path]) -> tuple[Path, ...]:
    voices: list[Path] = []
    for path in paths:
        voices += numbered_voices(path) if path.is_dir() else [path]
    if not voices:
        raise UsageError(f"Folder '{paths[0]}' holds no recordings.")
    return tuple(voices)


def _from_separated(folder: Path) -> list[BlindTask]:
    """The folder that ``separate`` wrote, or that of one recording in it: each says what it was made of."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    tasks = []
    for each in candidates:
        record = read_record(each)
        if record.get("outcome") == "done" and (voices := numbered_voices(each)):
            mixture = recording_of(each) or Path(str(record.get("input")))
            part, channel = _recorded_part(each), _recorded_channel(each)
            tasks.append(BlindTask(str(each), mixture, tuple(voices), part, channel))
    if not tasks:
        raise UsageError(
            f"Folder '{folder}' is not one that `unbabble separate` wrote: name the recordings before it."
        )
    return tasks


def _from_manifest(path: Path) -> list[BlindTask]:
    tasks = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Manifest '{path}' cannot be read as text.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            mixture, estimates = (
                path.parent / entry["mixture"],
                [path.parent / each for each in entry["estimates"]],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"Line {number} of manifest '{path}' names no mixture and estimates.") from error
        tasks.append(BlindTask(str(mixture), mixture, tuple(estimates)))
    if not tasks:
        raise UsageError(f"Manifest '{path}' names no files.")
    return tasks


def plot_scores(
    mixture: str | os.PathLike[str],
    estimates: Sequence[str | os.PathLike[str]],
    scores: "Sequence[VoiceScore]",
    path: str | os.PathLike[str],
    channel: int = 1,
) -> None:
    """Spectrograms of the mixture and its voices, each with its score, as a PNG.

    Raises:
        InputError: a file that cannot be read.
        OutputError: it cannot be written.
    """
    import matplotlib
    import torch

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from unbabble.base.audio import probe, read_blocks
    from unbabble.signal.stft import Stft

    titles = [Path(mixture).name]
    titles += [
        f"{Path(file).name}: {score.si_snr_db:.1f} dB ({score.low_db:.1f} to {score.high_db:.1f}), {score.verdict}"
        for file, score in zip(estimates, scores, strict=True)
    ]
    figure, axes = pyplot.subplots(
        len(titles), figsize=(9, 1.2 + 1.6 * len(titles)), sharex=True, sharey=True, constrained_layout=True
    )
    for title, file, axis in zip(titles, (mixture, *estimates), axes, strict=True):
        rate = probe(file).sample_rate
        block = next(read_blocks(file, SHOWN_SECONDS))
        channel_samples = block[channel - 1 if len(block) > 1 else 0]
        hop = round(0.008 * rate)
        power = Stft(4 * hop, hop).analyse(channel_samples).abs().square()
        db = 10 * torch.log10(power / power.max().clamp(min=1e-20) + 10 ** (-RANGE_DB / 10))
        extent = (0, len(channel_samples) / rate, 0, rate / 2000)
        axis.imshow(
            db.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="bilinear"
        )
        axis.set(ylabel="kHz")
        axis.set_title(as_utf8(title).decode(), fontsize=10, loc="left")
    axes[-1].set(xlabel="seconds")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)


def _print(report: BlindReport, quiet: bool) -> None:
    if not quiet and any(file.outcome == "done" for file in report.files):
        show(report.table())
        for file in report.files:
            for output in file.outputs:
                say(f"Picture: {output}")
    print_files(report, quiet)
