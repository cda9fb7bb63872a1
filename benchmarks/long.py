"""An hour through the command: memory, time, and whether voices keep their files.

Three voices of the test split (two for one microphone) sit at places of a measured room for an hour (chunks of two
minutes, each of other utterances); white noise 30 dB below. ``unbabble separate`` runs as its user runs it; peak memory
is that of its process. SI-SDR improvement is taken minute by minute with one pairing of files and talkers for the whole
hour (``fixed``), and with the best pairing of each minute (``free``): where they differ, a voice has changed its file.

    python benchmarks/long.py                          # an hour of four microphones at 16 kHz
    python benchmarks/long.py --microphones 1          # by the packaged network
    python benchmarks/long.py --rate 48000
    python benchmarks/long.py --quick                  # six minutes, not saved
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from common import RESULTS, command, load, machine, save
from mixtures import DATA, DISTANCE_M, MICROPHONES, PANELS

from unbabble.data import corpora
from unbabble.data.mixing import mix
from unbabble.data.rooms import MeasuredRooms
from unbabble.signal.metrics import pairwise, si_sdr
from unbabble.signal.permutation import best_permutation

RATE, TALKERS, CHUNK_SECONDS, SNR_DB = 16000, {4: 3, 1: 2}, 120, 30.0
"""Talkers by number of microphones."""


def record(folder: Path, minutes: int, rate: int, seed: int, channels: int) -> None:
    """Write mixture.wav and references.wav, chunk by chunk."""
    rng = np.random.default_rng(seed)
    places = [p for p in corpora.responses(DATA / "rir.csv", "test") if p.room.endswith(PANELS)]
    room = MeasuredRooms(tuple(places), channels=MICROPHONES, distance_m=DISTANCE_M)
    talkers = TALKERS[channels]
    responses = room.draw(rng, talkers, len(MICROPHONES), RATE).responses[:, :channels]
    speakers: dict[str, list[corpora.Utterance]] = {}
    for utterance in corpora.speech(DATA / "speech.csv", "test"):
        speakers.setdefault(utterance.speaker, []).append(utterance)
    names = rng.choice(
        sorted(s for s in speakers if sum(u.seconds for u in speakers[s]) > 60), talkers, False
    )
    files = [
        soundfile.SoundFile(folder / name, "w", rate, tracks, "PCM_16")
        for name, tracks in (("mixture.wav", channels), ("references.wav", talkers))
    ]
    for _ in range(0, 60 * minutes, CHUNK_SECONDS):
        samples = CHUNK_SECONDS * RATE
        voices = []
        for name in names:
            parts: list[np.ndarray] = []
            while sum(map(len, parts)) < samples:
                sound, its_rate = corpora.read(rng.choice(np.array(speakers[name], dtype=object)).path)
                parts.append(corpora.resample(sound.mean(axis=0), its_rate, RATE))
            voices.append(np.concatenate(parts)[:samples])
        found = mix(voices, responses, samples=samples, sample_rate=RATE)
        clean, references = found.mixture, found.references
        if rate != RATE:
            clean, references = (corpora.resample(x, RATE, rate) for x in (clean, references))
        noise = rng.standard_normal(clean.shape) * np.sqrt(np.mean(clean[0] ** 2)) * 10 ** (-SNR_DB / 20)
        files[0].write((0.5 * (clean + noise)).T)
        files[1].write(0.5 * references.T)
    for file in files:
        file.close()


def minute(path: Path, start: int, rate: int) -> torch.Tensor:
    samples, _ = soundfile.read(path, frames=60 * rate, start=start, always_2d=True)
    return torch.from_numpy(samples.T)


def score(folder: Path, voices: list[Path], minutes: int, rate: int) -> dict[str, list[float]]:
    """SI-SDR improvement of every minute, by either way to pair them."""
    tables, unprocessed = [], []
    for start in range(0, 60 * minutes * rate, 60 * rate):
        references = minute(folder / "references.wav", start, rate)
        estimates = torch.cat([minute(voice, start, rate) for voice in voices])
        tables.append(pairwise(estimates, references, si_sdr))
        mixture = minute(folder / "mixture.wav", start, rate)[:1]
        unprocessed.append(pairwise(mixture, references, si_sdr)[0])
    whole, columns = best_permutation(torch.stack(tables).mean(0)), torch.arange(tables[0].shape[1])
    gains: dict[str, list[float]] = {"fixed": [], "free": []}
    for table, before in zip(tables, unprocessed, strict=True):
        for how, order in (("fixed", whole), ("free", best_permutation(table))):
            gains[how].append(round(float((table[order, columns] - before).mean()), 2))
    return gains


def run(arguments: list[str]) -> float:
    """Run a command; its peak resident memory in GiB. (What ``getrusage`` says of a child includes our own.)"""
    peak = 0.0
    with subprocess.Popen(arguments) as process:
        while process.poll() is None:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
            peak = max(peak, *found, 0.0)
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"unbabble failed with exit code {process.returncode}.")
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--microphones", type=int, choices=TALKERS, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    a = parser.parse_args()
    minutes = 6 if a.quick else a.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record(folder, minutes, a.rate, a.seed, a.microphones)
        arguments = ["separate", str(folder / "mixture.wav"), "--out", str(folder / "out")]
        arguments += ["--sources", str(TALKERS[a.microphones]), "--quiet"]
        started = time.perf_counter()
        peak = run([sys.executable, "-m", "unbabble.cli", *arguments])
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        voices = sorted((folder / "out" / "mixture").glob("source?.wav"))
        gains = score(folder, voices, minutes, a.rate)
    result = {
        "minutes": minutes,
        "rate_hz": a.rate,
        "microphones": a.microphones,
        "command": command(),
        "seed": a.seed,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "times_real_time": round(60 * minutes / seconds, 1),
        "peak_gib": round(peak, 2),
        "si_sdri_db": {how: round(float(np.mean(g)), 2) for how, g in gains.items()},
        "minutes_in_another_file": sum(x != y for x, y in zip(gains["fixed"], gains["free"], strict=True)),
        "si_sdri_db_by_minute": gains,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))
    if not a.quick:
        results = load("long")
        results[f"{a.microphones} microphones, {a.rate} Hz"] = result
        save("long", results)
        RESULTS.joinpath("long.md").write_text(table(results))


def table(results: dict) -> str:
    lines = [
        "# An hour",
        "",
        "`unbabble separate` as its user runs it, three talkers before four microphones or two before one; fixed: one "
        "pairing of files and talkers for the hour; free: the "
        "best of each minute. " + ", ".join(f"`{x['command']}`" for x in results.values()) + ".",
        "",
        "| microphones | rate | minutes | peak memory | seconds | times real time | SI-SDRi fixed | free "
        "| minutes in another file |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    lines += [
        f"| {x['microphones']} | {x['rate_hz']} Hz | {x['minutes']} | {x['peak_gib']} GiB | {x['seconds']} "
        f"| {x['times_real_time']} | {x['si_sdri_db']['fixed']} dB | {x['si_sdri_db']['free']} dB "
        f"| {x['minutes_in_another_file']} |"
        for x in results.values()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
