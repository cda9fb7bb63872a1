"""Tables of ``blind.py``."""

from collections.abc import Iterator
from statistics import mean

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
COUNTED = ("ip", "ip2", "iss", "iss2", "ipa")
"""Whose operations are counted by hand."""
EQUAL_AT = 20
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
Rows = dict[str, dict]
"""Of one update and number of threads, by package."""


def table(result: dict) -> str:
    parts = ["# Blind separation beside other packages"]
    if result.get("speed"):
        every = "channels | method | package | wall | CPU | extra MB | 2 threads: wall | CPU"
        parts += ["## Time and memory per iteration", ABOUT_SPEED, grid(SPEED, speed_rows(result))]
        parts += ["## Every package, one thread", "Wall and CPU milliseconds per iteration, extra MB."]
        parts += [grid(every, every_row(result["speed"]))]
    if result.get("separation"):
        head = "talkers | mixtures | system | iterations | SI-SDRi | 95 % interval | worst"
        parts += ["## Real rooms, real voices", ABOUT_SEPARATION, grid(head, separation_rows(result))]
    return page(*parts, "## How", provenance(result))


def by_update(speed: dict[str, dict]) -> Iterator[tuple[str, str, Rows, Rows]]:
    """Channels, update, and rows with one and with two threads."""
    for channels, sizes in sorted(speed.items(), key=lambda item: int(item[0])):
        for update in NAMES:
            one, two = (
                {
                    key.split("/")[0]: row
                    for key, row in sizes.items()
                    if key.endswith(f"/{update}/{threads}") and "wall_ms" in row
                }
                for threads in (1, 2)
            )
            if one:
                yield channels, update, one, two


def shown(text: str, *values: object) -> str:
    return "-" if None in values else text.format(*values)


def against(rows: Rows, key: str) -> tuple[float | None, float | None, str, float | None]:
    """Ours, the least of the other packages, its name, and the ratio."""
    values = {name: row[key] for name, row in rows.items() if key in row}
    ours = values.pop(OURS, None)
    name = min(values, key=lambda name: values[name], default="")
    least = values.get(name)
    return ours, least, name, least / ours if ours and least else None


def speed_rows(result: dict) -> Iterator[list[str]]:
    for channels, update, one, two in by_update(result["speed"]):
        beside = []
        for rows in (one, two):
            ours, least, name, ratio = against(rows, "wall_ms")
            beside += [shown("{:.2f}", ours), shown("{:.1f} {}", least, name), shown("**{:.1f}**", ratio)]
            beside += [shown("{:.1f}", against(rows, "cpu_ms")[3])] if rows is one else []
        ours, least, name, _ = against(one, "extra_mb")
        memory = shown("{:.1f}", ours) + " / " + shown("{:.1f} {}", least, name)
        cells = [*beside, memory, *shares(result, one, update, channels), equality(result, channels, update)]
        yield [channels, NAMES[update], *cells]


def shares(result: dict, rows: Rows, update: str, channels: str) -> list[str]:
    """Of what the machine reaches in a matrix product, and in copying memory."""
    limit, sizes = result.get("machine_limits", {}).get("1"), result["speed"][channels]
    if OURS not in rows or limit is None or update not in COUNTED:
        return ["-", "-"]
    seconds, size = rows[OURS]["wall_ms"] / 1000, (int(channels), sizes["bins"], sizes["frames"])
    flops = operations(update, *size) / seconds / limit["gemm_f32_flops"]
    return [f"{flops:.0%}", f"{traffic(*size) / seconds / limit['copy_bytes']:.0%}"]


def equality(result: dict, channels: str, update: str) -> str:
    """Ours less theirs, dB: the least of all differences, and the largest."""
    curves = {
        name: curve
        for key, curve in result.get("curves", {}).get(channels, {}).items()
        for name, its in [key.split("/")]
        if its == update
    }
    ours, differences = curves.pop(OURS, {}), {}
    for name, theirs in curves.items():
        common = [i for i in theirs if i in ours and 0 < int(i) <= EQUAL_AT]
        if common:
            last = max(common, key=int)
            differences[name] = mean(ours[last]) - mean(theirs[last])
    if not differences or update.startswith("ilrma"):  # ILRMA starts from random spectral shapes
        return "-"
    worst = max(differences, key=lambda name: abs(differences[name]))
    return f"{min(differences.values(), key=abs):+.2f} ({differences[worst]:+.2f} {worst})"


def every_row(speed: dict[str, dict]) -> Iterator[list[str]]:
    for channels, update, one, two in by_update(speed):
        for name, row in sorted(one.items(), key=lambda item: item[1]["wall_ms"]):
            first, second = (
                [shown("{:.2f}", each.get(key)) for key in ("wall_ms", "cpu_ms")]
                for each in (row, two.get(name, {}))
            )
            memory = f"{row.get('extra_mb', float('nan')):.1f}"
            yield [channels, NAMES[update], name, *first, memory, *second]


def separation_rows(result: dict) -> Iterator[list[object]]:
    for talkers, table in sorted(result["separation"].items()):
        mixture = table["mixture_si_sdr"]
        itself = f"the mixture itself (SI-SDR {mean(mixture):.1f} dB)"
        yield [talkers, len(mixture), itself, "-", "0", "-", "-"]
        systems = {key: list(gains.values()) for key, gains in table.items() if "/" in key}
        for key in sorted(systems, key=lambda key: (not key.startswith(OURS), -mean(systems[key]))):
            centre, low, high = bootstrap(systems[key])
            iterations = "its own" if key.endswith("/default") else table["iterations"]
            cells = [f"{centre:.2f}", f"{low:.2f} ... {high:.2f}", f"{min(systems[key]):.1f}"]
            yield [talkers, len(systems[key]), key.replace("/", " "), iterations, *cells]


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
