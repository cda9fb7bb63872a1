"""Tables and plots of ``blind.py`` from results/blind.json."""

from __future__ import annotations

from statistics import mean, median

import machine
from common import OURS, RESULTS, interval, load

NAMES = {
    "ip": "AuxIVA, IP",
    "ip2": "AuxIVA, IP2",
    "iss": "AuxIVA, ISS",
    "iss2": "AuxIVA, ISS2",
    "ipa": "AuxIVA, IPA",
    "ilrma": "ILRMA, IP",
    "ilrma_iss": "ILRMA, ISS",
    "fastmnmf2": "FastMNMF2",
}
EQUAL_AT = 20


def write() -> None:
    result = load("blind")
    (RESULTS / "blind.md").write_text(tables(result))
    print(f"wrote {RESULTS / 'blind.md'}")
    if result.get("curves"):
        plot_curves(result)
    if result.get("speed"):
        plot_speed(result)


def tables(result: dict) -> str:
    parts = ["# Blind separation beside other packages\n"]
    if result.get("speed"):
        parts += [speed_table(result), every_peer_table(result)]
    if result.get("separation"):
        parts.append(separation_table(result))
    parts.append(provenance(result))
    return "\n".join(parts)


def rows_of(table: dict, algorithm: str, threads: str) -> dict[str, dict]:
    found = {}
    for key, row in table.items():
        if key.count("/") == 2 and "wall_ms" in row:
            name, its_algorithm, its_threads = key.split("/")
            if (its_algorithm, its_threads) == (algorithm, threads):
                found[name] = row
    return found


def speed_table(result: dict) -> str:
    lines = [
        "## Time and memory per iteration",
        "",
        "Milliseconds per iteration, wall clock (ratio also by CPU time), median of interleaved rounds; "
        "the fastest other package with the "
        "same update beside ours. Memory: how far resident memory rises above its level with the data loaded; the "
        "leanest other package. Shares: what the iteration needs at least (operations and bytes counted by hand, "
        "`machine.py`) per second, over what this machine reaches in a float32 matrix product and in copying "
        "memory, one thread. Equal: SI-SDR improvement after "
        f"{EQUAL_AT} iterations (fewer where one is too slow), ours less theirs, dB, mean over mixtures, and the "
        "largest difference to any package in brackets.",
        "",
        "| channels | method | ours, 1 thread | fastest other | ratio | by CPU time "
        "| ours, 2 threads | fastest other | ratio | extra MB ours / leanest | flop share | byte share | equal, dB |",
        "|-|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    limits = result.get("machine_limits", {})
    for channels, table in sorted(result["speed"].items(), key=lambda item: int(item[0])):
        for algorithm, title in NAMES.items():
            cells: list[str] = []
            one: dict[str, dict] = {}
            for threads in ("1", "2"):
                rows = rows_of(table, algorithm, threads)
                ours = rows.pop(OURS, None)
                if threads == "1":
                    one = rows | ({OURS: ours} if ours else {})
                if ours is None:
                    cells += ["-", best(rows), "-"]
                elif not rows:
                    cells += [f"{ours['wall_ms']:.2f}", "-", "-"]
                else:
                    ratio = min(row["wall_ms"] for row in rows.values()) / ours["wall_ms"]
                    cells += [f"{ours['wall_ms']:.2f}", best(rows), f"**{ratio:.1f}**"]
                if threads == "1":
                    known = ours and rows
                    cells.append(
                        f"{min(r['cpu_ms'] for r in rows.values()) / ours['cpu_ms']:.1f}" if known else "-"
                    )
            if not one:
                continue
            memory = {name: row["extra_mb"] for name, row in one.items() if "extra_mb" in row}
            mine = memory.pop(OURS, None)
            cells.append(
                ("-" if mine is None else f"{mine:.1f}")
                + " / "
                + (f"{min(memory.values()):.1f} {min(memory, key=lambda n: memory[n])}" if memory else "-")
            )
            if OURS in one and "1" in limits and algorithm in machine_updates():
                seconds = one[OURS]["wall_ms"] / 1000
                m, f, t = int(channels), table["bins"], table["frames"]
                cells.append(
                    f"{machine.operations(algorithm, m, f, t) / seconds / limits['1']['gemm_f32_flops']:.0%}"
                )
                cells.append(f"{machine.traffic(m, f, t) / seconds / limits['1']['copy_bytes']:.0%}")
            else:
                cells += ["-", "-"]
            cells.append(equality(result, channels, algorithm))
            lines.append(f"| {channels} | {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine_updates() -> tuple[str, ...]:
    return ("ip", "ip2", "iss", "iss2", "ipa")


def best(rows: dict[str, dict]) -> str:
    if not rows:
        return "-"
    name = min(rows, key=lambda n: rows[n]["wall_ms"])
    return f"{rows[name]['wall_ms']:.1f} {name}"


def equality(result: dict, channels: str, algorithm: str) -> str:
    curves = result.get("curves", {}).get(channels, {})
    ours = curves.get(f"{OURS}/{algorithm}")
    if ours is None or algorithm.startswith("ilrma"):  # ILRMA starts from random spectral shapes
        return "-"
    differences = {}
    for key, theirs in curves.items():
        name, its_algorithm = key.split("/")
        common = [i for i in theirs if i in ours and 0 < int(i) <= EQUAL_AT]
        if name != OURS and its_algorithm == algorithm and common:
            at = max(common, key=int)
            differences[name] = mean(ours[at]) - mean(theirs[at])
    if not differences:
        return "-"
    worst = max(differences, key=lambda n: abs(differences[n]))
    fastest = min(differences.values(), key=abs)
    return f"{fastest:+.2f} ({differences[worst]:+.2f} {worst})"


def every_peer_table(result: dict) -> str:
    lines = [
        "## Every package, one thread",
        "",
        "Wall and CPU milliseconds per iteration, extra MB.",
        "",
        "| channels | method | package | wall | CPU | extra MB | 2 threads: wall | CPU |",
        "|-|-|-|-|-|-|-|-|",
    ]
    for channels, table in sorted(result["speed"].items(), key=lambda item: int(item[0])):
        for algorithm, title in NAMES.items():
            two = rows_of(table, algorithm, "2")
            for name, row in sorted(
                rows_of(table, algorithm, "1").items(), key=lambda item: item[1]["wall_ms"]
            ):
                other = two.get(name)
                both = f"{other['wall_ms']:.2f} | {other['cpu_ms']:.2f}" if other else "- | -"
                lines.append(
                    f"| {channels} | {title} | {name} | {row['wall_ms']:.2f} | {row['cpu_ms']:.2f} "
                    f"| {row.get('extra_mb', float('nan')):.1f} | {both} |"
                )
    return "\n".join(lines) + "\n"


def separation_table(result: dict) -> str:
    lines = [
        "## Real rooms, real voices",
        "",
        "Mean SI-SDR improvement in dB over the first microphone, with its 95 % bootstrap interval over mixtures, "
        "and the worst mixture. As many microphones as talkers, measured impulse responses of the test split, "
        "1.5 or 2 m, noise 30 dB below. Ours runs from waveform to waveform through the public "
        "interface; `default` takes its own window (0.512 s here) and stops when converged, all others take 4096 "
        "samples and the same number of iterations; `ilrma.ip` here starts from two random shapes per source, as the "
        "others do.",
        "",
        "| talkers | mixtures | system | iterations | SI-SDRi | 95 % interval | worst |",
        "|-|-|-|-|-|-|-|",
    ]
    for talkers, table in sorted(result["separation"].items()):
        mixture = table["mixture_si_sdr"]
        lines.append(
            f"| {talkers} | {len(mixture)} | the mixture itself (SI-SDR {mean(mixture):.1f} dB) | - | 0 | - | - |"
        )
        systems = {key: list(gains.values()) for key, gains in table.items() if "/" in key}
        ranked = sorted(systems.items(), key=lambda item: (not item[0].startswith(OURS), -mean(item[1])))
        for key, gains in ranked:
            centre, low, high = interval(gains)
            iterations = "its own" if key.endswith("/default") else table["iterations"]
            lines.append(
                f"| {talkers} | {len(gains)} | {key.replace('/', ' ')} | {iterations} | {centre:.2f} "
                f"| {low:.2f} ... {high:.2f} | {min(gains):.1f} |"
            )
    return "\n".join(lines) + "\n"


def provenance(result: dict) -> str:
    lines = ["## How", ""]
    for name, limit in result.get("machine_limits", {}).items():
        lines.append(
            f"- {name} thread(s): matrix product {limit['gemm_f32_flops'] / 1e9:.0f} GFLOP/s float32, "
            f"read {limit['read_bytes'] / 1e9:.1f} GB/s, copy {limit['copy_bytes'] / 1e9:.1f} GB/s"
        )
    for name, versions in result.get("versions", {}).items():
        lines.append(f"- {name}: " + ", ".join(f"{key} {value}" for key, value in versions.items()))
    for part, about in sorted(result.get("runs", {}).items()):
        lines.append(
            f"- {part}: `{about['command']}`, seed {about['seed']}, {about['seconds_of_mixture']:g} s, "
            f"{about['cpu']} x {about['cores']}, load before {about['load_before']}, {about['date']}"
        )
    return "\n".join(lines) + "\n"


STYLES = {OURS: "-", "pyroomacoustics": "--", "torchiva": ":", "ssspy": "-.", "authors": (0, (1, 3))}


def plot_curves(result: dict) -> None:
    """SI-SDR improvement against seconds, each package and update."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    shown = [c for c in sorted(result["curves"], key=int) if c in result.get("speed", {})]
    if not shown:
        return
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5.6 * columns, 3.9 * rows), squeeze=False)
    colours = {algorithm: f"C{i}" for i, algorithm in enumerate(NAMES)}
    used: set[tuple[str, str]] = set()
    for axis, channels in zip(axes.flat, shown, strict=False):
        for key, curve in result["curves"][channels].items():
            name, algorithm = key.split("/")
            row = result["speed"][channels].get(f"{key}/1", {})
            if "wall_ms" not in row:
                continue
            points = [
                (int(i) * row["wall_ms"] / 1000, mean(gains)) for i, gains in curve.items() if int(i) > 0
            ]
            axis.plot(
                *zip(*points, strict=True),
                color=colours[algorithm],
                linestyle=STYLES[name],
                linewidth=2.2 if name == OURS else 1.2,
            )
            used.add((name, algorithm))
        axis.set_xscale("log")
        axis.set_title(f"{channels} talkers, {channels} microphones", fontsize=10)
        axis.grid(alpha=0.3, which="major")
        axis.set_xlabel("seconds of computing, one thread")
        axis.set_ylabel("SI-SDR improvement, dB")
    for axis in list(axes.flat)[len(shown) :]:
        axis.axis("off")
    handles = [
        Line2D([], [], color=colour, label=NAMES[algorithm])
        for algorithm, colour in colours.items()
        if any(algorithm == its for _, its in used)
    ]
    handles += [
        Line2D([], [], color="black", linestyle=style, linewidth=2.2 if name == OURS else 1.2, label=name)
        for name, style in STYLES.items()
        if any(name == its for its, _ in used)
    ]
    figure.legend(handles=handles, loc="lower center", ncol=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.75 / figure.get_figheight(), 1, 1))
    figure.savefig(RESULTS / "blind_curves.png", dpi=130)
    plt.close(figure)


def plot_speed(result: dict) -> None:
    """Milliseconds per iteration against channels, ours and the fastest other package."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    channels = sorted(result["speed"], key=int)
    for i, algorithm in enumerate(machine_updates()):
        ours, others = [], []
        for c in channels:
            rows = rows_of(result["speed"][c], algorithm, "1")
            mine = rows.pop(OURS, None)
            if mine:
                ours.append((int(c), mine["wall_ms"]))
            if rows:
                others.append((int(c), min(row["wall_ms"] for row in rows.values())))
        if ours:
            axis.plot(*zip(*ours, strict=True), "o-", color=f"C{i}", label=NAMES[algorithm])
        if others:
            axis.plot(*zip(*others, strict=True), "x--", color=f"C{i}")
    axis.plot([], [], "o-", color="black", label="unbabble")
    axis.plot([], [], "x--", color="black", label="fastest other")
    axis.set_yscale("log")
    axis.set_xticks([int(c) for c in channels])
    axis.set_xlabel("channels")
    axis.set_ylabel("ms per iteration, one thread")
    frames = median(result["speed"][c]["frames"] for c in channels)
    axis.set_title(
        f"One iteration over {result['speed'][channels[0]]['bins']} x {frames:.0f} bins", fontsize=10
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(RESULTS / "blind_speed.png", dpi=130)
    plt.close(figure)
