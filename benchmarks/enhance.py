"""How much noise do the enhancers take off voices and noises that they never heard, and at what cost?

    python benchmarks/enhance.py
    python benchmarks/enhance.py --merge --models speech_nmf.universal --peers DeepFilterNet3    # other rows stay

Test speakers in the test noises (``duan``, with which the literature on personal enhancement works, and a running tap),
6 s at -5, 0, 5 and 10 dB. Beside the packaged networks: NMF with dictionaries of 20 training speakers, the noisy
recording, the ideal ratio mask, which knows the truth, and RNNoise, DTLN, GTCRN and DeepFilterNet where ``peers.sh``
has installed them. Real-time factors with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import common
import numpy as np
import torch
from separation import put_scores

from unbabble.base import audio
from unbabble.base.weights import packaged
from unbabble.data import corpora
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.pipelines import enhance as enhancing
from unbabble.pipelines import separate as hub
from unbabble.signal.metrics import estoi, pesq, si_sdr
from unbabble.signal.stft import Stft

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, RATE, SECONDS = "enhance", 0, 16000, 6.0
SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
NMF = ("speech_nmf.semi", "speech_nmf.universal", "speech_nmf.local")
ONLINE = "speech_nmf.semi, online"
EXAMPLES, EXAMPLE_SECONDS = 20, 20.0
NOISY, IDEAL = "noisy", "ideal ratio mask"
OTHERS = ("RNNoise", "DTLN", "GTCRN", "DeepFilterNet3")
SEXES, WORST_SHARE = ("F", "M"), 0.1
LEVEL = 0.05
"""Of recordings for those that expect one, over full scale."""
PUBLISHED = """\
Published, on VoiceBank-DEMAND, whose input SNRs are 2.5 to 17.5 dB and whose noisy speech has a PESQ of 1.97: PESQ 2.29
RNNoise, 2.87 GTCRN, 3.16 DeepFilterNet3; so ranks compare, not levels."""


def recordings(split: str, each: int, snr_db: float):
    """(noisy, voice, about) of one speaker each."""
    mixing = DynamicMixing(
        DATA / "speech.csv",
        split,
        talkers=(1,),
        seconds=SECONDS,
        sample_rate=RATE,
        noise=DATA / "noise.csv",
        noise_split=split if split == "test" else "train",
        noise_share=1.0,
        snr_db=(snr_db, snr_db),
    )
    made = DynamicMixtures(mixing, SEED)
    for index in range(each):
        drawn = made.drawn(np.random.default_rng([SEED, index]))
        speaker = str(drawn.speakers[0])
        about = {"snr_db": snr_db, "speaker": speaker, "sex": made.sex_of(speaker)}
        yield torch.from_numpy(drawn.item.mixture), torch.from_numpy(drawn.item.sources[0]), about


def examples() -> list[torch.Tensor]:
    """Clean speech of training speakers."""
    by_speaker: dict[str, list] = {}
    for each in corpora.speech(DATA / "speech.csv", "train"):
        by_speaker.setdefault(each.speaker, []).append(each)
    longest = sorted(by_speaker, key=lambda name: -sum(each.seconds for each in by_speaker[name]))[:EXAMPLES]
    found = []
    for name in longest:
        voices = [audio.read(each.path).samples[0] for each in by_speaker[name][:4]]
        found.append(torch.cat(voices)[: round(EXAMPLE_SECONDS * RATE)])
    return found


def ideal(noisy: torch.Tensor, voice: torch.Tensor) -> torch.Tensor:
    transform = Stft(1024, 256)
    speech, noise = (transform.analyse(each).abs().square() for each in (voice, noisy - voice))
    mask = speech / (speech + noise).clamp(min=1e-12)
    return transform.synthesise(mask * transform.analyse(noisy), len(noisy))


def enhancers(names: list[str]) -> dict:
    """Name to what takes a noisy recording and returns the voice."""
    found: dict = {NOISY: lambda noisy: noisy}
    speech = examples() if any(name.startswith("speech_nmf") for name in names) else []
    for name in names:
        options: dict = {}
        if name.startswith("speech_nmf"):
            options = {"speech": speech, "online": name == ONLINE, "rank": 100 if ".semi" in name else 10}
        separator = hub.Model(name.partition(",")[0], torch.device("cpu"), options=options).separator(
            name.partition(",")[0]
        )
        found[name] = lambda noisy, separator=separator: separator(noisy[None, None], sample_rate=RATE)[0, 0]
    return found


def others(heard: list[torch.Tensor], names: list[str]) -> dict[str, tuple[torch.Tensor, float]]:
    """What other people's enhancers make of recordings, and their real-time factors."""
    python = common.PEERS / "enhancers" / "bin" / "python"
    if not names:
        return {}
    if not (common.PEERS / "enhancers" / "complete").is_file():
        print("Other people's enhancers are not here: benchmarks/peers.sh installs them.")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        noisy, enhanced = Path(folder) / "noisy.npy", Path(folder) / "enhanced.npz"
        np.save(noisy, LEVEL * torch.stack(heard).numpy())
        runner = Path(__file__).parent / "peers" / "run_enhancers.py"
        subprocess.run([str(python), str(runner), str(noisy), str(enhanced), *names], check=True)
        found = np.load(enhanced)
        seconds = len(heard) * SECONDS
        return {
            name: (torch.from_numpy(found[name]).float(), float(found[f"{name}_seconds"]) / seconds)
            for name in names
        }


def gained(voice: torch.Tensor, noisy: torch.Tensor, true: torch.Tensor) -> float:
    """SI-SDR improvement in dB."""
    return float(si_sdr(voice[None], true[None]) - si_sdr(noisy[None], true[None]))


def measured(estimate: torch.Tensor, noisy: torch.Tensor, voice: torch.Tensor) -> dict[str, float]:
    return {
        "si_sdri_db": gained(estimate, noisy, voice),
        "pesq": float(pesq(estimate[None], voice[None], RATE)),
        "estoi": float(estoi(estimate[None], voice[None], RATE)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiny = ("gru.", "sparse_ensemble.", "adaptive_dae.")
    ours = [name for name in packaged() if name in enhancing.DEFAULTS or name.startswith(tiny)]
    parser.add_argument("--models", nargs="*", default=[*ours, *NMF, ONLINE])
    parser.add_argument("--peers", nargs="*", default=OTHERS, choices=OTHERS)
    parser.add_argument(
        "--merge", action="store_true", help="keep the rows of what is not run; takes no times"
    )
    parser.add_argument("--each", type=int, default=30, help="recordings for each SNR")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--cards", nargs="*", default=[], help="packaged networks whose cards get their scores"
    )
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads((RESULTS / f"{arguments.name}.json").read_text()) if arguments.merge else {}
    if before.get("recordings", len(SNRS_DB) * arguments.each) != len(SNRS_DB) * arguments.each:
        raise SystemExit(f"The rows that are there are of {before['recordings']} recordings.")
    models = enhancers(arguments.models)
    rows: list[dict] = []
    for snr_db in SNRS_DB:
        found = list(recordings(arguments.split, arguments.each, snr_db))
        heard = [noisy for noisy, _, _ in found]
        for name, (voices, factor) in others(heard, arguments.peers).items():
            for estimate, (noisy, voice, about) in zip(voices, found, strict=True):
                rows.append(about | {"model": name, "factor": factor} | measured(estimate, noisy, voice))
        for noisy, voice, about in found:
            rows.append(about | {"model": IDEAL} | measured(ideal(noisy, voice), noisy, voice))
            for name, call in models.items():
                began = time.perf_counter()
                estimate = call(noisy)
                factor = (time.perf_counter() - began) / SECONDS
                rows.append(about | {"model": name, "factor": factor} | measured(estimate, noisy, voice))
        print(snr_db, flush=True)
    names = [*models, *(name for name in OTHERS if any(row["model"] == name for row in rows)), IDEAL]
    table = {name: summary([row for row in rows if row["model"] == name]) for name in names}
    for name in ours:
        if name in table:
            network = networks.load(name, "enhancer").network
            table[name] |= {"parameters": parameter_count(network), "gmacs": macs_per_second(network) / 1e9}
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "models": table}
    result = common.rounded(result | {"recordings": len(SNRS_DB) * arguments.each}, 3)
    if arguments.merge:
        result = merged(before, result)
    common.save(arguments.name, result)
    for name in arguments.cards:
        row = result["models"][name]
        scores = {f"{each:g} dB": {"si_sdri_db": row[f"{each:g}"][0]} for each in SNRS_DB}
        put_scores(packaged()[name], scores)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def merged(before: dict, now: dict) -> dict:
    """The rows of now in the place of those of before, without real-time factors: who merges has no idle machine."""
    rows = dict(before["models"])
    for name, row in now["models"].items():
        if name not in (NOISY, IDEAL):
            rows[name] = {key: value for key, value in row.items() if key != "factor"}
    last = rows.pop(IDEAL)
    commands = [*before["command"].splitlines(), now["command"]]
    return before | {"models": rows | {IDEAL: last}, "command": "\n".join(commands)}


def summary(rows: list[dict]) -> dict:
    found: dict = {
        f"{snr_db:g}": common.interval([row["si_sdri_db"] for row in rows if row["snr_db"] == snr_db])
        for snr_db in SNRS_DB
    }
    for metric in ("pesq", "estoi"):
        found[metric] = common.interval([row[metric] for row in rows])
    if "factor" in rows[0]:
        found["factor"] = float(np.median([row["factor"] for row in rows]))
    return found | fairness(rows)


def fairness(rows: list[dict]) -> dict[str, float]:
    """Mean SI-SDR improvement of women, of men, and of the least lucky tenth of the speakers."""
    found, speakers = {}, defaultdict(list)
    for row in rows:
        speakers[row["speaker"]].append(row["si_sdri_db"])
    for sex in SEXES:
        if there := [row["si_sdri_db"] for row in rows if row["sex"] == sex]:
            found[sex] = float(np.mean(there))
    means = sorted(map(np.mean, speakers.values()))
    return found | {"worst": float(np.mean(means[: max(1, round(WORST_SHARE * len(means)))]))}


def fairness_cells(row: dict) -> list[str]:
    return [f"{row[key]:.2f}" if key in row else "" for key in (*SEXES, "worst")]


def text_of(result: dict) -> str:
    """The table."""
    timeless = any("factor" not in row for name, row in result["models"].items() if name != IDEAL)
    lines = [
        "SI-SDR improvement in dB by input SNR, PESQ (wide band) and eSTOI (95 % interval over recordings); SI-SDR "
        "improvement of women, of men, of the worst tenth of the speakers.",
        "",
        "| model | parameters | GMAC/s | real-time factor | -5 dB | 0 dB | 5 dB | 10 dB | PESQ | eSTOI | women "
        "| men | worst speakers |",
        "|-|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    for name, row in result["models"].items():
        cells = [name, row.get("parameters", ""), row.get("gmacs", ""), row.get("factor", "")]
        for column in (*(f"{each:g}" for each in SNRS_DB), "pesq", "estoi"):
            mean, low, high = row[column]
            cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
        cells += fairness_cells(row)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        f"{result['recordings']} recordings of {SECONDS:g} s. The dictionaries of `speech_nmf` are from {EXAMPLES} "
        "training speakers. RNNoise, DTLN (500 h), GTCRN and DeepFilterNet3 (DNS Challenge) have weights of their "
        "authors, and heard a hundred times as much speech and noise as the networks here (4.4 hours; 19 "
        "noises, and 320 clips more of `bsrnn.1talker_16k`)."
        + " Without a real-time factor: run later, beside other work."
        * timeless,
        "",
        PUBLISHED,
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
        *(f"    {line}" for line in result["command"].splitlines()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
