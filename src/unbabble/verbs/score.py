"""``unbabble score``: how good separated voices are, against the true ones or without, and transcripts and turns."""

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cyclopts import Parameter

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import WHOLE, Part
from unbabble.base.extras import missing_extra
from unbabble.base.files import check_not_read
from unbabble.base.report import FileReport, Report
from unbabble.verbs.frame import Frame, print_files, show, stderr
from unbabble.verbs.options import (
    MORE,
    AnyPath,
    Device,
    Duration,
    Jobs,
    Paths,
    SoundStream,
    Start,
    Texts,
    as_path,
    refuse_idle,
    several,
)

if TYPE_CHECKING:
    from torch import Tensor

    from unbabble.verbs.score_files import Task

Metric = Literal["si_sdr", "si_sdri", "snr", "sdr", "sir", "sar", "pesq", "stoi", "estoi"]
DEFAULT_METRICS: tuple[Metric, ...] = ("si_sdr", "si_sdri", "sdr", "sir", "sar", "pesq", "stoi", "estoi")
LABELS = {
    "si_sdr": "SI-SDR",
    "si_sdri": "SI-SDRi",
    "snr": "SNR",
    "sdr": "SDR",
    "sir": "SIR",
    "sar": "SAR",
    "pesq": "PESQ",
    "stoi": "STOI",
    "estoi": "eSTOI",
}
SHIFTED_DB = 10.0
"""SDR, which forgives a short filter, is above SI-SDR by this much: a delay is likely."""

Files = Annotated[Paths | None, Parameter(consume_multiple=True)]
Names = Annotated[Texts | None, Parameter(consume_multiple=True), MORE]


class ScoreReport(Report):
    """The scores; ``files[i].details`` holds the scores of recording i.

    ``voices``: one entry per reference with its ``estimate`` and its metrics; ``mean`` over the voices that
    have an estimate; ``mixture``: the same for the mixture taken as the estimate of every voice.
    """

    def table(self) -> Any:
        """The scores as a ``rich`` table: every voice of one recording, or one line per recording of many."""
        from rich.table import Table

        done = [file.details for file in self.files if file.outcome == "done"]
        columns = [name for name in self.config["metrics"] if any(name in each["mean"] for each in done)]
        many = len(self.files) > 1
        table = Table(box=None, pad_edge=False)
        for label in ("recording", "voices") if many else ("reference", "estimate"):
            table.add_column(label, overflow="fold")
        for name in columns:
            table.add_column(LABELS[name], justify="right", no_wrap=True)
        if many:
            for file in self.files:
                if file.outcome == "done":
                    mean, count = file.details["mean"], len(file.details["voices"])
                    table.add_row(file.input, str(count), *_cells(mean, columns))
        else:
            for voice in done[0]["voices"] if done else []:
                table.add_row(voice["reference"], voice["estimate"] or "none", *_cells(voice, columns))
        for label, mean in (("mean", self.mean()), ("mixture", self.mean("mixture"))):
            if mean:
                table.add_row(label, "", *_cells(mean, columns), style="bold" if label == "mean" else "dim")
        return table

    def mean(self, of: Literal["estimates", "mixture"] = "estimates") -> dict[str, float]:
        """The mean over recordings of each metric."""
        details = [file.details for file in self.files if file.outcome == "done"]
        means = [
            each["mean"] if of == "estimates" else (each["mixture"] or {}).get("mean") for each in details
        ]
        return _mean([mean for mean in means if mean], self.config["metrics"])

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return super().to_dict() | {"mean": _plain(self.mean()), "mixture": _plain(self.mean("mixture"))}


def score(
    *files: AnyPath,
    mixture: AnyPath | None = None,
    references: Files = None,
    estimates: Files = None,
    transcripts: Files = None,
    turns: Files = None,
    metrics: Annotated[list[Metric] | None, Parameter(consume_multiple=True)] = None,
    by: Names = None,
    phones: Annotated[bool, MORE] = False,
    alignments: Annotated[bool, MORE] = False,
    collar: Annotated[float, MORE] = 0.0,
    uem: Annotated[AnyPath | None, MORE] = None,
    model: str = "auto",
    plot: AnyPath | None = None,
    channel: int | None = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    json: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Say how good separated voices are, without the true ones or with --references against them; transcripts; turns.

    Without references, a network listens to the recording and its voices, and estimates the SI-SNR of each, an interval
    that holds the true one nine times in ten, and a word.

    With references: SI-SDR, SDR, PESQ, STOI and their kin. Each estimate goes with the reference that makes the sum
    of SI-SDR largest. The line "mixture" is what doing nothing scores. With the folder that `unbabble simulate` wrote
    as --references, and the one that `unbabble separate` wrote as --estimates, every recording is scored.

    With --transcripts: how many of the words in --references came out wrong, with an interval. Of several talkers in a
    recording each is given the text that fits (cpWER).

    With --turns: how much of the speech in --references nobody, the wrong one, or somebody too many speaks (DER).

    Args:
        files: The recording and its voices (files, or their folder); or the folder of recordings and that of voices;
            or a folder that `unbabble separate` wrote; or a manifest (.jsonl: mixture, estimates).
        mixture: The recording that was separated; improvement (SI-SDRi) is counted from it.
        references: The true voices: files, or a folder.
        estimates: The separated voices, in any order: files, or a folder.
        transcripts: What was recognised: files or folders, as `unbabble transcribe` and whisper write them, or tables
            (.csv, .tsv: file, text, speaker; .stm, .ctm, .trn, LibriSpeech's). The references are of the same kinds.
        turns: Who speaks when: RTTM files, or folders of these, as `unbabble diarize` writes them; so are the
            references.
        metrics: What to score; all but snr if not given, as far as their libraries are installed.
        by: Of transcripts, also show each speaker, or each value of these columns of the references; if not given, each
            speaker.
        phones: The transcripts are phones with blanks between: their error rate (PER), and what became of each phone.
        alignments: Show what was said above what was recognised.
        collar: Of turns, leave out so many seconds on either side of each true boundary, as NIST does.
        uem: Of turns, a UEM file that says which stretches are scored; all if not given.
        model: What scores without references: a packaged scorer, its weights, org/name on the Hub; auto for the best.
        plot: Without references, write the spectrograms and their scores to this file (.png), or folder.
        channel: Which microphone, from 1, of files that have several; if not given, the one as which the voices
            sound, by the record of `unbabble separate`, or else the first.
        start: Seconds to leave out at the beginning of each recording, and of those of its voices that are as long.
        duration: Seconds to score of each recording; all that follows if not given.
        stream: Which sound stream of a video was separated, from 1; the first if not given.
        device: What computes scores without references: auto, cpu, cuda ...
        jobs: Recordings to score at the same time.
        json: Write the scores to this file.
        quiet: Print nothing but what failed.

    Returns:
        The scores.

    Raises:
        UsageError: a request that makes no sense.
        InputError: a folder without recordings.
        MissingExtraError: a metric was asked for whose library is not installed.
    """
    from unbabble.signal.metrics import available
    from unbabble.verbs.score_files import find_tasks

    named, voices = [Path(file) for file in files], [Path(file) for file in several(estimates)]
    metrics = several(metrics)
    mixture = as_path(mixture)
    plot = as_path(plot)
    json = as_path(json)
    if channel is not None and channel < 1:
        raise UsageError("Channels are counted from 1.")
    part = Part(start, duration, stream)
    frame = Frame(jobs, json, quiet)
    check_not_read(
        json, filter(None, [*named, *voices, mixture, *several(references), *several(transcripts)])
    )
    if transcripts or turns:
        kind, option = ("turns", "--turns") if turns else ("transcripts", "--transcripts")
        if transcripts and turns:
            raise UsageError("Score transcripts and turns one after the other.")
        if not references:
            raise UsageError(f"Name the true {kind} with --references.")
        refuse_idle(
            f"is for voices, not for {kind}",
            mixture=mixture is not None,
            estimates=bool(voices),
            metrics=bool(metrics),
            model=model != "auto",
            plot=plot is not None,
            channel=channel is not None,
            start=start != 0,
            duration=duration is not None,
            stream=stream is not None,
        )
        if named:
            raise UsageError(f"'{named[0]}' stands by itself: name {kind} with {option}.")
    if not turns:
        refuse_idle("is for --turns", collar=collar != 0, uem=uem is not None)
    if not transcripts:
        refuse_idle("is for --transcripts", by=bool(by), phones=phones, alignments=alignments)
    if turns:
        from unbabble.verbs.score_turns import score_turns

        return score_turns(
            [Path(file) for file in several(turns)],
            [Path(file) for file in several(references)],
            collar=collar,
            uem=as_path(uem),
            frame=frame,
        )
    if transcripts:
        from unbabble.verbs.score_words import score_words

        return score_words(
            [Path(file) for file in several(transcripts)],
            [Path(file) for file in several(references)],
            phones=phones,
            by=several(by),
            alignments=alignments,
            frame=frame,
        )
    if not references:
        from unbabble.verbs.score_blind import score_blind

        if metrics:
            raise UsageError("Metrics need the true voices: name them with --references.")
        return score_blind(
            named,
            mixture,
            voices,
            model=model,
            channel=channel,
            part=part,
            plot=plot,
            device=device,
            frame=frame,
        )
    if plot is not None or model != "auto":
        raise UsageError("--plot and --model are for scoring without references.")
    if named:
        mixture, voices = mixture or named[0], [*voices, *named[1 if mixture is None else 0 :]]
    if not voices:
        raise UsageError("Name the separated voices with --estimates.")
    if unknown := [name for name in metrics if name not in get_args(Metric)]:
        raise UsageError(f"There is no metric '{unknown[0]}': choose from {', '.join(get_args(Metric))}.")
    for name in metrics:
        if not available(name):
            raise missing_extra("metrics", LABELS[name])
    wanted = list(dict.fromkeys(metrics or DEFAULT_METRICS))
    missing = [name for name in wanted if not available(name)]
    tasks = find_tasks(mixture, [Path(file) for file in several(references)], voices)
    if "si_sdri" in wanted and all(task.mixture is None for task in tasks):
        if metrics:
            raise UsageError("SI-SDRi is counted from the mixture: name it with --mixture.")
        wanted.remove("si_sdri")
    wanted = [name for name in wanted if name not in missing]

    result = ScoreReport("score", config={"metrics": wanted, "unavailable": missing, "channel": channel or 1})
    work = partial(score_recording, metrics=wanted, channel=channel or 1, part=part)
    frame.run(result, work, tasks, "Scoring")
    frame.conclude(result, partial(_print, result, quiet))
    return result


def score_recording(task: "Task", metrics: Sequence[str], channel: int, part: Part = WHOLE) -> FileReport:
    """Score the estimates of one recording.

    Raises:
        InputError: files that cannot be read or do not belong together.
    """
    import torch

    from unbabble.signal.metrics import pesq_mode
    from unbabble.signal.permutation import NONE, align
    from unbabble.verbs.score_files import parts, read_all

    started = time.perf_counter()
    if not task.estimates:
        raise InputError(f"There are no estimates for '{task.name}'.")
    warnings: list[str] = []
    paths = [*task.references, *task.estimates, *([task.mixture] if task.mixture else [])]
    waveforms, rate = read_all(parts(part, task.mixture or task.references[0], paths), channel, warnings)
    count = len(task.references)
    references, estimates = waveforms[:count], waveforms[count : count + len(task.estimates)]
    names, estimate_names = _short(task.references), _short(task.estimates)
    live = (references != 0).any(-1)
    if not live.any():
        raise InputError("All references are silent: there is nothing to score against.")
    warnings += [f"{names[k]} is silent: nothing can be scored against it." for k in _false(live)]
    warnings += [f"{estimate_names[k]} is silent." for k in _false((estimates != 0).any(-1))]

    aligned = align(estimates, references)
    order = aligned.order.tolist()
    values = _scores(aligned.estimates, references, rate, metrics)
    baseline = None
    if task.mixture:
        unseparated = waveforms[-1].expand_as(references)
        scored = _scores(unseparated, references, rate, metrics)
        baseline = _rows(names, [task.mixture.name] * count, scored)
        if "si_sdri" in metrics:
            values["si_sdri"] = values["si_sdr"] - scored["si_sdr"]
            for row in baseline:
                row["si_sdri"] = 0.0 if math.isfinite(row["si_sdr"]) else math.nan
    for metric in values.values():
        metric[aligned.order == NONE] = torch.nan
    for k in range(count):
        if order[k] == NONE:
            warnings.append(f"{names[k]} has no estimate; the mean leaves it out.")
    unused = [name for k, name in enumerate(estimate_names) if k not in order]
    if unused:
        warnings.append(f"{', '.join(unused)}: not needed by any reference, not scored.")
    if {"si_sdr", "sdr"} <= values.keys() and (values["sdr"] - values["si_sdr"] > SHIFTED_DB).any():
        warnings.append(
            "SDR is far above SI-SDR: the estimates may be delayed or filtered against the references."
        )
    voices = _rows(names, [None if k == NONE else estimate_names[k] for k in order], values)
    details = {
        "sample_rate": rate,
        "pesq_mode": pesq_mode(rate)[0] if "pesq" in metrics else None,
        "voices": voices,
        "mean": _mean(voices, metrics),
        "mixture": baseline and {"voices": baseline, "mean": _mean(baseline, metrics)},
        "unused_estimates": unused,
    }
    return FileReport(
        task.name,
        "done",
        seconds=time.perf_counter() - started,
        audio_seconds=references.shape[-1] / rate,
        warnings=warnings,
        details=details,
    )


def _scores(
    estimates: "Tensor", references: "Tensor", sample_rate: int, metrics: Sequence[str]
) -> "dict[str, Tensor]":
    """Each metric but SI-SDRi of estimates in the order of their references."""
    from unbabble.signal.metrics import estoi, pesq, sdr_sir_sar, si_sdr, snr, stoi

    values = {"si_sdr": si_sdr(estimates, references)}
    if "snr" in metrics:
        values["snr"] = snr(estimates, references)
    if {"sdr", "sir", "sar"} & set(metrics):
        values |= dict(zip(("sdr", "sir", "sar"), sdr_sir_sar(estimates, references), strict=True))
    for name, metric in (("pesq", pesq), ("stoi", stoi), ("estoi", estoi)):
        if name in metrics:
            values[name] = metric(estimates, references, sample_rate)
    return values


def _rows(
    references: list[str], estimates: Sequence[str | None], values: "dict[str, Tensor]"
) -> list[dict[str, Any]]:
    columns = {name: value.tolist() for name, value in values.items()}
    return [
        {"reference": reference, "estimate": estimate} | {name: column[k] for name, column in columns.items()}
        for k, (reference, estimate) in enumerate(zip(references, estimates, strict=True))
    ]


def _mean(rows: list[dict[str, Any]], metrics: Sequence[str]) -> dict[str, float]:
    """Of each metric, over the rows where it is defined."""
    means = {}
    for name in metrics:
        if values := [row[name] for row in rows if name in row and not math.isnan(row[name])]:
            means[name] = sum(values) / len(values)
    return means


def _false(flags: "Tensor") -> list[int]:
    return (~flags).nonzero().flatten().tolist()


def _short(paths: Sequence[Path]) -> list[str]:
    """File names, or whole paths where names repeat."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _plain(mean: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in mean.items()}


def _cells(values: dict[str, Any], columns: Sequence[str]) -> list[str]:
    cells = []
    for name in columns:
        value, digits = values.get(name, math.nan), 3 if "stoi" in name else 2
        cells.append("" if math.isnan(value) else f"{value:.{digits}f}")
    return cells


def _print(report: ScoreReport, quiet: bool) -> None:
    finished = [file for file in report.files if file.outcome == "done"]
    if not quiet and finished:
        show(report.table())
        modes = {file.details["pesq_mode"] for file in finished} - {None}
        kinds = " and ".join({"wb": "wide band", "nb": "narrow band"}[mode] for mode in sorted(modes))
        pesq = f"; PESQ is MOS-LQO, {kinds}" if kinds else ""
        stderr().print(f"SI-SDR, SNR, SDR, SIR and SAR are in dB{pesq}.", style="dim")
        if report.config["unavailable"]:
            labels = ", ".join(LABELS[name] for name in report.config["unavailable"])
            stderr().print(f"Not available: {labels} (pip install 'unbabble[metrics]').", style="yellow")
    print_files(report, quiet)
