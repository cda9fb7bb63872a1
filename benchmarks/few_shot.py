"""How much do seconds of clean speech bring, after each way to learn from noisy recordings?

    python benchmarks/few_shot.py

Test speakers, each in one place, as in ``adapt.py``: their own noisy recordings, and 0, 3, 10 or 30 s of clean speech
that is not in them. Every way to adapt learns from the recordings, and where there is clean speech half of what it
learns from is that, in their noise; ``fine_tuning`` learns from nothing else. SI-SDR improvement, PESQ and eSTOI over
the test, with 95 % intervals over speakers; by sex, and of the least lucky speaker.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import common
import numpy as np
import soundfile
import torch
from adapt import DATA, LEAST_NOISE_SECONDS, PIECE_SECONDS, RATE, RESULTS, noisy, speech_of

from unbabble import adapting, networks
from unbabble.base import audio
from unbabble.data import corpora
from unbabble.signal.metrics import estoi, pesq, si_sdr

NAME, SEED, SPEAKERS, SNR_DB = "few_shot", 0, 6, 0.0
TEST_SECONDS, OWN_SECONDS = 40.0, 90.0
CLEAN_SECONDS = (0.0, 3.0, 10.0, 30.0)
BEFORE, ALONE = "before", "fine_tuning"
PUBLISHED = """\
Published (Sivaraman & Kim, JSTSP 2022; LibriSpeech, premixtures with FSD50K, MUSAN noises, Conv-TasNet): personalised
networks as good as generalists with 85 % fewer parameters, from 3 s of clean speech on."""


@torch.no_grad()
def measured(network, mixture: np.ndarray, voice: np.ndarray) -> dict[str, float]:
    """Means over the pieces of the test."""
    found: list[tuple[float, float, float]] = []
    length = round(PIECE_SECONDS * RATE)
    for start in range(0, len(voice) - length + 1, length):
        heard, true = (torch.from_numpy(each[start : start + length])[None] for each in (mixture, voice))
        if true.square().mean().sqrt() < 1e-3:
            continue
        estimate = network.estimate(heard / heard.square().mean().sqrt())[:, 0]
        gain = float(si_sdr(estimate, true) - si_sdr(heard, true))
        found.append((gain, float(pesq(estimate, true, RATE)), float(estoi(estimate, true, RATE))))
    return dict(zip(("si_sdri_db", "pesq", "estoi"), np.nanmean(found, 0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default=adapting.STUDENT)
    parser.add_argument("--ways", nargs="*", default=adapting.ways())
    parser.add_argument("--clean", type=float, nargs="*", default=list(CLEAN_SECONDS), help="seconds")
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    parser.add_argument("--snr", type=float, default=SNR_DB)
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="dev: to choose by")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    student, _ = networks.load_separator(arguments.student)
    utterances = corpora.speech(DATA / "speech.csv", arguments.split)
    seconds, sexes = {}, {each.speaker: each.sex for each in utterances}
    for each in utterances:
        seconds[each.speaker] = seconds.get(each.speaker, 0.0) + each.seconds
    speakers = sorted(seconds, key=lambda name: -seconds[name])[: arguments.speakers]
    noises = corpora.noises(DATA / "noise.csv", "test" if arguments.split == "test" else "train")
    noises = [each for each in noises if each.seconds > LEAST_NOISE_SECONDS]
    rows = []
    for number, speaker in enumerate(speakers):
        voice, sound = speech_of(speaker, arguments.split), audio.read(noises[number % len(noises)].path)
        most = max(arguments.clean)
        ends = np.cumsum([round(each * RATE) for each in (TEST_SECONDS, most, OWN_SECONDS)])
        test, clean, own, _ = np.split(voice, ends)
        first, second = np.array_split(sound.samples[0].numpy(), 2)
        mixture = noisy(test, second, arguments.snr)
        about = {"speaker": speaker, "sex": sexes[speaker]}
        rows.append(about | {"way": BEFORE, "clean": 0.0} | measured(student, mixture, test))
        for way in arguments.ways:
            for duration in arguments.clean:
                if way == ALONE and not duration:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    recording, enrolled = Path(folder) / "own.wav", Path(folder) / "clean.wav"
                    soundfile.write(recording, noisy(own, first, arguments.snr), RATE, subtype="FLOAT")
                    soundfile.write(enrolled, clean[: round(1.5 * duration * RATE)], RATE, subtype="FLOAT")
                    network, found = adapting.adapt(
                        [recording],
                        [enrolled] if duration else [],
                        student=arguments.student,
                        method=way,
                        steps=arguments.steps,
                        seed=SEED,
                        keep=True,
                        report=lambda text: None,
                    )
                row = about | {"way": way, "clean": duration, "told_db": found.gain.mean_db}
                rows.append(row | measured(network, mixture, test))
                adapting.forget()
                print(rows[-1], flush=True)
    result = {"machine": common.machine(), "command": common.command(), "seed": SEED}
    result |= {"student": arguments.student, "snr_db": arguments.snr, "rows": common.rounded(rows, 3)}
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The tables."""
    rows = result["rows"]
    durations = sorted({row["clean"] for row in rows})
    ways = list(dict.fromkeys(row["way"] for row in rows))
    lines = []
    for metric, title in (("si_sdri_db", "SI-SDR improvement, dB"), ("pesq", "PESQ"), ("estoi", "eSTOI")):
        lines += [f"{title} (95 % interval over speakers), by seconds of clean speech.", ""]
        lines += ["| way | " + " | ".join(f"{each:g} s" for each in durations) + " |"]
        lines += ["|-" * (1 + len(durations)) + "|"]
        for way in ways:
            cells = []
            for duration in durations:
                there = [row[metric] for row in rows if (row["way"], row["clean"]) == (way, duration)]
                if not there:
                    cells.append("")
                    continue
                mean, low, high = common.interval(there)
                cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
            lines.append(f"| {way} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        "SI-SDR improvement with the most clean speech, dB.",
        "",
    ]
    lines += ["| way | women | men | least lucky speaker |", "|-|-|-|-|"]
    for way in ways:
        there = [
            row
            for row in rows
            if row["way"] == way and row["clean"] == (durations[-1] if way != BEFORE else 0)
        ]
        by_sex = [[row["si_sdri_db"] for row in there if row["sex"] == sex] for sex in ("F", "M")]
        cells = [f"{np.mean(each):.2f}" if each else "" for each in by_sex]
        lines.append(f"| {way} | {' | '.join(cells)} | {min(row['si_sdri_db'] for row in there):.2f} |")
    lines += [
        "",
        f"{len({row['speaker'] for row in rows})} speakers, {result['snr_db']:g} dB, `{result['student']}`. Half as "
        "much clean speech again is held back and judges.",
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
