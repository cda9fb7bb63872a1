"""Does online separation follow talkers who move?

Online AuxIVA against the batch. Two voices of the test split in a measured room, two microphones of a real array, 30 s.
After 15 s one talker, or both, are somewhere else in the same room, within 50 ms. The same voices at their first places
throughout are the static case. SI-SDR improvement over the first microphone is taken in windows of 3 s. Which
estimate is which talker is decided once for each recording (``fixed``: a source that jumped to the other file
costs), or in each window (``free``: the separation alone). The options were chosen on a few scenes of the dev split
(``--split dev``, with another ``--name``).

    python -m benchmarks online             # ten minutes
"""

import time
from collections import defaultdict
from typing import Literal

import numpy as np
import torch

from benchmarks.kit.claim import command
from benchmarks.kit.scenes import MICROPHONES, RATE, by_speaker, by_window, room, said
from benchmarks.kit.table import grid, page
from unbabble.base.registry import create
from unbabble.data.mixing import mix
from unbabble.signal.metrics import si_sdr_matrix
from unbabble.signal.statistics import bootstrap

SECONDS, MOVE = 30.0, 15.0
FADE_SECONDS, WINDOW_SECONDS = 0.05, 3.0
SPANS = {"0-6 s": (0, 6), "6-15 s": (6, 15), "15-18 s": (15, 18), "18-24 s": (18, 24), "24-30 s": (24, 30)}
MOVERS = {"nobody": [], "one talker": [0], "both talkers": [0, 1]}
METHODS: dict[str, tuple[str, dict]] = {
    "batch": ("auxiva.ip", {"source_model": "gauss"}),
    "online": ("online_auxiva", {}),
    "online, gauss": ("online_auxiva", {"source_model": "gauss"}),
    "online, window 0.256 s": ("online_auxiva", {"window_length": 4096}),
}
QUICK = {"count": 1}


def scene(seed: int, index: int, split: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """By number of movers: (mixture, references) of the same two voices in the same room."""
    rng, samples = np.random.default_rng([seed, index]), round(SECONDS * RATE)
    enough = {
        name: all_ for name, all_ in by_speaker(split).items() if sum(u.seconds for u in all_) >= SECONDS
    }
    voices = [said(enough[str(name)], samples, rng) for name in rng.choice(sorted(enough), 2, replace=False)]
    heard = room(split).draw(rng, 4, len(MICROPHONES), RATE).responses[:, :2]
    noise = rng.standard_normal((2, samples))
    fade = np.clip((np.arange(samples) / RATE - MOVE) / FADE_SECONDS, 0, 1)
    before, after = (
        mix(voices, responses, samples=samples, sample_rate=RATE, snr_db=30.0, noise=noise)
        for responses in (heard[:2], heard[2:])
    )
    result = {}
    for name, movers in MOVERS.items():
        images = before.images.copy()
        for k in movers:
            images[k] = (1 - fade) * before.images[k] + fade * after.images[k]
        mixture = torch.from_numpy(images.sum(0) + before.noise).float()
        result[name] = mixture, torch.from_numpy(images[:, 0])
    return result


def score(estimates: torch.Tensor, references: torch.Tensor, mixture: torch.Tensor) -> dict[str, list[float]]:
    """SI-SDR improvement in dB, mean of talkers, in each window, by either way to pair them."""
    length = round(WINDOW_SECONDS * RATE)
    cut = [each.unfold(-1, length, length).unbind(-2) for each in (estimates, references, mixture[None])]
    windows = zip(*cut, strict=True)
    tables, before = zip(*((si_sdr_matrix(e, r), si_sdr_matrix(m, r)[0]) for e, r, m in windows), strict=True)
    return by_window(torch.stack(tables), torch.stack(before), si_sdr_matrix(estimates, references))


def measure(count: int = 20, split: Literal["dev", "test"] = "test", seed: int = 0) -> dict:
    curves, spent = defaultdict(list), dict.fromkeys(METHODS, 0.0)
    for model, options in METHODS.values():  # compile
        create(model, **options)(torch.randn(1, 2, RATE), sample_rate=RATE)
    for index in range(count):
        for case, (x, references) in scene(seed, index, split).items():
            for name, (model, options) in METHODS.items():
                started = time.process_time()
                y = create(model, **options)(x[None], sample_rate=RATE)[0]
                spent[name] += time.process_time() - started
                for how, gains in score(y.double(), references.double(), x[0].double()).items():
                    curves[case, name, how].append(gains)
    spans, windows = ({case: {name: {} for name in METHODS} for case in MOVERS} for _ in range(2))
    for (case, name, how), gains in curves.items():
        windows[case][name][how] = np.mean(gains, 0).round(2).tolist()
        spans[case][name][how] = {
            span: [round(each, 2) for each in bootstrap(np.array(gains)[:, places].mean(1))]
            for span, ends in SPANS.items()
            for places in [slice(*(int(end / WINDOW_SECONDS) for end in ends))]
        }
    return {
        "si_sdr_improvement_db": spans,
        "windows_db": windows,
        "cpu_seconds_per_second": {each: round(spent[each] / (count * 3 * SECONDS), 4) for each in spent},
        "about": f"{count} scenes of two talkers and two microphones ({split} split), seed {seed}, each with nobody, "
        f"one and both talkers moving after 15 s of 30 s; `{command()}`. fixed: one pairing of estimates and talkers "
        "per recording; free: one per window of 3 s.",
    }


def table(result: dict) -> str:
    blocks = ["# Online AuxIVA", result["about"]]
    for case, by_method in result["si_sdr_improvement_db"].items():
        rows = [
            {"name": name, "how": how} | row for name, its in by_method.items() for how, row in its.items()
        ]
        spans = " | ".join(f"{{{span}:.1f...}}" for span in SPANS)
        blocks.append(f"Who moves at 15 s: {case}. SI-SDR improvement in dB, 95 % interval.")
        blocks.append(grid(["method", "pairing", *SPANS], rows, f"{{name}} | {{how}} | {spans}"))
    costs = result["cpu_seconds_per_second"].items()
    return page(*blocks, grid("method | CPU seconds per second of audio", costs))
