"""When runs have arrived, and where they end: tables of ``ipa_claim.py``."""

from collections.abc import Iterator

import numpy as np

from benchmarks.kit.table import grid, page
from unbabble.signal.statistics import bootstrap

UPDATES = ("ip", "iss", "ip2", "ipa")
OTHERS = UPDATES[:-1]
MEANINGS = ("own", "common", "objective")
LEAST_DB, SHARE = 1.0, 0.95


def ended(run: dict) -> float:
    """The improvement after the last iteration."""
    return run["improvement_db"][-1]


def arrivals(one: dict, ipa: dict, meaning: str) -> list[int] | None:
    """Iterations of both, None where a run has not separated."""
    least = min(ended(one), ended(ipa))
    if meaning != "objective" and least < LEAST_DB:
        return None
    result = []
    for run in (one, ipa):
        if meaning == "objective":
            start, *_, end = run["objective"]
            there = [value <= end + 0.01 * (start - end) for value in run["objective"]]
        else:
            target = SHARE * (ended(run) if meaning == "own" else least)
            there = [gain >= target for gain in run["improvement_db"]]
        result.append(run["iterations"][there.index(True)])
    return result


def compare(traces: dict, timing: dict) -> Iterator[list[object]]:
    """For each other update and meaning of arrival: iterations, seconds, ratio to IPA."""
    for other in OTHERS:
        common = sorted(set(traces[other]) & set(traces["ipa"]), key=int)
        for meaning in MEANINGS:
            pairs = [arrivals(traces[other][i], traces["ipa"][i], meaning) for i in common]
            counts = np.maximum(np.array([each for each in pairs if each], float).reshape(-1, 2), 1)
            for name, per in timing.items():
                if other in per and len(counts):
                    times = counts * [per[other], per["ipa"]]
                    centre, low, high = bootstrap(times[:, 0] / times[:, 1], np.median)
                    iterations = "{:g} / {:g}".format(*np.median(counts, 0))
                    seconds = "{:.3f} / {:.3f}".format(*np.median(times, 0))
                    ratio = [f"**{centre:.1f}**", f"{low:.1f} ... {high:.1f}"]
                    yield [name, other.upper(), meaning, len(counts), iterations, seconds, *ratio]


def endings(traces: dict, timing: dict) -> Iterator[list[object]]:
    """After the last iteration."""
    for update in UPDATES:
        if ends := [ended(run) for run in traces.get(update, {}).values()]:
            centre, low, high = bootstrap(ends)
            speeds = [f"{1000 * per[update]:.1f} {name}" for name, per in timing.items() if update in per]
            cells = [f"{centre:.2f}", f"{low:.2f} ... {high:.2f}", sum(end < LEAST_DB for end in ends)]
            yield [update.upper(), len(ends), *cells, ", ".join(speeds)]
    if gap := traces.get("authors_largest_difference_db"):
        shown = ", ".join(f"{update.upper()} {value:.2g}" for update, value in gap.items())
        yield ["authors' iterates against ours, largest SI-SDR difference", "-", shown, "-", "-", "-"]


def optima(traces: dict) -> Iterator[list[object]]:
    """Where IPA's run ends beside the other's, mixture by mixture."""
    for other in OTHERS:
        common = sorted(set(traces.get(other, {})) & set(traces.get("ipa", {})))
        gains = np.array([ended(traces["ipa"][i]) - ended(traces[other][i]) for i in common])
        if len(gains):
            quartiles = ", ".join(f"{each:.1f}" for each in np.percentile(gains, [25, 50, 75]))
            better = f"{(gains > 1).sum()} of {len(gains)}"
            yield [other.upper(), quartiles, better, (gains < -1).sum()]


def table(result: dict) -> str:
    timing, runs = result.get("timing", {}), result.get("runs", {})
    traces = sorted(result.get("traces", {}).items(), key=lambda item: int(item[0]))
    return page(
        "# How much sooner IPA arrives",
        "Medians over mixtures; ratio: the other's time over IPA's, mixture by mixture, with its 95 % bootstrap "
        "interval. Above 1 IPA is first. What the three meanings of arriving are, and why three: "
        "`benchmarks/ipa_claim.py`.",
        grid(
            "channels | code | IPA against | arrived means | mixtures | iterations, other / IPA "
            "| seconds, other / IPA | ratio | 95 % interval",
            [[size, *row] for size, its in traces if size in timing for row in compare(its, timing[size])],
        ),
        "Where the runs end, after the last iteration:",
        grid(
            "channels | update | mixtures | SI-SDRi, dB | 95 % interval | below 1 dB | ms per iteration",
            [[size, *row] for size, its in traces for row in endings(its, timing.get(size, {}))],
        ),
        "Local optima: where IPA's run ends beside the other's, mixture by mixture.",
        grid(
            "channels | IPA less | quartiles, dB | better by > 1 dB | worse by > 1 dB",
            [[size, *row] for size, its in traces for row in optima(its)],
        ),
        "Runs:",
        (
            f"- {name}: `{about['command']}`, {about['cpu']}, load before {about['load_before']}, {about['date']}"
            for name, about in runs.items()
        ),
    )
