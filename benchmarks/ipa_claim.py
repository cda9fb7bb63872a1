"""How much sooner IPA arrives than IP, ISS and IP2: the claim of its paper's talk ("about four times").

For every mixture (K talkers, K microphones, measured rooms) and update, 100 iterations from the same white start.
Progress is noted at 25 iterations, log-spaced; time is iterations times the seconds of one, measured apart,
interleaved, one thread. When has a run arrived? Three answers, because runs end in different local optima:

own       first note at 95 % of the SI-SDR improvement (over the microphone) that this run ends with. Runs that end
          below 1 dB have not separated: they are left out here and counted.
common    first note at 95 % of the lesser of the two final improvements, IPA's and the other's: both are asked for
          the same. A mixture counts if both end above 1 dB.
objective first note within 1 % of the whole fall of the objective, start to end of this run. Every run counts.

Ratios are other / IPA, mixture by mixture; medians with 95 % bootstrap intervals. The authors' code is traced on a
few of the mixtures to show that its iterates are ours, so the counts of iterations hold for it, and is timed itself.
Its IP2 pairs the sources in another order and is left out.

    python benchmarks/ipa_claim.py --channels 4                # traces (any machine) and timing (a quiet one)
    python benchmarks/ipa_claim.py --only timing               # timing alone
"""

from __future__ import annotations

import argparse
import time
from statistics import mean, median

import numpy as np
import torch
from common import OURS, RESULTS, Scene, Worker, command, interval, load, present, rounded, save, scenes
from common import machine as describe_machine

UPDATES = ("ip", "iss", "ip2", "ipa")
AUTHORS_UPDATES = ("ip", "iss", "ipa")
ITERATIONS = 100
LEAST_DB = 1.0
SHARE = 0.95


def checkpoints(iterations: int) -> list[int]:
    return [0, *sorted({round(x) for x in np.geomspace(1, iterations, 30)})]


def objective(scene: Scene, w: np.ndarray) -> float:
    """sum_k mean_t sqrt(sum_f |y|^2) - 2 sum_f log|det W|, what every update lowers."""
    y = w @ scene.whitened.spectrogram.numpy()
    return float(
        np.sqrt((np.abs(y) ** 2).sum(0)).mean(1).sum() - 2 * np.linalg.slogdet(w.astype(complex))[1].sum()
    )


def trace(result: dict, channels: int, a: argparse.Namespace) -> None:
    notes = checkpoints(a.iterations)
    table = result.setdefault("traces", {}).setdefault(str(channels), {})
    mixtures = scenes(channels, a.count, a.seed, seconds=a.seconds)
    with Worker(OURS) as worker:
        for index, scene in enumerate(mixtures):
            for update in UPDATES:
                runs = table.setdefault(update, {})
                if str(index) in runs and not a.fresh:
                    continue
                if time.monotonic() > a.end:
                    return
                found = worker.trace(scene, update, notes)
                runs[str(index)] = {
                    "iterations": notes,
                    "improvement_db": [scene.improvement(found[i]) for i in notes],
                    "objective": [objective(scene, found[i]) for i in notes],
                }
            if not a.quick:
                save("ipa_claim", rounded(result, 6))
    if present(["authors"])[0]:
        differences = {}
        with Worker("authors") as worker:
            for index, scene in enumerate(mixtures[: a.authors_count]):
                for update in AUTHORS_UPDATES:
                    if time.monotonic() > a.end:
                        return
                    few = [i for i in notes if i <= 20]
                    found = worker.trace(scene, update, few)
                    ours = table[update][str(index)]["improvement_db"]
                    gaps = [abs(scene.improvement(found[i]) - ours[notes.index(i)]) for i in few]
                    differences.setdefault(update, []).append(max(gaps))
        table["authors_largest_difference_db"] = {update: max(gaps) for update, gaps in differences.items()}


def timing(result: dict, channels: int, a: argparse.Namespace) -> None:
    scene = scenes(channels, 1, a.seed, seconds=a.seconds)[0]
    wanted = {OURS: UPDATES, "authors": AUTHORS_UPDATES}
    names = [OURS, *present(["authors"])[0]]
    workers = {name: Worker(name, 1) for name in names}
    taken: dict[tuple[str, str], list[float]] = {}
    for turn in range(a.rounds + 1):
        for update in UPDATES:
            for name in names:
                if update in wanted[name]:
                    few = 20 if name == OURS else 5
                    reply = workers[name].ask("time", scene, update, 2 if turn == 0 else few)
                    if turn:
                        taken.setdefault((name, update), []).append(reply["wall"])
    for worker in workers.values():
        worker.close()
    table = result.setdefault("timing", {}).setdefault(str(channels), {})
    for (name, update), seconds in taken.items():
        table.setdefault(name, {})[update] = median(seconds)


def arrival(run: dict, target_db: float) -> int:
    """First iteration whose improvement is at least ``target_db``."""
    return next(
        i for i, gain in zip(run["iterations"], run["improvement_db"], strict=True) if gain >= target_db
    )


def ended(run: dict) -> float:
    """The improvement after the last iteration."""
    return run["improvement_db"][-1]


def settling(run: dict) -> int:
    start, end = run["objective"][0], run["objective"][-1]
    close = end + 0.01 * (start - end)
    return next(i for i, value in zip(run["iterations"], run["objective"], strict=True) if value <= close)


def compare(result: dict, channels: str) -> list[dict]:
    """For each other update and meaning of arrival: iterations, seconds, ratio to IPA."""
    table, seconds = result["traces"][channels], result["timing"][channels]
    rows = []
    for other in ("ip", "iss", "ip2"):
        common_runs = sorted(set(table[other]) & set(table["ipa"]), key=int)
        for meaning in ("own", "common", "objective"):
            pairs = []
            for index in common_runs:
                first, second = table[other][index], table["ipa"][index]
                ends = first["improvement_db"][-1], second["improvement_db"][-1]
                if meaning == "objective":
                    pairs.append((settling(first), settling(second)))
                elif min(ends) >= LEAST_DB:
                    targets = ends if meaning == "own" else (min(ends), min(ends))
                    pairs.append((arrival(first, SHARE * targets[0]), arrival(second, SHARE * targets[1])))
            counts = np.maximum(np.array(pairs, float).reshape(-1, 2), 1)
            for name, per in seconds.items():
                if other not in per or not len(counts):
                    continue
                times = counts * [per[other], per["ipa"]]
                rows.append(
                    {
                        "code": name,
                        "other": other,
                        "meaning": meaning,
                        "mixtures": len(counts),
                        "iterations": [median(counts[:, 0]), median(counts[:, 1])],
                        "seconds": [median(times[:, 0]), median(times[:, 1])],
                        "ratio": interval(times[:, 0] / times[:, 1], np.median),
                    }
                )
    return rows


def tables(result: dict) -> str:
    lines = [
        "# How much sooner IPA arrives",
        "",
        "Medians over mixtures; ratio: the other's time over IPA's, mixture by mixture, with its 95 % bootstrap "
        "interval. Above 1 IPA is first. What the three meanings of arriving are, and why three: "
        "`benchmarks/ipa_claim.py`.",
        "",
        "| channels | code | IPA against | arrived means | mixtures | iterations, other / IPA "
        "| seconds, other / IPA | ratio | 95 % interval |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    summary = result.setdefault("summary", {})
    for channels in sorted(set(result.get("traces", {})) & set(result.get("timing", {})), key=int):
        summary[channels] = compare(result, channels)
        for row in summary[channels]:
            centre, low, high = row["ratio"]
            lines.append(
                f"| {channels} | {row['code']} | {row['other'].upper()} | {row['meaning']} | {row['mixtures']} "
                f"| {row['iterations'][0]:g} / {row['iterations'][1]:g} "
                f"| {row['seconds'][0]:.3f} / {row['seconds'][1]:.3f} | **{centre:.1f}** | {low:.1f} ... {high:.1f} |"
            )
    lines += ["", "Where the runs end, after the last iteration:", ""]
    lines += [
        "| channels | update | mixtures | SI-SDRi, dB | 95 % interval | below 1 dB | ms per iteration |"
    ]
    lines += ["|-|-|-|-|-|-|-|"]
    for channels, table in sorted(result.get("traces", {}).items(), key=lambda item: int(item[0])):
        for update in UPDATES:
            ends = [ended(run) for run in table.get(update, {}).values()]
            if ends:
                _, low, high = interval(ends)
                per = result.get("timing", {}).get(channels, {})
                speeds = ", ".join(f"{1000 * t[update]:.1f} {n}" for n, t in per.items() if update in t)
                lines.append(
                    f"| {channels} | {update.upper()} | {len(ends)} | {mean(ends):.2f} | {low:.2f} ... {high:.2f} "
                    f"| {sum(end < LEAST_DB for end in ends)} | {speeds} |"
                )
        gap = table.get("authors_largest_difference_db")
        if gap:
            shown = ", ".join(f"{update.upper()} {value:.2g}" for update, value in gap.items())
            lines.append(
                f"| {channels} | authors' iterates against ours, largest SI-SDR difference | - | {shown} | - | - | - |"
            )
    lines += ["", "Local optima: where IPA's run ends beside the other's, mixture by mixture.", ""]
    lines += ["| channels | IPA less | quartiles, dB | better by > 1 dB | worse by > 1 dB |", "|-|-|-|-|-|"]
    for channels, table in sorted(result.get("traces", {}).items(), key=lambda item: int(item[0])):
        for other in ("ip", "iss", "ip2"):
            common_runs = set(table.get(other, {})) & set(table.get("ipa", {}))
            gains = np.array([ended(table["ipa"][i]) - ended(table[other][i]) for i in sorted(common_runs)])
            if len(gains):
                low, middle, high = np.percentile(gains, [25, 50, 75])
                lines.append(
                    f"| {channels} | {other.upper()} | {low:.1f}, {middle:.1f}, {high:.1f} "
                    f"| {(gains > 1).sum()} of {len(gains)} | {(gains < -1).sum()} |"
                )
    lines += ["", "Runs:", ""]
    for name, about in result.get("runs", {}).items():
        lines.append(
            f"- {name}: `{about['command']}`, {about['cpu']}, load before {about['load_before']}, {about['date']}"
        )
    return "\n".join(lines) + "\n"


def plot(result: dict) -> None:
    """Median SI-SDR improvement, and quartiles, against seconds of our code."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = sorted(set(result.get("traces", {})) & set(result.get("timing", {})), key=int)
    if not shown:
        return
    figure, axes = plt.subplots(1, len(shown), figsize=(4.3 * len(shown), 3.6), squeeze=False)
    for axis, channels in zip(axes[0], shown, strict=True):
        for i, update in enumerate(UPDATES):
            runs = list(result["traces"][channels].get(update, {}).values())
            if not runs:
                continue
            gains = np.array([run["improvement_db"] for run in runs])[:, 1:]
            seconds = np.array(runs[0]["iterations"])[1:] * result["timing"][channels][OURS][update]
            low, middle, high = np.percentile(gains, [25, 50, 75], axis=0)
            axis.plot(seconds, middle, color=f"C{i}", label=update.upper(), linewidth=2)
            axis.fill_between(seconds, low, high, color=f"C{i}", alpha=0.12, linewidth=0)
        axis.set_xscale("log")
        axis.set_xlabel("seconds, one thread")
        axis.set_title(f"{channels} talkers, {channels} microphones, {len(runs)} mixtures", fontsize=10)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("SI-SDR improvement, dB\n(median and quartiles)")
    axes[0][0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(RESULTS / "ipa_claim.png", dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 channels, one short mixture, not saved")
    parser.add_argument("--only", choices=("traces", "timing"), nargs="+", default=("traces", "timing"))
    parser.add_argument("--channels", type=int, nargs="+", default=(3, 4, 6))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument(
        "--authors-count", type=int, default=3, help="mixtures to compare the authors' iterates on"
    )
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing new after so long")
    parser.add_argument("--fresh", action="store_true", help="trace again what the JSON already has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="only make table and plot anew")
    a = parser.parse_args()
    a.end = time.monotonic() + 60 * a.minutes
    torch.set_num_threads(1)
    if a.quick:
        a.channels, a.count, a.authors_count, a.iterations, a.seconds, a.rounds = [2], 2, 1, 10, 4.0, 1
    result = {} if a.quick else load("ipa_claim")
    absent = present(["authors"])[1]
    if absent:
        print("absent: the authors' code (benchmarks/peers.sh installs it)")
    for channels in () if a.report else a.channels:
        for part in a.only:
            about = describe_machine() | {"command": command(), "seed": a.seed}
            start = time.perf_counter()
            (trace if part == "traces" else timing)(result, channels, a)
            print(f"{part}, {channels} channels: {time.perf_counter() - start:.0f} s", flush=True)
            result.setdefault("runs", {})[f"{part}/{channels}"] = about
            if not a.quick:
                save("ipa_claim", rounded(result, 6))
    text = tables(result)
    if a.quick:
        print(text)
    else:
        (RESULTS / "ipa_claim.md").write_text(text)
        save("ipa_claim", rounded(result, 6))
        plot(result)


if __name__ == "__main__":
    main()
