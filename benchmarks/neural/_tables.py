"""Tables of ``neural.py``."""

from collections.abc import Iterator

import numpy as np

from benchmarks.kit.table import grid, page

THREADS = 2
PEER_OF = {
    "sepformer": "speechbrain",
    "conv_tasnet": "asteroid",
    "dprnn_16": "asteroid",
    "dprnn_2": "asteroid",
}
TITLES = {
    "sepformer": "SepFormer",
    "conv_tasnet": "Conv-TasNet",
    "dprnn_16": "DPRNN, kernel 16",
    "dprnn_2": "DPRNN, kernel 2",
    "compact": "SepFormer, compact",
}
WHO = THEIRS, OWN, LOW = ("theirs", "ours", "ours-bfloat16")
PUBLISHED_SI_SNR_DB = 22.3
"""Of SepFormer on WSJ0-2mix: the level of error that rounding is compared with where weights are random."""


def cell(row: dict, key: str, scale: float = 1, digits: int = 2) -> str:
    return f"{row[key] / scale:.{digits}f}" if key in row else "too much" if "error" in row else ""


def ratio(theirs: dict, other: dict) -> str:
    return f"{theirs['seconds'] / other['seconds']:.2f}" if "seconds" in theirs and "seconds" in other else ""


def running_rows(result: dict) -> Iterator[list[str]]:
    for name, network in result["networks"].items():
        for length, rows in sorted(network["lengths"].items(), key=lambda item: float(item[0])):
            theirs, ours, low = (rows.get(each, {}) for each in WHO)
            flops = 2 * network["macs_per_second"] * float(length) / result["gemm_flops"]["float32"]
            share = f"{flops / ours['seconds']:.0%}" if "seconds" in ours else ""
            equal = f"{ours['largest_difference']:.1e}" if "largest_difference" in ours else ""
            memory = ", ".join(cell(each, "extra_bytes", 1e6, 0) for each in (theirs, ours))
            speed = [
                cell(theirs, "seconds"),
                cell(ours, "seconds"),
                ratio(theirs, ours),
                share,
                memory,
                equal,
            ]
            low_speed = [cell(low, "seconds"), ratio(theirs, low), cell(low, "extra_bytes", 1e6, 0)]
            size = [TITLES[name], f"{network['macs_per_second'] / 1e9:.2f}", length]
            yield [*size, *speed, *low_speed, cell(low, "agreement_db", 1, 1)]


def training_rows(result: dict) -> Iterator[list[object]]:
    for name, row in result["training"].items():
        theirs, ours, low = (row.get(each, {}) for each in WHO)
        seconds, memory = theirs.get("seconds", "-"), cell(theirs, "extra_bytes", 1e6, 0) or "-"
        both = f"{memory}, {cell(ours, 'extra_bytes', 1e6, 0)}"
        cells = [f"{row['audio_seconds']:g}", seconds, cell(ours, "seconds"), ratio(theirs, ours), both]
        low_cells = [cell(low, "seconds"), ratio(theirs, low), cell(low, "extra_bytes", 1e6, 0)]
        yield [TITLES[name], *cells, *low_cells]


def losses(result: dict) -> Iterator[str]:
    """What bfloat16 costs, with random and with trained weights."""
    lengths = result["networks"].get("sepformer", {}).get("lengths", {})
    agreements = [row[LOW]["agreement_db"] for row in lengths.values() if "agreement_db" in row.get(LOW, {})]
    if agreements:
        loss = 10 * np.log10(1 + 10 ** ((PUBLISHED_SI_SNR_DB - min(agreements)) / 10))
        yield (
            f"Rounding as in the row of least agreement ({min(agreements):.1f} dB, random weights) would cost an "
            f"estimate of {PUBLISHED_SI_SNR_DB} dB SI-SNR {loss:.4f} dB."
        )
    for row in result.get("loss", {}).values():
        mean, low, high = row["loss_db"]
        yield (
            f"Trained weights (`{row['weights']}`), {row['mixtures']} mixtures of the Libri2Mix subset: "
            f"{row['si_snr_db']['float32']:.2f} dB SI-SNR in float32, bfloat16 costs {mean:.4f} dB "
            f"({low:.4f} to {high:.4f}), at most {row['largest_loss_db']:.4f} dB."
        )


def table(result: dict) -> str:
    machine = result["machine"]
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {each}" for each, rate in result["gemm_flops"].items())
    blocks = [
        "# Neural networks beside SpeechBrain and Asteroid",
        f"{machine['cpu']}, {THREADS} threads, {machine['date']}. Matrix products reach {rates}. Memory is what a run "
        "takes on top of weights and input. The difference is the largest, relative to the largest sample.",
        grid(
            "network | GMAC/s of audio | audio s | theirs: s | ours: s | times faster | share of GEMM rate "
            "| memory: theirs, ours (MB) | difference | bfloat16: s | times faster | memory (MB) | agreement (dB)",
            running_rows(result),
        ),
        *losses(result),
    ]
    if "training" in result:
        blocks += [
            "A step of training on one mixture, forward and back; bfloat16 by autocast, as `unbabble train` has it:",
            grid(
                "network | audio s | theirs: s | ours: s | times faster | memory: theirs, ours (MB) | bfloat16: s "
                "| times faster | memory (MB)",
                training_rows(result),
            ),
        ]
    return page(*blocks, "Made by " + ", ".join(f"`{each}`" for each in result["commands"]) + ".")
