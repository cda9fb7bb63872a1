"""Does enhancement harm? What a recogniser makes of enhanced speech, and how loud the enhancement may be.

    python benchmarks/harm.py

Utterances of test speakers, clean and in test noises at 0 and 10 dB. PocketSphinx (its English model comes in its
wheel; ``peers.sh``) reads them as they are and enhanced, as strongly as the network can, and as ``enhance`` decides by
the blind score; that takes half an hour. Word error rate in per cent, with a 95 % interval over utterances (bootstrap
of the ratio), and the share of recordings that enhancement makes worse by SI-SDR. The recogniser is an old one: what
counts is the difference to the noisy recording.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

import common
import numpy as np
import torch

from unbabble.base import audio
from unbabble.base.audio import Audio
from unbabble.data import corpora
from unbabble.pipelines import enhance as enhancing
from unbabble.pipelines.enhance import Enhanced, limited, load_enhancer
from unbabble.signal.metrics import si_sdr

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, RATE = "harm", 0, 16000
SNRS_DB = (math.inf, 10.0, 0.0)
LEAST_SECONDS, MOST_SECONDS = 4.0, 12.0
STRENGTHS = {"all": math.inf, "auto": None}
RESAMPLES = 2000


def utterances(count: int) -> list[corpora.Utterance]:
    """Of as many test speakers as possible."""
    found = [
        each
        for each in corpora.speech(DATA / "speech.csv", "test")
        if each.text and LEAST_SECONDS <= each.seconds <= MOST_SECONDS
    ]
    by_speaker: dict[str, list] = {}
    for each in found:
        by_speaker.setdefault(each.speaker, []).append(each)
    turns = max(map(len, by_speaker.values()))
    order = [mine[turn] for turn in range(turns) for mine in by_speaker.values() if turn < len(mine)]
    return order[:count]


def errors(said: str, heard: str) -> tuple[int, int]:
    """Words that must be changed, left out or put in (Levenshtein), and words said."""
    reference, found = said.lower().split(), heard.lower().split()
    row = list(range(len(found) + 1))
    for number, word in enumerate(reference, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(found, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1], len(reference)


def rate(counts: list[tuple[int, int]]) -> tuple[float, float, float]:
    """Word error rate, and its interval."""
    wrong, words = np.array(counts).T
    draws = np.random.default_rng(SEED).integers(len(words), size=(RESAMPLES, len(words)))
    rates = 100 * wrong[draws].sum(1) / words[draws].sum(1)
    return (100 * wrong.sum() / words.sum(), *np.percentile(rates, [2.5, 97.5]))


def recognised(recordings: dict[str, np.ndarray]) -> dict[str, str]:
    python = common.PEERS / "recogniser" / "bin" / "python"
    if not (common.PEERS / "recogniser" / "complete").is_file():
        raise SystemExit("PocketSphinx is not here: benchmarks/peers.sh installs it.")
    with tempfile.TemporaryDirectory() as folder:
        heard, texts = Path(folder) / "recordings.npz", Path(folder) / "texts.json"
        np.savez(heard, **recordings)
        runner = Path(__file__).parent / "peers" / "run_recogniser.py"
        subprocess.run([str(python), str(runner), str(heard), str(texts)], check=True)
        return json.loads(texts.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=list(enhancing.DEFAULTS))
    parser.add_argument("--utterances", type=int, default=30)
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: load_enhancer(name) for name in arguments.models}
    noises = [each for each in corpora.noises(DATA / "noise.csv", "test") if each.seconds > MOST_SECONDS]
    rng = np.random.default_rng(SEED)
    recordings: dict[str, np.ndarray] = {}
    gains: dict[tuple[str, float], list[float]] = {}
    said = utterances(arguments.utterances)
    for number, utterance in enumerate(said):
        voice = audio.read(utterance.path).samples[0]
        sound = audio.read(noises[number % len(noises)].path).samples[0]
        start = int(rng.integers(len(sound) - len(voice))) if len(sound) > len(voice) else 0
        sound = torch.from_numpy(np.resize(sound[start:].numpy(), len(voice)))
        for snr_db in SNRS_DB:
            gain = voice.norm() / sound.norm() * 10 ** (-snr_db / 20)
            noisy = voice + gain * sound
            recordings[f"{number} {snr_db:g} noisy"] = noisy.numpy()
            for name, model in models.items():
                clean = model(noisy[None], RATE).sources[0]
                for label, strength in STRENGTHS.items():
                    if strength is None:
                        found = Enhanced(name, math.inf)
                        enhancing.decide(model, Audio(noisy[None], RATE), "auto", found)
                        strength = found.strength_db
                    voice_found = limited(clean, noisy, strength)
                    column = f"{name}, {label}"
                    recordings[f"{number} {snr_db:g} {column}"] = voice_found.numpy()
                    if math.isfinite(snr_db):
                        before, after = (si_sdr(each[None], voice[None]) for each in (noisy, voice_found))
                        gains.setdefault((column, snr_db), []).append(float(after - before))
        print(number, flush=True)
    texts = recognised(recordings)
    columns = ["noisy", *(f"{name}, {label}" for name in models for label in STRENGTHS)]
    table = {
        column: {
            "clean" if math.isinf(snr_db) else f"{snr_db:g} dB": {
                "wer": rate(
                    [
                        errors(utterance.text, texts[f"{number} {snr_db:g} {column}"])
                        for number, utterance in enumerate(said)
                    ]
                ),
                "worse": float(np.mean([gain < -0.1 for gain in gains.get((column, snr_db), [0.0])])),
            }
            for snr_db in SNRS_DB
        }
        for column in columns
    }
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED, "table": table}
    words = sum(len(each.text.split()) for each in said)
    result = common.rounded(result | {"utterances": len(said), "words": words}, 3)
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The table."""
    conditions = list(next(iter(result["table"].values())))
    lines = [
        "Word error rate in per cent (95 % interval over utterances) / share of recordings that have a lower SI-SDR "
        "than before.",
        "",
        "| recording | " + " | ".join(conditions) + " |",
        "|-" * (1 + len(conditions)) + "|",
    ]
    for name, row in result["table"].items():
        cells = []
        for condition in conditions:
            mean, low, high = row[condition]["wer"]
            worse = (
                "" if condition == "clean" or name == "noisy" else f" / {100 * row[condition]['worse']:.0f} %"
            )
            cells.append(f"{mean:.1f} ({low:.1f} to {high:.1f}){worse}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{result['utterances']} utterances, {result['words']} words, of test speakers in test noises. PocketSphinx 5 "
        "with the English model of its wheel.",
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
