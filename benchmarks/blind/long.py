"""An hour of four microphones: how much memory and time, and does every voice keep its file?

Three voices of the test split (two for one microphone) sit at places of a measured room for an hour (chunks of two
minutes, each of other utterances); white noise 30 dB below. ``unbabble separate`` runs as its user runs it; peak memory
is that of its process. SI-SDR improvement is taken minute by minute with one pairing of files and talkers for the whole
hour (``fixed``), and with the best pairing of each minute (``free``): where they differ, a voice has changed its file.

    python -m benchmarks long                          # an hour of four microphones at 16 kHz
    python -m benchmarks long --microphones 1          # by the packaged network
    python -m benchmarks long --microphones 1 --seed 1 # other people at other places
    python -m benchmarks long --rate 48000
    python -m benchmarks long --quick                  # six minutes, not saved
"""

import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.kit.claim import command
from benchmarks.kit.machine import machine
from benchmarks.kit.process import UNBABBLE, run
from benchmarks.kit.scenes import MICROPHONES, RATE, by_speaker, by_window, room, said
from benchmarks.kit.table import grid, page
from unbabble.data import corpora
from unbabble.data.mixing import mix
from unbabble.signal.metrics import si_sdr_matrix

TALKERS, CHUNK_SECONDS, SNR_DB = {4: 3, 1: 2}, 120, 30.0
"""Talkers by number of microphones."""
QUICK = {"minutes": 6}


def record(folder: Path, minutes: int, rate: int, seed: int, channels: int) -> None:
    """Write mixture.wav and references.wav, chunk by chunk."""
    rng, talkers, speakers = np.random.default_rng(seed), TALKERS[channels], by_speaker("test")
    responses = room("test").draw(rng, talkers, len(MICROPHONES), RATE).responses[:, :channels]
    enough = sorted(name for name, those in speakers.items() if sum(each.seconds for each in those) > 60)
    names = rng.choice(enough, talkers, False)
    mixtures, references = (
        soundfile.SoundFile(folder / f"{name}.wav", "w", rate, tracks, "PCM_16")
        for name, tracks in (("mixture", channels), ("references", talkers))
    )
    with mixtures, references:
        for _ in range(0, 60 * minutes, CHUNK_SECONDS):
            voices = [said(speakers[name], CHUNK_SECONDS * RATE, rng) for name in names]
            made = mix(voices, responses, samples=CHUNK_SECONDS * RATE, sample_rate=RATE)
            clean, true = made.mixture, made.references
            if rate != RATE:
                clean, true = (corpora.resample(x, RATE, rate) for x in (clean, true))
            level = np.sqrt(np.mean(clean[0] ** 2)) * 10 ** (-SNR_DB / 20)
            mixtures.write((0.5 * (clean + level * rng.standard_normal(clean.shape))).T)
            references.write(0.5 * true.T)


def score(folder: Path, voices: list[Path], minutes: int, rate: int) -> dict[str, list[float]]:
    """SI-SDR improvement of every minute, by either way to pair them."""

    def part(path: Path, start: int) -> torch.Tensor:
        samples, _ = soundfile.read(path, frames=60 * rate, start=start, always_2d=True)
        return torch.from_numpy(samples.T)

    tables, unprocessed = [], []
    for start in range(0, 60 * minutes * rate, 60 * rate):
        references = part(folder / "references.wav", start)
        tables.append(si_sdr_matrix(torch.cat([part(voice, start) for voice in voices]), references))
        unprocessed.append(si_sdr_matrix(part(folder / "mixture.wav", start)[:1], references)[0])
    scores = torch.stack(tables)
    return by_window(scores, torch.stack(unprocessed), scores.mean(0))


def measure(before: dict, minutes: int = 60, rate: int = RATE, microphones: int = 4, seed: int = 0) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record(folder, minutes, rate, seed, microphones)
        arguments = ["separate", str(folder / "mixture.wav"), "--out", str(folder / "out")]
        arguments += ["--sources", str(TALKERS[microphones]), "--quiet"]
        used = run([*UNBABBLE, *arguments], watched=True)
        gains = score(folder, sorted((folder / "out" / "mixture").glob("source?.wav")), minutes, rate)
        gains = {how: [round(each, 2) for each in its] for how, its in gains.items()}
    name = f"{microphones} microphones, {rate} Hz" + (f", seed {seed}" if seed else "")
    before.setdefault("recordings", {})[name] = {
        "minutes": minutes,
        "rate_hz": rate,
        "microphones": microphones,
        "command": command(),
        "seed": seed,
        "seconds": round(used["wall_s"], 1),
        "cpu_seconds": round(used["cpu_s"], 1),
        "times_real_time": round(60 * minutes / used["wall_s"], 1),
        "peak_gib": round(used["peak_bytes"] / 2**30, 2),
        "si_sdri_db": {how: round(float(np.mean(each)), 2) for how, each in gains.items()},
        "minutes_in_another_file": sum(map(float.__ne__, *gains.values())),
        "si_sdri_db_by_minute": gains,
        "machine": machine(),
    }
    return before


def table(result: dict) -> str:
    recordings = result.get("recordings", result).values()
    return page(
        "# An hour",
        "`unbabble separate` as its user runs it, three talkers before four microphones or two before one; fixed: one "
        "pairing of files and talkers for the hour; free: the best of each minute. "
        + ", ".join(f"`{each['command']}`" for each in recordings)
        + ".",
        grid(
            "microphones | rate | seed | minutes | peak memory | seconds | of a core | times real time "
            "| SI-SDRi fixed | free | minutes in another file",
            recordings,
            "{microphones} | {rate_hz} Hz | {seed} | {minutes} | {peak_gib} GiB | {seconds} | {cpu_seconds} "
            "| {times_real_time} | {si_sdri_db[fixed]} dB | {si_sdri_db[free]} dB | {minutes_in_another_file}",
        ),
    )
