"""How much noise comes off, beside RNNoise, DTLN, GTCRN and DeepFilterNet?

Test speakers in the test noises (``duan``, with which the literature on personal enhancement works, and a running tap),
6 s at -5, 0, 5 and 10 dB. Beside the packaged networks: NMF with dictionaries of 20 training speakers, the noisy
recording, the ideal ratio mask, which knows the truth, and RNNoise, DTLN, GTCRN and DeepFilterNet where ``peers.sh``
has installed them. Real-time factors with one thread.

    python -m benchmarks enhance
    python -m benchmarks enhance --merge --models speech_nmf.universal --peers DeepFilterNet3    # other rows stay
"""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import torch

from benchmarks.kit import peers as others
from benchmarks.kit import people
from benchmarks.kit.cards import put_scores
from benchmarks.kit.claim import command
from benchmarks.kit.people import EXAMPLES, FAIRNESS, IDEAL, NOISY, SECONDS, SNR_NAMES, SNRS_DB
from benchmarks.kit.table import grid, made_by, page
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.pipelines.enhance import DEFAULTS

SEED, DIGITS = 0, 3
NETWORKS = [
    n for n in packaged() if n in DEFAULTS or n.startswith(("gru.", "sparse_ensemble.", "adaptive_dae."))
]
NMF = ("speech_nmf.semi", "speech_nmf.universal", "speech_nmf.local", "speech_nmf.semi, online")
PEERS = ("RNNoise", "DTLN", "GTCRN", "DeepFilterNet3")
LEVEL = 0.05
"""Of recordings for those that expect one, over full scale."""
PUBLISHED = """\
Published, on VoiceBank-DEMAND, whose input SNRs are 2.5 to 17.5 dB and whose noisy speech has a PESQ of 1.97: PESQ 2.29
RNNoise, 2.87 GTCRN, 3.16 DeepFilterNet3; so ranks compare, not levels."""
QUICK = {"each": 1, "models": ["gru.2x64"], "peers": []}


def by_peers(
    recordings: list[torch.Tensor], names: Sequence[str]
) -> dict[str, tuple[list[torch.Tensor], float]]:
    """What other people's enhancers make of recordings, and their real-time factors."""
    if not names or not others.present(["enhancers"]):
        return {}
    noisy = {"noisy": LEVEL * torch.stack(recordings).numpy()}
    result = others.run("enhancers", "run_enhancers.py", noisy, names, lambda path: dict(np.load(path)))
    factors = {name: float(result[f"{name}_seconds"]) / len(recordings) / SECONDS for name in names}
    return {name: (list(torch.from_numpy(result[name]).float()), factors[name]) for name in names}


def timed(call: people.Enhance, noisy: torch.Tensor) -> tuple[torch.Tensor, float]:
    """What comes out, and the real-time factor."""
    began = time.perf_counter()
    return call(noisy), (time.perf_counter() - began) / SECONDS


def measure(
    before: dict,
    models: Sequence[str] = (*NETWORKS, *NMF),
    peers: Annotated[Sequence[str], PEERS] = PEERS,
    merge: bool = False,
    each: int = 30,
    split: str = "test",
    cards: Sequence[str] = (),
) -> Iterator[dict]:
    """All at all SNRs.

    Args:
        merge: keep the rows of what is not run; takes no times.
        cards: packaged networks whose cards get their scores.
    """
    count, calls = len(SNRS_DB) * each, people.enhancers(models)
    if merge and before.get("recordings", count) != count:
        raise SystemExit(f"The rows that are there are of {before['recordings']} recordings.")
    rows: dict[str, list[dict]] = {name: [] for name in (*calls, *PEERS, IDEAL)}
    for snr_db in SNRS_DB:
        recordings = list(people.recordings(split, each, snr_db))
        for name, (voices, factor) in by_peers([noisy for noisy, *_ in recordings], peers).items():
            for estimate, (noisy, voice, about) in zip(voices, recordings, strict=True):
                rows[name].append(about | {"factor": factor} | people.measured(estimate, noisy, voice))
        for noisy, voice, about in recordings:
            rows[IDEAL].append(about | people.measured(people.ideal(noisy, voice), noisy, voice))
            for name, call in calls.items():
                estimate, factor = timed(call, noisy)
                rows[name].append(about | {"factor": factor} | people.measured(estimate, noisy, voice))
        print(snr_db, flush=True)
    table = {name: summary(there) for name, there in rows.items() if there}
    for name in (each for each in NETWORKS if each in table):
        network = networks.load(name, "enhancer").network
        table[name] |= {"parameters": parameter_count(network), "gmacs": macs_per_second(network) / 1e9}
    if merge:  # without real-time factors: who merges has no idle machine
        new = {name: {key: row[key] for key in row if key != "factor"} for name, row in table.items()}
        kept = before.get("models", {})
        table = kept | {name: row for name, row in new.items() if name not in (NOISY, IDEAL)}
        table[IDEAL] = table.pop(IDEAL, new[IDEAL])
    for name in cards:
        put_scores(packaged()[name], {f"{snr} dB": {"si_sdri_db": table[name][snr][0]} for snr in SNR_NAMES})
    yield (before if merge else {"commands": [command()]}) | {"models": table, "recordings": count}


def summary(rows: list[dict]) -> dict:
    result: dict = people.by_snr(rows) | people.means(rows, "pesq", "estoi")
    if "factor" in rows[0]:
        result["factor"] = float(np.median([row["factor"] for row in rows]))
    return result | people.fairness(rows)


def table(result: dict) -> str:
    timeless = any("factor" not in row for name, row in result["models"].items() if name != IDEAL)
    return page(
        "SI-SDR improvement in dB by input SNR, PESQ (wide band) and eSTOI (95 % interval over recordings); SI-SDR "
        "improvement of women, of men, of the worst tenth of the speakers.",
        grid(
            "model | parameters | GMAC/s | real-time factor | -5 dB | 0 dB | 5 dB | 10 dB | PESQ | eSTOI | women "
            "| men | worst speakers",
            result["models"],
            "{name} | {parameters} | {gmacs} | {factor} | {-5:.2f} | {0:.2f} | {5:.2f} | {10:.2f} | {pesq:.2f} "
            "| {estoi:.2f} | " + FAIRNESS,
        ),
        f"{result['recordings']} recordings of {SECONDS:g} s. The dictionaries of `speech_nmf` are from {EXAMPLES} "
        "training speakers. RNNoise, DTLN (500 h), GTCRN and DeepFilterNet3 (DNS Challenge) have weights of their "
        "authors, and heard a hundred times as much speech and noise as the networks here (4.4 hours; 19 "
        "noises, and 320 clips more of `bsrnn.1talker_16k`)."
        + (" Without a real-time factor: run later, beside other work." if timeless else ""),
        PUBLISHED,
        made_by(result),
    )
