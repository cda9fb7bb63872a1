"""The leaderboard's numbers: means with their intervals, ranks that intervals allow, and tables that are loaded.

A figure is the mean over recordings, with the percentiles of a bootstrap over recordings (Efron and Tibshirani, *An
Introduction to the Bootstrap*, 1993, section 13.3). A system is ranked below another only where the intervals of the
two do not overlap, which is stricter than a test of their difference; where they do, both share the better rank.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unbabble.base.errors import InputError
from unbabble.signal.statistics import DRAWS, bootstrap

LEAST_DB, MOST_DB = -30.0, 60.0
"""Of a voice: so that a silent or a perfect one does not decide a mean."""


@dataclass(frozen=True)
class Metric:
    """A column. ``truth``: whether it needs the true voices."""

    key: str
    label: str
    unit: str
    about: str
    truth: bool
    digits: int = 2


METRICS = (
    Metric("si_sdri", "SI-SDR improvement", "dB", "Against the true voices, over the mixture.", True),
    Metric("pesq", "PESQ", "", "Against the true voices: predicted quality, 1 to 4.6.", True),
    Metric("estoi", "eSTOI", "", "Against the true voices: predicted intelligibility, up to 1.", True, 3),
    Metric("blind", "Blind SI-SNR", "dB", "Estimated by a network, without the true voices.", False),
    Metric("opinion", "Opinion", "", "Of people who listened, 1 bad to 5 excellent.", False),
)
BY_KEY = {metric.key: metric for metric in METRICS}
SCORED = tuple(metric.key for metric in METRICS if metric.key != "opinion")
IN_DB = ("si_sdri", "blind")


@dataclass(frozen=True)
class Figure:
    """A mean over ``count`` recordings (or votes) and its 95 % interval, None for a single one."""

    mean: float
    low: float | None
    high: float | None
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


def figure(values: Sequence[float], seed: int = 0, draws: int = DRAWS) -> Figure | None:
    """Of one value for each recording; those that are not finite are left out, None where nothing is left."""
    finite = np.array([value for value in values if math.isfinite(value)], float)
    if not len(finite):
        return None
    if len(finite) == 1:
        return Figure(float(finite[0]), None, None, 1)
    return Figure(*bootstrap(finite, seed=seed, number=draws), len(finite))


def limited_db(value: float) -> float:
    """Within what counts; what is undefined stays so."""
    return value if math.isnan(value) else min(MOST_DB, max(LEAST_DB, value))


def summary(items: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """From the scores of each recording to a figure for each metric that some have."""
    figures = {}
    for key in SCORED:
        mean = figure([scores[key] for scores in items.values() if key in scores])
        if mean is not None:
            figures[key] = mean.to_dict()
    return figures


def ranks(figures: Sequence[Figure | None]) -> list[int | None]:
    """From 1: one more than there are systems whose whole interval lies above; None without an interval."""
    known = [each if each is not None and each.low is not None else None for each in figures]
    return [
        None if own is None else 1 + sum(other is not None and _above(other, own) for other in known)
        for own in known
    ]


def _above(one: Figure, other: Figure) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high


@dataclass(frozen=True)
class Loaded:
    """A test set of a table that was made elsewhere. ``systems``: figures by metric, for each; ``made``: how."""

    name: str
    synthetic: bool
    systems: dict[str, dict[str, dict[str, Any]]]
    made: dict[str, str]


def read_table(content: Any, name: str) -> list[Loaded]:
    """The test sets in what ``python -m benchmarks separation`` or ``unbabble bench --json`` wrote.

    Args:
        content: JSON.
        name: of the file, without ending; sets are called after it.

    Raises:
        InputError: it is neither.
    """
    try:
        if "files" in content and "models" in content:
            return [_bench(content, name)]
        return _separation(content, name)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            "This is not what python -m benchmarks separation or `unbabble bench --json` writes."
        ) from error


def _separation(content: Any, name: str) -> list[Loaded]:
    sets: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for system, conditions in content["models"].items():
        for key, scores in conditions["sets"].items():
            improvement = _figure(
                scores["si_snri"], scores["si_snri_low"], scores["si_snri_high"], scores["items"]
            )
            sets.setdefault(key, {})[system] = {"si_sdri": improvement}
    if not sets:
        raise ValueError
    made = {"command": "\n".join(map(str, content.get("commands", ()))), "machine": _machine(content)}
    return [Loaded(f"{name}: {key}", True, systems, made) for key, systems in sets.items()]


def _bench(content: Any, name: str) -> Loaded:
    systems = {
        system: {"blind": _figure(row["si_snr_db"], row["low_db"], row["high_db"], row["recordings"])}
        for system, row in content["models"].items()
    }
    if not systems:
        raise ValueError
    config = content["config"]
    made = {
        "command": f"unbabble bench {config['what']} --data {config['data']} --scorer {config['scorer']}",
        "date": str(content.get("started", "")),
    }
    return Loaded(name, False, systems, made)


def _figure(mean: Any, low: Any, high: Any, count: Any) -> dict[str, Any]:
    made = Figure(float(mean), float(low), float(high), int(count))
    if not all(map(math.isfinite, (made.mean, float(low), float(high)))) or not low <= mean <= high:
        raise ValueError
    return made.to_dict()


def _machine(content: Any) -> str:
    return ", ".join(f"{key}: {value}" for key, value in (content.get("machine") or {}).items())
