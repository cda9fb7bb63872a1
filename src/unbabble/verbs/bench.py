"""``unbabble bench``: which model separates real recordings best, as far as a blind score can tell."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from unbabble.base import notes
from unbabble.base.errors import InputError, UsageError
from unbabble.base.report import FileReport, Report
from unbabble.verbs.frame import Frame, print_files, show, stderr
from unbabble.verbs.options import AnyPath, Device, Jobs, Texts, as_path, check_choice, several

MIXTURE = "unchanged"
"""The recording itself in place of every voice: the trivial baseline."""


class Bench(Report):
    """Scores of several models; ``files[i].details["scores"]`` holds, by model, the scores of recording i's voices."""

    def models(self) -> dict[str, dict[str, float]]:
        """Of each model, best first: mean score over recordings, its 95 % bootstrap interval, and how many."""
        import numpy as np

        from unbabble.signal.statistics import bootstrap

        by_model: dict[str, dict[str, float]] = {}
        rng = np.random.default_rng(0)
        for model in self.config["models"]:
            scores = [file.details["scores"].get(model) for file in self.files if file.outcome == "done"]
            means = np.array([np.mean([each["si_snr_db"] for each in score]) for score in scores if score])
            if len(means):
                mean, low, high = bootstrap(means, seed=rng)
                figures = {"si_snr_db": mean, "low_db": low, "high_db": high}
                by_model[model] = figures | {"recordings": len(means)}
        return dict(sorted(by_model.items(), key=lambda item: -item[1]["si_snr_db"]))

    @property
    def exit_code(self) -> int:
        """1 if a recording failed, or a model on every recording."""
        return max(super().exit_code, int(len(self.models()) < len(self.config["models"])))

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return super().to_dict() | {"models": self.models()}

    def table(self) -> Any:
        """As a ``rich`` table, a line for each model."""
        from rich.table import Table

        table = Table("model", box=None, pad_edge=False)
        for label in ("SI-SNR (estimated)", "95 % interval of the mean", "recordings"):
            table.add_column(label, justify="right", no_wrap=True)
        for model, row in self.models().items():
            interval = f"{row['low_db']:.2f} to {row['high_db']:.2f}"
            table.add_row(model, f"{row['si_snr_db']:.2f} dB", interval, f"{row['recordings']:.0f}")
        return table


@dataclass(frozen=True)
class _Recording:
    name: str
    path: Path


def bench(
    what: Literal["realm", "folder"],
    /,
    *,
    data: AnyPath,
    models: Annotated[Texts | None, Parameter(consume_multiple=True)] = None,
    scorer: str = "auto",
    limit: int | None = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    json: AnyPath | None = None,
    quiet: bool = False,
) -> Bench:
    """Separate real recordings with several models, score them without the true voices, and rank the models.

    Args:
        what: realm for the REAL-M data set; folder for recordings of your own.
        data: Where they lie.
        models: What separates: names that `unbabble models` lists, weights, org/name on the Hub; all packaged networks
            for two talkers if not given. The recording itself always stands beside them.
        scorer: What scores: a packaged scorer, its weights, org/name on the Hub; auto for the best.
        limit: Only so many recordings, evenly spread.
        device: auto, cpu, cuda ...
        jobs: Recordings to work on at the same time.
        json: Write all scores to this file.
        quiet: Print nothing but what failed.

    Returns:
        The scores, and the models by rank.

    Raises:
        UsageError: a request that makes no sense.
        InputError: no recordings, or weights that cannot be used.
    """
    from unbabble.networks.device import choose_device
    from unbabble.pipelines.choose import load
    from unbabble.pipelines.score import BlindScorer

    check_choice("What is to be separated", what, "realm", "folder")
    data = Path(data)
    json = as_path(json)
    frame = Frame(jobs, json, quiet)
    if limit is not None and limit < 1:
        raise UsageError("The limit is at least 1 recording.")
    recordings = find_recordings(what, data)
    if limit is not None and limit < len(recordings):
        recordings = [recordings[k * len(recordings) // limit] for k in range(limit)]
    names = list(dict.fromkeys([MIXTURE, *(several(models) or default_models())]))
    place = str(choose_device(device))
    for name in names[1:]:
        load(name, place)  # says what is wrong with the request, before any work
    scoring = BlindScorer(scorer, place).name
    result = Bench("bench", config={"what": what, "data": str(data), "models": names, "scorer": scoring})
    work = partial(bench_recording, models=names, scorer=scoring, device=place)
    frame.run(result, work, recordings, "Separating")
    frame.conclude(result, partial(_print, result, quiet))
    return result


def default_models() -> list[str]:
    """The packaged networks that separate two talkers."""
    from unbabble.base import registry
    from unbabble.base.weights import packaged, read_card

    return [
        name
        for name, path in packaged().items()
        if registry.kinds_of(name)[0].name == "separator" and read_card(path).options.get("sources") == 2
    ]


def find_recordings(what: str, data: Path) -> list[_Recording]:
    """The recordings of a data set, or all in a folder.

    Raises:
        InputError: none, or the folder looks otherwise.
    """
    from unbabble.base.inputs import expand
    from unbabble.data import layouts
    from unbabble.data.layouts.real_m import NAME

    if what == "realm":
        entries = [entry for part in layouts.find(NAME, data) for entry in part.entries]
        return [_Recording(entry.id, entry.mixture) for entry in entries if entry.mixture is not None]
    if not data.exists():
        raise InputError(f"There is no folder '{data}'.")
    with tempfile.TemporaryDirectory(prefix="unbabble-") as spool:
        return [_Recording(each.name, each.path) for each in expand([data], Path(spool))]


def bench_recording(task: _Recording, models: Sequence[str], scorer: str, device: str) -> FileReport:
    """Separate one recording with every model, and score each.

    Raises:
        InputError: the recording cannot be read, or no model can separate it.
    """
    from unbabble.pipelines.choose import load
    from unbabble.pipelines.recording import Recording
    from unbabble.pipelines.score import BlindScorer

    started, scoring = time.perf_counter(), BlindScorer(scorer, device)
    recording = Recording.of(task.path)
    scores: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    for model in models:
        try:
            voices = load(model, device)(recording).sources
            voice_scores = scoring.of(recording, voices)
        except InputError as error:
            failed.append(f"{model}: {error}")
            continue
        scores[model] = [each.to_dict() for each in voice_scores]
    if not scores:
        raise InputError(failed[0])
    spent = time.perf_counter() - started
    return FileReport(
        task.name,
        "done",
        seconds=spent,
        audio_seconds=recording.seconds,
        warnings=[*map(notes.without_options, recording.info.warnings), *failed],
        details={"scores": scores},
    )


def _print(report: Bench, quiet: bool) -> None:
    if not quiet and any(file.outcome == "done" for file in report.files):
        show(report.table())
        stderr().print(
            "Mean over recordings of the estimated SI-SNR of their voices; the recording itself is 'unchanged'.",
            style="dim",
        )
    print_files(report, quiet)
