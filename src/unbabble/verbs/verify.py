"""``unbabble verify``: is it one person who speaks, and how sure is that?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from unbabble.base.errors import InputError, UsageError
from unbabble.base.excerpt import Part
from unbabble.base.files import check_apart, check_not_read, check_output, write_json
from unbabble.base.inputs import Input, expand
from unbabble.base.report import Report
from unbabble.verbs.embed import Settings
from unbabble.verbs.frame import Frame, print_files, say, show
from unbabble.verbs.options import (
    MORE,
    AnyPath,
    Device,
    Duration,
    Enroll,
    Jobs,
    SoundStream,
    Start,
    as_path,
    check_recordings,
    refuse_idle,
    several,
)
from unbabble.verbs.trials import Trial, read_trials, speakers_of
from unbabble.verbs.voices import percent, voices_of

if TYPE_CHECKING:
    from rich.table import Table

    from unbabble.pipelines.embed import Voice
    from unbabble.signal.verification import Application

MOST_SHOWN = 40
"""Pairs; of more the report has all."""
LEAST_PAIRS = 30
"""Of one person, and of two, for a calibration: of fewer a line may part all, and then seems sure."""
PRIORS = (0.01, 0.05)
"""How probable it is that one person speaks, where costs are told."""
FIGURES = (
    ("equal_error_rate", "Equal error rate, per cent", 100.0),
    *((f"least_cost_{each:g}", f"Least cost (minDCF) at a prior of {each:g}", 1.0) for each in PRIORS),
)
ENROLLED = "the enrolled person"


@dataclass
class VerifyReport(Report):
    """What became of each recording, and of each pair.

    Attributes:
        pairs: ``one`` and ``other``, ``likeness``, ``probability``, ``answer``, ``seconds`` of speech, what errors the
            embedder made in its test (``wrongly_same``, ``wrongly_different``), and ``same`` where it was known.
        trials: of a list with labels: how many pairs, error rates and costs, each with its interval.
    """

    pairs: list[dict[str, Any]] = field(default_factory=list)
    trials: dict[str, Any] = field(default_factory=dict)


def verify(
    *inputs: str | Path,
    enroll: Enroll = (),
    trials: AnyPath | None = None,
    prior: float = 0.5,
    model: str = "auto",
    calibration: Annotated[AnyPath | None, MORE] = None,
    calibrate: Annotated[AnyPath | None, MORE] = None,
    start: Start = 0.0,
    duration: Duration = None,
    stream: SoundStream = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> VerifyReport:
    """Say whether one person speaks in two recordings, how probable that is, and how often such answers are wrong.

    Of more than two recordings all pairs are compared; with --enroll, each recording with that person.

    Args:
        inputs: Recordings of one speaker each: files, folders, patterns, manifests, or - for standard input.
        enroll: Recordings of one person; each of the others is compared with all of these together.
        trials: A list of pairs in place of recordings, one a line, as VoxCeleb has them: 1 anna/a.wav anna/b.wav; with
            labels (1 or 0), error rates are told.
        prior: How probable it is beforehand that one person speaks.
        model: What tells speakers apart: a packaged model, a file, a folder, or auto.
        calibration: What likenesses mean: a file that --calibrate wrote, in place of the model's own.
        calibrate: With --trials that have labels: write what likenesses of such recordings mean to this file, .json.
        start: Seconds to leave out at the beginning of each recording.
        duration: Seconds to read of each recording from there on; all that follows if not given.
        stream: Which sound stream of a video, from 1; the first if not given.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        report: Write every pair, and what happened to each recording, to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        ``pairs`` holds the answers.

    Raises:
        UsageError: a request that makes no sense; no recording was touched.
        InputError: trials or a calibration that cannot be read.
        OutputError: the report or the calibration cannot be written.
    """
    from unbabble.pipelines.verify import check_prior, load_verifier

    frame, wanted, written = Frame(jobs, as_path(report), quiet), as_path(trials), as_path(calibrate)
    enrolled = several(enroll)
    check_recordings(inputs, enrolled)
    check_prior(prior)
    check_output(written)
    check_apart(frame.report, written)
    refuse_idle("is for --trials with labels", calibrate=written is not None and wanted is None)
    if wanted is not None and (inputs or enrolled):
        raise UsageError("Either recordings or --trials.")
    verifier = load_verifier(model, device, calibration=as_path(calibration))
    pairs = read_trials(wanted) if wanted is not None else []
    if written is not None:
        check_enough(pairs)
    speakers = speakers_of(pairs) if pairs and pairs[0].same is not None else {}
    name = verifier.embedder.name
    result = VerifyReport("verify", config={"model": name, "prior": prior})
    settings = Settings(name, Part(start, duration, stream), device, only_speech=True)
    with TemporaryDirectory(prefix="unbabble-") as spool:
        if pairs:
            paths = dict.fromkeys(path for trial in pairs for path in trial[:2])
            given, known = [Input(str(path), path, path.stem) for path in paths], []
        else:
            given = expand(inputs, spool)
            known = expand(enrolled, spool) if enrolled else []
            if len(given) + bool(known) < 2:
                raise UsageError("Name two recordings or more, or one and those of a person with --enroll.")
        read = [*inputs, *enrolled, *(each.path for each in (*given, *known)), *filter(None, [wanted])]
        check_not_read(frame.report, read)
        check_not_read(written, read)
        names = {each.name for each in given}
        voices = voices_of(
            frame, result, [*given, *(each for each in known if each.name not in names)], settings
        )
    for one, other, same in compared(pairs, voices, given, known):
        found = verifier.compare(one.voice, other.voice, prior)
        result.pairs.append({"one": one.name, "other": other.name, **asdict(found), "same": same})
    if speakers:
        result.trials = measured(result.pairs, {str(path): who for path, who in speakers.items()}, prior)
    if written is not None:
        write_json(written, calibrated(result.pairs, name))
    frame.conclude(result, partial(_print, result, written, quiet))
    return result


def check_enough(trials: Sequence[Trial]) -> None:
    """Refuse lists that cannot tell what likenesses mean.

    Raises:
        UsageError: no labels, or fewer than ``LEAST_PAIRS`` different pairs of either kind.
    """
    if trials[0].same is None:
        raise UsageError("--calibrate is for --trials with labels, 1 or 0, before each pair.")
    same, different = (
        len({frozenset(trial[:2]) for trial in trials if trial.same is kind}) for kind in (True, False)
    )
    if min(same, different) < LEAST_PAIRS:
        raise UsageError(
            f"--calibrate needs {LEAST_PAIRS} pairs of one person and {LEAST_PAIRS} of two: here are {same} and "
            f"{different}."
        )


class Named(NamedTuple):
    """A voice, and the recording or the person whose it is."""

    name: str
    voice: "Voice"


def compared(
    trials: Sequence[Trial], voices: "Mapping[str, Voice]", given: Sequence[Input], known: Sequence[Input]
) -> Iterator[tuple[Named, Named, bool | None]]:
    """The pairs that are asked for, as far as there are voices, and whether each is of one person.

    Args:
        trials: a list of pairs; none where recordings were given.
        voices: by name of the recording, of those that could be embedded.
        given: recordings.
        known: recordings of one person with whom each of the others is compared; none to compare all with each other.
    """
    from unbabble.pipelines.embed import Voice

    there = [Named(each.name, voices[each.name]) for each in given if each.name in voices]
    enrolled = [voices[each.name] for each in known if each.name in voices]
    if trials:
        for one, other, same in trials:
            if str(one) in voices and str(other) in voices:
                yield Named(str(one), voices[str(one)]), Named(str(other), voices[str(other)]), same
    elif enrolled:
        person = Named(known[0].name if len(known) == 1 else ENROLLED, Voice.mean(enrolled))
        yield from ((person, each, None) for each in there)
    elif not known:
        yield from ((one, other, None) for one, other in combinations(there, 2))


def measured(pairs: Sequence[Mapping[str, Any]], speakers: Mapping[str, int], prior: float) -> dict[str, Any]:
    """Error rates and costs of labelled pairs, each with its interval by drawing speakers again; {} of one kind alone.

    Args:
        pairs: as ``VerifyReport`` has them, with ``same``.
        speakers: who speaks in each recording.
        prior: with which probabilities were computed.
    """
    from unbabble.signal.calibration import log_odds
    from unbabble.signal.verification import (
        Application,
        bootstrap_by_speaker,
        equal_error_rate,
        ratio_cost,
    )

    same = np.array([pair["same"] for pair in pairs], bool)
    if same.all() or not same.any():
        return {}
    one, other = (np.array([speakers[pair[side]] for pair in pairs]) for side in ("one", "other"))
    scores = np.array([pair["likeness"] for pair in pairs])
    figures = {"equal_error_rate": equal_error_rate}
    figures |= {
        f"least_cost_{each:g}": partial(_least_cost, application=Application(each)) for each in PRIORS
    }
    result: dict[str, Any] = {"same": int(same.sum()), "different": int((~same).sum())}
    for name, figure in figures.items():
        result[name] = bootstrap_by_speaker(figure, scores, one, other)._asdict()
    if pairs[0]["probability"] is not None:
        odds = np.array([log_odds(np.clip(pair["probability"], 1e-12, 1 - 1e-12)) for pair in pairs])
        result["ratio_cost"] = ratio_cost(odds - log_odds(prior), same)
    return result


def calibrated(pairs: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any]:
    """What ``--calibration`` reads.

    Raises:
        InputError: pairs of one kind alone, or those of one person are no more alike than those of two.
    """
    from unbabble.signal.calibration import calibrate

    scores, same = (np.array([pair[key] for pair in pairs]) for key in ("likeness", "same"))
    line = calibrate(scores, same)
    if line.scale <= 0:
        raise InputError(
            f"Pairs of one person are no more alike than pairs of two, for '{model}': are labels 1 for one person?"
        )
    return {"model": model, "calibration": asdict(line), "pairs": len(pairs)}


def _print(report: VerifyReport, written: Path | None, quiet: bool) -> None:
    if report.pairs and not quiet:
        if len(report.pairs) <= MOST_SHOWN:
            show(pair_table(report.pairs))
        for line in worth(report.pairs, report.config["model"]):
            say(line)
        if report.trials:
            for line in trial_lines(report.trials):
                say(line)
    print_files(report, quiet)
    if written is not None and not quiet:
        say(f"{written}: what likenesses mean, by {len(report.pairs)} pairs.")


def pair_table(pairs: Sequence[Mapping[str, Any]]) -> "Table":
    """Each pair and its answer, as a ``rich`` table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    known = pairs[0]["probability"] is not None
    for label in ("one", "other"):
        table.add_column(label, overflow="fold")
    for label in ("likeness", *(["one person", "answer"] if known else [])):
        table.add_column(label, justify="left" if label == "answer" else "right", no_wrap=True)
    for pair in pairs:
        said = [percent(pair["probability"]), pair["answer"]] if known else []
        table.add_row(pair["one"], pair["other"], f"{pair['likeness']:.2f}", *said)
    return table


def worth(pairs: Sequence[Mapping[str, Any]], model: str) -> list[str]:
    """How often such answers are wrong, in sentences; of the pair of which least is known."""
    if pairs[0]["probability"] is None:
        return [
            f"Nobody has calibrated '{model}': likenesses alone, from -1 to 1. `unbabble verify --trials LABELLED "
            "--calibrate FILE` makes probabilities of them."
        ]
    if pairs[0]["wrongly_same"] is None:
        return []
    same, different = (max(pair[key] for pair in pairs) for key in ("wrongly_same", "wrongly_different"))
    return [
        f"Of people whom '{model}' had not heard, in recordings as short: of pairs of two people {percent(same)} were "
        f"called the same, of pairs of one {percent(different)} different."
    ]


def trial_lines(trials: Mapping[str, Any]) -> list[str]:
    """Figures of labelled pairs, a line each."""
    lines = [f"{trials['same']} pairs of one person, {trials['different']} of two."]
    for name, label, scale in FIGURES:
        if name in trials:
            value, low, high = (scale * trials[name][key] for key in ("value", "low", "high"))
            lines.append(f"{label}: {value:.3g} (95 times in 100 {low:.3g} to {high:.3g})")
    if "ratio_cost" in trials:
        lines.append(f"Cllr, bits: {trials['ratio_cost']:.3g}")
    return lines


def _least_cost(
    scores: np.ndarray, same: np.ndarray, weights: np.ndarray, application: "Application"
) -> float:
    from unbabble.signal.verification import least_cost

    return least_cost(scores, same, application, weights)
