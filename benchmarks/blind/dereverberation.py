"""Does removing reverberation help separation?

AuxIVA, WPE and then AuxIVA, and T-ISS, which does both at once, on two talkers in a measured room (RT60 0.5 to 0.75 s,
test splits). Each mixture is scored three times: against the talkers' whole images at the first microphone, against
their first 50 ms, and against their direct sound. What removes reverberation loses on the first and gains on the
others. Taps, delay and window of ``tiss`` were chosen on the dev splits of voices and room states.

    OMP_NUM_THREADS=1 python -m benchmarks dereverberation       # twenty minutes
"""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import torch

import unbabble
from benchmarks.kit.scenes import SECONDS, improvement, mixtures
from benchmarks.kit.table import grid, page
from unbabble.data.mixing import EARLY_SECONDS, Mixture, Reference
from unbabble.signal.statistics import bootstrap

REFERENCES: tuple[Reference, ...] = ("image", "early", "direct")
METHODS: dict[str, dict] = {
    "auxiva.iss": {"name": "auxiva.iss"},
    "tiss": {"name": "tiss", "dereverb": "joint"},
    "wpe + auxiva.iss": {"name": "auxiva.iss", "dereverb": "wpe"},
}
OPTIONS = {"source_model": "gauss", "window_length": 4096, "sources": 2}
QUICK = {"count": 3, "microphones": [2]}


def row_of(microphones: int, method: str, whole: dict[Reference, list[Mixture]]) -> dict:
    """The scores of every mixture against every reference."""
    model = unbabble.load(**METHODS[method], **OPTIONS, device="cpu")
    scores: dict[Reference, list[float]] = {name: [] for name in REFERENCES}
    spent = 0.0
    for index, item in enumerate(whole["image"]):
        mixture = torch.from_numpy(item.mixture[:microphones].copy())
        if index == 0:  # compile
            model(mixture[:, : item.sample_rate], item.sample_rate)
        started = time.process_time()
        separated = model(mixture, item.sample_rate).sources
        spent += time.process_time() - started
        for name in REFERENCES:
            references = torch.from_numpy(whole[name][index].references)
            scores[name].append(improvement(separated, references, mixture[0]))
    row: dict = {
        "method": method,
        "microphones": microphones,
        "cpu_seconds": round(spent / len(whole["image"]), 2),
    }
    for name, values in scores.items():
        mean, *interval = (round(each, 2) for each in bootstrap(values))
        row[name] = {"mean": mean, "interval": interval, "values": [round(value, 2) for value in values]}
    return row


def measure(
    before: dict,
    count: int = 12,
    seconds: float = SECONDS,
    microphones: Sequence[int] = (2, 3, 4),
    methods: Annotated[Sequence[str], tuple(METHODS)] = tuple(METHODS),
    seed: int = 0,
) -> Iterator[dict]:
    """A part measured anew joins the rest, where that is of the same recordings."""
    arguments = {"count": count, "seed": seed, "seconds": seconds}
    whole = {name: list(mixtures(2, count, seed, seconds, reference=name)) for name in REFERENCES}
    known = before["rows"] if before.get("arguments") == arguments else []
    rows = {(row["microphones"], list(METHODS).index(row["method"])): row for row in known}
    for number in microphones:
        for method in methods:
            rows[number, list(METHODS).index(method)] = row_of(number, method, whole)
            versions = {"torch": torch.__version__, "unbabble": unbabble.__version__}
            yield {"arguments": arguments, **versions, "rows": [rows[key] for key in sorted(rows)]}


def table(result: dict) -> str:
    a, machine = result["arguments"], result["machine"]
    how = [f"OMP_NUM_THREADS=1 python benchmarks/dereverberation.py --count {a['count']} --seed {a['seed']}"]
    gain = "{%s[mean]:.2f} ({%s[interval][0]:.1f} ... {%s[interval][1]:.1f})"
    gains = " | ".join(gain.replace("%s", name) for name in REFERENCES)
    return page(
        "# Two talkers in an echoing room: with and without their reverberation",
        f"`{'`, `'.join(result.get('commands', how))}`: {a['count']} mixtures of {a['seconds']:g} s, two test talkers "
        "1.5 or 2 m away, measured room with RT60 0.5 to 0.75 s, sensor noise 30 dB below. SI-SDR improvement in dB "
        "over the first microphone, with the 95 % interval of the mean, against three references: the talker's whole "
        f"image there, its first {1000 * EARLY_SECONDS['early']:g} ms, and its direct sound. All with the Gauss source "
        f"model, a window of {OPTIONS['window_length']} samples and otherwise the defaults. CPU seconds for one "
        f"mixture, one thread. Machine: {machine if isinstance(machine, str) else machine['cpu']}, "
        f"torch {result['torch']}, unbabble {result['unbabble']}.",
        grid(
            "method | microphones | whole image | early | direct | CPU seconds",
            result["rows"],
            f"{{method}} | {{microphones}} | {gains} | {{cpu_seconds:.1f}}",
        ),
    )
