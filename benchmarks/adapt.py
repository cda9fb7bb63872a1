"""Does a tiny enhancer get better on one person's own noisy recordings? True figures, which `adapt` never sees.

    python benchmarks/adapt.py

Each of ten test speakers is in one place (a noise that no network has learnt from), at an input SNR. The first part of
what they say, in the first half of the noise, are their own recordings; the last minute, in the second half of the
noise, is the test. `adapt` gets the recordings alone, or 10 s of clean speech besides. Mean SI-SDR improvement over the
test minute, in pieces of 4 s, with a 95 % interval over speakers; beside it the decision that `adapt` took without the
truth.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np
import soundfile
import torch
from torch import Tensor

from unbabble.base import audio
from unbabble.data import corpora
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.signal.metrics import si_sdr
from unbabble.training import personal as adapting

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("UNBABBLE_DATA", "../shared/data"))
NAME, SEED, RATE = "adapt", 0, 16000
LEAST_NOISE_SECONDS = 10.0
TEST_SECONDS, PIECE_SECONDS, CLEAN_SECONDS, MOST_SECONDS = 60.0, 4.0, 10.0, 180.0
SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
SPEAKERS, BATCH = 10, 5
PUBLISHED = (
    "Published (Kim & Kim, WASPAA 2021; LibriSpeech in WHAM! noises of 10 places; student 2x32, teacher 3x1024, 0 dB): "
    "4.51 dB before, 7.34 dB after, teacher 8.61 dB."
)


def speech_of(speaker: str, split: str) -> np.ndarray:
    """All that a speaker says."""
    mine = [each for each in corpora.speech(DATA / "speech.csv", split) if each.speaker == speaker]
    return np.concatenate([audio.read(each.path).samples[0].numpy() for each in mine])


def parts(
    speaker: str, split: str, noise: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a person says: in the recordings, clean, in the test; and the noise of the recordings and of the test."""
    voice, sound = speech_of(speaker, split), audio.read(noise).samples[0].numpy()
    test, clean, own = np.split(
        voice, [round(TEST_SECONDS * RATE), round((TEST_SECONDS + CLEAN_SECONDS) * RATE)]
    )
    first, second = np.array_split(sound, 2)
    return own[: round(MOST_SECONDS * RATE)], clean, test, first, second


def scene(
    speaker: str, split: str, noise: Path, snr_db: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The person's recordings, some clean speech that is not in them, and the test: noisy and voice."""
    own, clean, test, first, second = parts(speaker, split, noise)
    return noisy(own, first, snr_db), clean, noisy(test, second, snr_db), test


def noisy(voice: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.resize(noise, voice.shape)
    gain = np.sqrt(np.mean(voice**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return (voice + gain * noise).astype(np.float32)


def pieces(mixture: np.ndarray, voice: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Of the test, where there is a voice: what is heard and what is true, (1, time) each."""
    length = round(PIECE_SECONDS * RATE)
    for start in range(0, len(voice) - length + 1, length):
        heard, true = (torch.from_numpy(each[start : start + length])[None] for each in (mixture, voice))
        if true.square().mean().sqrt() >= 1e-3:
            yield heard, true


@torch.no_grad()
def gained(network, mixture: np.ndarray, voice: np.ndarray) -> float:
    """Mean SI-SDR improvement over the pieces of the test."""
    heard, true = (torch.cat(each) for each in zip(*pieces(mixture, voice), strict=True))
    level = heard.square().mean(-1, keepdim=True).sqrt()
    estimate = torch.cat([network.estimate(each)[:, 0] for each in (heard / level).split(BATCH)])
    return float((si_sdr(estimate, true) - si_sdr(heard, true)).mean())


def speakers_of(split: str, count: int) -> list[corpora.Utterance]:
    """An utterance each of those who say most."""
    utterances = corpora.speech(DATA / "speech.csv", split)
    seconds: dict[str, float] = {}
    for each in utterances:
        seconds[each.speaker] = seconds.get(each.speaker, 0.0) + each.seconds
    one_each = {each.speaker: each for each in utterances}
    return sorted(one_each.values(), key=lambda each: -seconds[each.speaker])[:count]


def places_of(split: str) -> list[corpora.Noise]:
    """Noises that are long enough for recordings and test; those of ``dev`` are known from training."""
    found = corpora.noises(DATA / "noise.csv", "test" if split == "test" else "train")
    return [each for each in found if each.seconds > LEAST_NOISE_SECONDS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default=adapting.STUDENT)
    parser.add_argument("--teacher", default=adapting.TEACHER)
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    parser.add_argument("--snr", type=float, nargs="*", default=list(SNRS_DB))
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="dev: to choose by")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--clean", action="store_true", help="also with ten seconds of clean speech")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    student, teacher = (
        networks.load(name, "enhancer").network for name in (arguments.student, arguments.teacher)
    )
    speakers = speakers_of(arguments.split, arguments.speakers)
    noises = places_of(arguments.split)
    rows = []
    for snr_db in arguments.snr:
        for number, person in enumerate(speakers):
            noise = noises[number % len(noises)]
            own, clean, mixture, voice = scene(person.speaker, arguments.split, noise.path, snr_db)
            row = {
                "speaker": person.speaker,
                "sex": person.sex,
                "noise": noise.label,
                "snr_db": snr_db,
                "before": gained(student, mixture, voice),
                "teacher": gained(teacher, mixture, voice),
            }
            with tempfile.TemporaryDirectory() as folder:
                recording, enrolled = Path(folder) / "own.wav", Path(folder) / "clean.wav"
                soundfile.write(recording, own, RATE, subtype="FLOAT")
                soundfile.write(enrolled, clean, RATE, subtype="FLOAT")
                for kind, files in (("after", ()), ("after_clean", (enrolled,)))[: 1 + arguments.clean]:
                    began = time.perf_counter()
                    network, found = adapting.adapt(
                        [recording],
                        files,
                        student=arguments.student,
                        teacher=arguments.teacher,
                        steps=arguments.steps,
                        seed=SEED,
                        keep=True,
                        report=lambda text: None,
                    )
                    row[kind] = gained(network, mixture, voice)
                    row[f"{kind}_kept"], row[f"{kind}_told_db"] = found.kept, found.gain.mean_db
                    row[f"{kind}_blind_db"] = found.blind.mean_db if found.blind else float("nan")
                    row[f"{kind}_seconds"] = time.perf_counter() - began
            adapting.forget()
            rows.append(row)
            print(
                {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()},
                flush=True,
            )
    result = {
        "machine": common.machine(),
        "command": common.command(),
        "seed": SEED,
        "student": about(arguments.student, student),
        "teacher": about(arguments.teacher, teacher),
        "rows": common.rounded(rows, 3),
    }
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def about(name: str, network) -> dict:
    return {
        "name": name,
        "parameters": parameter_count(network),
        "gmacs_per_second": round(macs_per_second(network) / 1e9, 4),
    }


def text_of(result: dict) -> str:
    """The table."""
    rows = result["rows"]
    kinds = [kind for kind in ("before", "after", "after_clean", "teacher") if kind in rows[0]]
    titles = {
        "before": "before",
        "after": "adapted",
        "after_clean": "adapted, 10 s clean",
        "teacher": "teacher",
    }
    lines = [
        "SI-SDR improvement, dB (95 % interval over speakers and their places); the noisy recording itself has 0.",
        "",
    ]
    lines += [
        "| input SNR, dB | " + " | ".join(titles[kind] for kind in kinds) + " | better | kept |",
        "|-" * (len(kinds) + 3) + "|",
    ]
    for snr_db in sorted({row["snr_db"] for row in rows}):
        there = [row for row in rows if row["snr_db"] == snr_db]
        cells = []
        for kind in kinds:
            if any(kind not in row for row in there):
                cells.append("")
                continue
            mean, low, high = common.interval([row[kind] for row in there])
            cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
        better = sum(row["after"] > row["before"] for row in there)
        kept = sum(row["after_kept"] for row in there)
        lines.append(f"| {snr_db:g} | {' | '.join(cells)} | {better} of {len(there)} | {kept} |")
    lines += ["", "| | women | men | least lucky speaker |", "|-|-|-|-|"]
    for kind in kinds:
        there = [row for row in rows if kind in row]
        by_sex = [np.mean([row[kind] for row in there if row["sex"] == sex]) for sex in ("F", "M")]
        lines.append(
            f"| {titles[kind]} | {by_sex[0]:.2f} | {by_sex[1]:.2f} | {min(row[kind] for row in there):.2f} |"
        )
    true = [row["after"] - row["before"] for row in rows]
    alike = {
        name: np.corrcoef([row[f"after_{name}_db"] for row in rows], true)[0, 1] if len(rows) > 2 else np.nan
        for name in ("told", "blind")
    }
    wrong = sum(row["after_kept"] and row["after"] < row["before"] for row in rows)
    lines += [
        "",
        f"*better*: truly, in the test minute. *kept*: by what `adapt` found without the truth; {wrong} of these are "
        f"truly worse. The gain that it tells correlates with the true one with {alike['told']:.2f}, that of the blind "
        f"score with {alike['blind']:.2f}. One adaptation takes "
        f"{np.median([row['after_seconds'] for row in rows]):.0f} s on one core.",
        "",
        *(
            f"- {role}: `{each['name']}`, {each['parameters']:,} parameters, {each['gmacs_per_second']:g} GMAC/s."
            for role, each in (("student", result["student"]), ("teacher", result["teacher"]))
        ),
        "",
        PUBLISHED,
        "",
        f"{result['machine']['cpu']}, {result['machine']['date']}; seed {result['seed']}. Made by",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
