"""Tables and plots of ``blind.py``."""

from collections.abc import Iterator
from statistics import mean, median

from benchmarks.kit import plot as plots
from benchmarks.kit.machine import operations, traffic
from benchmarks.kit.peers import OURS
from benchmarks.kit.table import grid, page
from unbabble.signal.statistics import bootstrap

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
UPDATES = ("ip", "ip2", "iss", "iss2", "ipa")
EQUAL_AT = 20
STYLES = {OURS: "-", "pyroomacoustics": "--", "torchiva": ":", "ssspy": "-.", "authors": (0, (1, 3))}
ABOUT_SPEED = (
    "Milliseconds per iteration, wall clock (ratio also by CPU time), median of interleaved rounds; the fastest other "
    "package with the same update beside ours. Memory: how far resident memory rises above its level with the data "
    "loaded; the leanest other package. Shares: what the iteration needs at least (operations and bytes counted by "
    "hand, `machine.py`) per second, over what this machine reaches in a float32 matrix product and in copying memory, "
    f"one thread. Equal: SI-SDR improvement after {EQUAL_AT} iterations (fewer where one is too slow), ours less "
    "theirs, dB, mean over mixtures, and the largest difference to any package in brackets."
)
SPEED = (
    "channels | method | ours, 1 thread | fastest other | ratio | by CPU time | ours, 2 threads | fastest other "
    "| ratio | extra MB ours / leanest | flop share | byte share | equal, dB"
)
ABOUT_SEPARATION = (
    "Mean SI-SDR improvement in dB over the first microphone, with its 95 % bootstrap interval over mixtures, and the "
    "worst mixture. As many microphones as talkers, measured impulse responses of the test split, 1.5 or 2 m, noise 30 "
    "dB below. Ours runs from waveform to waveform through the public interface; `default` takes its own window (0.512 "
    "s here) and stops when converged, all others take 4096 samples and the same number of iterations; `ilrma.ip` here "
    "starts from two random shapes per source, as the others do."
)


def table(result: dict) -> str:
    parts = ["# Blind separation beside other packages"]
    if result.get("speed"):
        every = "channels | method | package | wall | CPU | extra MB | 2 threads: wall | CPU"
        parts += ["## Time and memory per iteration", ABOUT_SPEED, grid(SPEED, speed_rows(result))]
        parts += ["## Every package, one thread", "Wall and CPU milliseconds per iteration, extra MB."]
        parts += [grid(every, every_row(result))]
    if result.get("separation"):
        head = "talkers | mixtures | system | iterations | SI-SDRi | 95 % interval | worst"
        parts += ["## Real rooms, real voices", ABOUT_SEPARATION, grid(head, separation_rows(result))]
    return page(*parts, "## How", provenance(result))


def by_size(table: dict) -> list[tuple[str, dict]]:
    return sorted(table.items(), key=lambda item: int(item[0]))


def rows_of(table: dict, algorithm: str, threads: str) -> dict[str, dict]:
    """By package."""
    keys = {key: key.split("/") for key, row in table.items() if key.count("/") == 2 and "wall_ms" in row}
    return {name: table[key] for key, (name, *its) in keys.items() if its == [algorithm, threads]}


def speed_rows(result: dict) -> Iterator[list[str]]:
    for channels, sizes in by_size(result["speed"]):
        for algorithm, title in NAMES.items():
            one, two = (rows_of(sizes, algorithm, threads) for threads in ("1", "2"))
            if one:
                cells = [*beside(one), by_cpu(one), *beside(two), memory(one)]
                cells += shares(result, one, algorithm, int(channels), sizes)
                yield [channels, title, *cells, equality(result, channels, algorithm)]


def beside(rows: dict[str, dict]) -> list[str]:
    """Ours, the fastest other package, and their ratio."""
    others = {name: row["wall_ms"] for name, row in rows.items() if name != OURS}
    best = min(others, key=lambda name: others[name], default=None)
    ours = rows[OURS]["wall_ms"] if OURS in rows else None
    return [
        "-" if ours is None else f"{ours:.2f}",
        "-" if best is None else f"{others[best]:.1f} {best}",
        "-" if ours is None or best is None else f"**{others[best] / ours:.1f}**",
    ]


def by_cpu(rows: dict[str, dict]) -> str:
    others = [row["cpu_ms"] for name, row in rows.items() if name != OURS]
    return f"{min(others) / rows[OURS]['cpu_ms']:.1f}" if others and OURS in rows else "-"


def memory(rows: dict[str, dict]) -> str:
    extra = {name: row["extra_mb"] for name, row in rows.items() if "extra_mb" in row}
    mine = extra.pop(OURS, None)
    least = min(extra, key=lambda name: extra[name], default="")
    return (
        ("-" if mine is None else f"{mine:.1f}") + " / " + (f"{extra[least]:.1f} {least}" if least else "-")
    )


def shares(result: dict, rows: dict, algorithm: str, channels: int, sizes: dict) -> list[str]:
    """Of what the machine reaches in a matrix product, and in copying memory."""
    limit = result.get("machine_limits", {}).get("1")
    if OURS not in rows or limit is None or algorithm not in UPDATES:
        return ["-", "-"]
    seconds, size = rows[OURS]["wall_ms"] / 1000, (channels, sizes["bins"], sizes["frames"])
    flops = operations(algorithm, *size) / seconds / limit["gemm_f32_flops"]
    return [f"{flops:.0%}", f"{traffic(*size) / seconds / limit['copy_bytes']:.0%}"]


def equality(result: dict, channels: str, algorithm: str) -> str:
    curves = result.get("curves", {}).get(channels, {})
    ours, differences = curves.get(f"{OURS}/{algorithm}"), {}
    if ours is None or algorithm.startswith("ilrma"):  # ILRMA starts from random spectral shapes
        return "-"
    for name, theirs in (
        (key.split("/")[0], each) for key, each in curves.items() if key.endswith(f"/{algorithm}")
    ):
        common = [i for i in theirs if i in ours and 0 < int(i) <= EQUAL_AT]
        if name != OURS and common:
            at = max(common, key=int)
            differences[name] = mean(ours[at]) - mean(theirs[at])
    if not differences:
        return "-"
    worst = max(differences, key=lambda name: abs(differences[name]))
    return f"{min(differences.values(), key=abs):+.2f} ({differences[worst]:+.2f} {worst})"


def every_row(result: dict) -> Iterator[list[str]]:
    for channels, sizes in by_size(result["speed"]):
        for algorithm, title in NAMES.items():
            one, two = (rows_of(sizes, algorithm, threads) for threads in ("1", "2"))
            for name, row in sorted(one.items(), key=lambda item: item[1]["wall_ms"]):
                times = [
                    f"{each[key]:.2f}"
                    for each in (row, two.get(name))
                    if each
                    for key in ("wall_ms", "cpu_ms")
                ]
                memory = f"{row.get('extra_mb', float('nan')):.1f}"
                yield [channels, title, name, *times[:2], memory, *(times[2:] or ("-", "-"))]


def separation_rows(result: dict) -> Iterator[list[object]]:
    for talkers, table in sorted(result["separation"].items()):
        mixture = table["mixture_si_sdr"]
        itself = f"the mixture itself (SI-SDR {mean(mixture):.1f} dB)"
        yield [talkers, len(mixture), itself, "-", "0", "-", "-"]
        systems = {key: list(gains.values()) for key, gains in table.items() if "/" in key}
        ranked = sorted(systems.items(), key=lambda item: (not item[0].startswith(OURS), -mean(item[1])))
        for key, gains in ranked:
            centre, low, high = bootstrap(gains)
            iterations = "its own" if key.endswith("/default") else table["iterations"]
            cells = [f"{centre:.2f}", f"{low:.2f} ... {high:.2f}", f"{min(gains):.1f}"]
            yield [talkers, len(gains), key.replace("/", " "), iterations, *cells]


def provenance(result: dict) -> Iterator[str]:
    for name, limit in result.get("machine_limits", {}).items():
        yield (
            f"- {name} thread(s): matrix product {limit['gemm_f32_flops'] / 1e9:.0f} GFLOP/s float32, "
            f"read {limit['read_bytes'] / 1e9:.1f} GB/s, copy {limit['copy_bytes'] / 1e9:.1f} GB/s"
        )
    for name, versions in result.get("versions", {}).items():
        yield f"- {name}: " + ", ".join(f"{key} {value}" for key, value in versions.items())
    for part, about in sorted(result.get("runs", {}).items()):
        yield (
            f"- {part}: `{about['command']}`, seed {about['seed']}, {about['seconds_of_mixture']:g} s, "
            f"{about['cpu']} x {about['cores']}, load before {about['load_before']}, {about['date']}"
        )


def plot(result: dict) -> None:
    if result.get("curves"):
        plot_curves(result)
    if result.get("speed"):
        plot_speed(result)


def plot_curves(result: dict) -> None:
    """SI-SDR improvement against seconds, each package and update."""
    shown = [c for c in sorted(result["curves"], key=int) if c in result.get("speed", {})]
    columns = min(2, len(shown)) or 1
    rows = -(-len(shown) // columns) or 1
    figure, axes = plots.axes(rows, columns, figsize=(5.6 * columns, 3.9 * rows))
    colours, used = {algorithm: f"C{i}" for i, algorithm in enumerate(NAMES)}, set()
    for axis, channels in zip(axes.flat, shown, strict=False):
        for key, curve in result["curves"][channels].items():
            name, algorithm = key.split("/")
            seconds = result["speed"][channels].get(f"{key}/1", {}).get("wall_ms", 0) / 1000
            if seconds:
                used |= {name, algorithm}
                points = [(int(i) * seconds, mean(gains)) for i, gains in curve.items() if int(i) > 0]
                style = {"color": colours[algorithm], "linestyle": STYLES[name]}
                axis.plot(*zip(*points, strict=True), **style, linewidth=2.2 if name == OURS else 1.2)
        axis.set(xscale="log", xlabel="seconds of computing, one thread", ylabel="SI-SDR improvement, dB")
        axis.set_title(f"{channels} talkers, {channels} microphones", fontsize=10)
        axis.grid(alpha=0.3, which="major")
    for axis in list(axes.flat)[len(shown) :]:
        axis.axis("off")
    for name, colour in colours.items():
        if name in used:
            axes[0, 0].plot([], [], color=colour, label=NAMES[name])
    for name, style in STYLES.items():
        if name in used:
            width = 2.2 if name == OURS else 1.2
            axes[0, 0].plot([], [], color="black", linestyle=style, linewidth=width, label=name)
    figure.legend(loc="lower center", ncol=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.75 / figure.get_figheight(), 1, 1))
    plots.write(figure, "blind_curves")


def plot_speed(result: dict) -> None:
    """Milliseconds per iteration against channels, ours and the fastest other package."""
    figure, ((axis,),) = plots.axes(figsize=(6.4, 4.4))
    channels = sorted(result["speed"], key=int)
    for i, algorithm in enumerate(UPDATES):
        ours, others = [], []
        for c in channels:
            rows = {name: row["wall_ms"] for name, row in rows_of(result["speed"][c], algorithm, "1").items()}
            ours += [(int(c), rows.pop(OURS))] if OURS in rows else []
            others += [(int(c), min(rows.values()))] if rows else []
        for points, style, label in ((ours, "o-", NAMES[algorithm]), (others, "x--", None)):
            if points:
                axis.plot(*zip(*points, strict=True), style, color=f"C{i}", label=label)
    axis.plot([], [], "o-", color="black", label="unbabble")
    axis.plot([], [], "x--", color="black", label="fastest other")
    axis.set(
        xlabel="channels",
        ylabel="ms per iteration, one thread",
        yscale="log",
        xticks=list(map(int, channels)),
    )
    frames = median(result["speed"][c]["frames"] for c in channels)
    axis.set_title(
        f"One iteration over {result['speed'][channels[0]]['bins']} x {frames:.0f} bins", fontsize=10
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.tight_layout()
    plots.write(figure, "blind_speed")
