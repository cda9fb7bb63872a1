"""When runs have arrived, and where they end: tables and plot of ``ipa_claim.py``."""

from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks.kit import plot as plots
from benchmarks.kit.peers import OURS
from benchmarks.kit.table import grid, page
from unbabble.signal.statistics import bootstrap

UPDATES = ("ip", "iss", "ip2", "ipa")
LEAST_DB, SHARE = 1.0, 0.95


def first(run: dict, key: str, reached) -> int:
    """The first noted iteration at which that is so."""
    return next(i for i, value in zip(run["iterations"], run[key], strict=True) if reached(value))


def ended(run: dict) -> float:
    """The improvement after the last iteration."""
    return run["improvement_db"][-1]


def arrivals(one: dict, ipa: dict, meaning: str) -> list[int] | None:
    """Iterations of both, None where a run has not separated."""
    if meaning == "objective":
        ends = [
            (run["objective"][-1], 0.01 * (run["objective"][0] - run["objective"][-1])) for run in (one, ipa)
        ]
        pairs = zip((one, ipa), ends, strict=True)
        return [
            first(run, meaning, lambda value, end=end, near=near: value <= end + near)
            for run, (end, near) in pairs
        ]
    least = min(ended(one), ended(ipa))
    if least < LEAST_DB:
        return None
    targets = [SHARE * (ended(run) if meaning == "own" else least) for run in (one, ipa)]
    pairs = zip((one, ipa), targets, strict=True)
    return [first(run, "improvement_db", lambda gain, target=target: gain >= target) for run, target in pairs]


def compare(traces: dict, timing: dict) -> Iterator[list[object]]:
    """For each other update and meaning of arrival: iterations, seconds, ratio to IPA."""
    for other in ("ip", "iss", "ip2"):
        common = sorted(set(traces[other]) & set(traces["ipa"]), key=int)
        for meaning in ("own", "common", "objective"):
            pairs = [arrivals(traces[other][i], traces["ipa"][i], meaning) for i in common]
            counts = np.maximum(np.array([each for each in pairs if each], float).reshape(-1, 2), 1)
            for name, per in timing.items():
                if other in per and len(counts):
                    times = counts * [per[other], per["ipa"]]
                    centre, low, high = bootstrap(times[:, 0] / times[:, 1], np.median)
                    iterations = f"{median(counts[:, 0]):g} / {median(counts[:, 1]):g}"
                    seconds = f"{median(times[:, 0]):.3f} / {median(times[:, 1]):.3f}"
                    ratio = [f"**{centre:.1f}**", f"{low:.1f} ... {high:.1f}"]
                    yield [name, other.upper(), meaning, len(counts), iterations, seconds, *ratio]


def endings(channels: str, traces: dict, timing: dict) -> Iterator[list[object]]:
    """After the last iteration."""
    for update in UPDATES:
        if ends := [ended(run) for run in traces.get(update, {}).values()]:
            centre, low, high = bootstrap(ends)
            speeds = ", ".join(
                f"{1000 * per[update]:.1f} {name}" for name, per in timing.items() if update in per
            )
            cells = [
                f"{centre:.2f}",
                f"{low:.2f} ... {high:.2f}",
                sum(end < LEAST_DB for end in ends),
                speeds,
            ]
            yield [channels, update.upper(), len(ends), *cells]
    if gap := traces.get("authors_largest_difference_db"):
        shown = ", ".join(f"{update.upper()} {value:.2g}" for update, value in gap.items())
        yield [
            channels,
            "authors' iterates against ours, largest SI-SDR difference",
            "-",
            shown,
            "-",
            "-",
            "-",
        ]


def optima(channels: str, traces: dict) -> Iterator[list[object]]:
    """Where IPA's run ends beside the other's, mixture by mixture."""
    for other in ("ip", "iss", "ip2"):
        common = sorted(set(traces.get(other, {})) & set(traces.get("ipa", {})))
        gains = np.array([ended(traces["ipa"][i]) - ended(traces[other][i]) for i in common])
        if len(gains):
            quartiles = ", ".join(f"{each:.1f}" for each in np.percentile(gains, [25, 50, 75]))
            better = f"{(gains > 1).sum()} of {len(gains)}"
            yield [channels, other.upper(), quartiles, better, (gains < -1).sum()]


def table(result: dict) -> str:
    traces = sorted(result.get("traces", {}).items(), key=lambda item: int(item[0]))
    timing = result.get("timing", {})
    return page(
        "# How much sooner IPA arrives",
        "Medians over mixtures; ratio: the other's time over IPA's, mixture by mixture, with its 95 % bootstrap "
        "interval. Above 1 IPA is first. What the three meanings of arriving are, and why three: "
        "`benchmarks/ipa_claim.py`.",
        grid(
            "channels | code | IPA against | arrived means | mixtures | iterations, other / IPA "
            "| seconds, other / IPA | ratio | 95 % interval",
            [[size, *row] for size, runs in traces if size in timing for row in compare(runs, timing[size])],
        ),
        "Where the runs end, after the last iteration:",
        grid(
            "channels | update | mixtures | SI-SDRi, dB | 95 % interval | below 1 dB | ms per iteration",
            [row for size, runs in traces for row in endings(size, runs, timing.get(size, {}))],
        ),
        "Local optima: where IPA's run ends beside the other's, mixture by mixture.",
        grid(
            "channels | IPA less | quartiles, dB | better by > 1 dB | worse by > 1 dB",
            [row for size, runs in traces for row in optima(size, runs)],
        ),
        "Runs:",
        (
            f"- {name}: `{about['command']}`, {about['cpu']}, load before {about['load_before']}, {about['date']}"
            for name, about in result.get("runs", {}).items()
        ),
    )


def plot(result: dict) -> None:
    """Median SI-SDR improvement, and quartiles, against seconds of our code."""
    shown = sorted(set(result.get("traces", {})) & set(result.get("timing", {})), key=int)
    if not shown:
        return
    figure, axes = plots.axes(1, len(shown), figsize=(4.3 * len(shown), 3.6))
    for axis, channels in zip(axes[0], shown, strict=True):
        for i, update in enumerate(UPDATES):
            if runs := list(result["traces"][channels].get(update, {}).values()):
                gains = np.array([run["improvement_db"] for run in runs])[:, 1:]
                seconds = np.array(runs[0]["iterations"])[1:] * result["timing"][channels][OURS][update]
                low, middle, high = np.percentile(gains, [25, 50, 75], axis=0)
                axis.plot(seconds, middle, color=f"C{i}", label=update.upper(), linewidth=2)
                axis.fill_between(seconds, low, high, color=f"C{i}", alpha=0.12, linewidth=0)
                axis.set_title(
                    f"{channels} talkers, {channels} microphones, {len(runs)} mixtures", fontsize=10
                )
        axis.set(xscale="log", xlabel="seconds, one thread")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("SI-SDR improvement, dB\n(median and quartiles)")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    plots.write(figure, "ipa_claim")
