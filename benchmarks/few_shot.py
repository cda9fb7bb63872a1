"""How much do seconds of clean speech bring, after each way to learn from noisy recordings, and for each size?

    python benchmarks/few_shot.py                   # goes on where it was; --shard 0/2 and 1/2: two processes
    python benchmarks/few_shot.py --report          # the tables of what there is so far
    python benchmarks/few_shot.py --name few_shot_sizes --ways contrastive_mixtures --clean 0 10 \\
      --students tiny=runs/conv_tiny/best.safetensors small=runs/conv_small/best.safetensors ...

Test speakers, each in one place, as in ``adapt.py``: their own noisy recordings, and 0, 3, 10 or 30 s of clean speech
that is not in them. Every way to adapt learns from the recordings, and where there is clean speech half of what it
learns from is that, in their noise; ``fine_tuning`` learns from nothing else. SI-SDR improvement, PESQ and eSTOI over
the test, with 95 % intervals over speakers; by sex, and of the least lucky speaker. Beside them the noisy recording and
the ideal ratio mask.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import soundfile
import torch
from adapt import RATE, RESULTS, about, noisy, pieces, places_of, speakers_of, speech_of
from distillation import NOISY, sha256
from enhance import IDEAL, ideal

from unbabble.base import audio
from unbabble.networks import load as networks
from unbabble.signal.metrics import estoi, pesq, si_sdr
from unbabble.training import personal as adapting

NAME, SEED, SPEAKERS, SNR_DB, STEPS = "few_shot", 0, 6, 0.0, 40
ROWS = Path("runs") / "few_shot.jsonl"
TEST_SECONDS, OWN_SECONDS = 40.0, 90.0
CLEAN_SECONDS = (0.0, 3.0, 10.0, 30.0)
BEFORE, ALONE = "before", "fine_tuning"
METRICS = {"si_sdri_db": "SI-SDR improvement, dB", "pesq": "PESQ", "estoi": "eSTOI"}
Heard = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From what is heard, and what is true, (1, time) each, to what comes out."""
PUBLISHED = """\
Published (Sivaraman & Kim, JSTSP 2022; LibriSpeech, premixtures with FSD50K, MUSAN noises, Conv-TasNet): personalised
networks as good as generalists with 85 % fewer parameters, from 3 s of clean speech on."""


@dataclass
class Scene:
    """A speaker in a place: their noisy recordings, clean speech, and the test."""

    about: dict[str, Any]
    own: np.ndarray
    clean: np.ndarray
    mixture: np.ndarray
    test: np.ndarray

    @torch.no_grad()
    def measured(self, heard_by: Heard) -> dict[str, float]:
        """Means over the pieces of the test."""
        found: list[tuple[float, float, float]] = []
        for heard, true in pieces(self.mixture, self.test):
            estimate = heard_by(heard, true)
            gain = float(si_sdr(estimate, true) - si_sdr(heard, true))
            found.append((gain, float(pesq(estimate, true, RATE)), float(estoi(estimate, true, RATE))))
        return dict(zip(METRICS, np.nanmean(found, 0).tolist(), strict=True))

    def adapted(self, student: str, teacher: str, way: str, seconds: float, steps: int) -> dict[str, float]:
        """Of a student that has learnt from the recordings, and from so much clean speech."""
        with tempfile.TemporaryDirectory() as folder:
            recording, enrolled = Path(folder) / "own.wav", Path(folder) / "clean.wav"
            soundfile.write(recording, self.own, RATE, subtype="FLOAT")
            # A third of what `adapt` is given judges, and is not learnt from.
            soundfile.write(enrolled, self.clean[: round(1.5 * seconds * RATE)], RATE, subtype="FLOAT")
            network, found = adapting.adapt(
                [recording],
                [enrolled] if seconds else [],
                student=student,
                teacher=teacher,
                method=way,
                steps=steps,
                seed=SEED,
                keep=True,
                report=lambda text: None,
            )
        return {"told_db": found.gain.mean_db} | self.measured(by(network))


def by(network) -> Heard:
    """A network at its usual level."""
    return lambda heard, true: network.estimate(heard / heard.square().mean().sqrt())[:, 0]


def scenes(split: str, speakers: int, snr_db: float) -> list[Scene]:
    places, found = places_of(split), []
    ends = np.cumsum([round(each * RATE) for each in (TEST_SECONDS, 1.5 * max(CLEAN_SECONDS), OWN_SECONDS)])
    for number, person in enumerate(speakers_of(split, speakers)):
        place = places[number % len(places)]
        first, second = np.array_split(audio.read(place.path).samples[0].numpy(), 2)
        test, clean, own, _ = np.split(speech_of(person.speaker, split), ends)
        facts = {
            "split": split,
            "snr_db": snr_db,
            "speaker": person.speaker,
            "sex": person.sex,
            "noise": place.label,
        }
        found.append(Scene(facts, noisy(own, first, snr_db), clean, noisy(test, second, snr_db), test))
    return found


def run(
    rows: common.Rows,
    students: dict[str, str],
    teacher: str,
    ways: list[str],
    durations: list[float],
    steps: int,
    chosen: list[Scene],
) -> None:
    """Add to ``rows`` what is not there yet, speaker by speaker."""
    # Each process has a cache of its own: what one forgets may be another's work.
    os.environ["UNBABBLE_CACHE"] = tempfile.mkdtemp(prefix="unbabble-few-shot-")
    for scene in chosen:
        trivial = {
            NOISY: lambda heard, true: heard,
            IDEAL: lambda heard, true: ideal(heard[0], true[0])[None],
        }
        for name, heard_by in trivial.items():
            rows.add(
                scene.about | {"student": name},
                lambda heard_by=heard_by, scene=scene: scene.measured(heard_by),
            )
        for name, weights in students.items():
            key = scene.about | {"student": name, "sha256": sha256(weights)}
            rows.add(
                key | {"way": BEFORE, "clean": 0.0, "steps": 0},
                lambda weights=weights, scene=scene: scene.measured(
                    by(networks.load(weights, "enhancer").network)
                ),
            )
            for way in ways:
                for seconds in durations:
                    if way == ALONE and not seconds:
                        continue
                    job = weights, teacher, way, seconds, steps
                    rows.add(
                        key | {"teacher": sha256(teacher), "way": way, "clean": seconds, "steps": steps},
                        lambda job=job, scene=scene: scene.adapted(*job),
                    )
        adapting.forget()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", nargs="*", metavar="NAME=WEIGHTS", default=[f"2x64={adapting.STUDENT}"])
    parser.add_argument("--teacher", default=adapting.TEACHER, help="whose word says what is noise")
    parser.add_argument("--ways", nargs="*", default=adapting.ways())
    parser.add_argument("--clean", type=float, nargs="*", default=list(CLEAN_SECONDS), help="seconds")
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    parser.add_argument("--snr", type=float, default=SNR_DB)
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="dev: to choose by")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--shard", default="0/1", metavar="K/N", help="every N-th speaker, from the K-th on")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where rows are kept, and found again")
    parser.add_argument("--note", default="", help="what else there is to say of these runs, for the table")
    parser.add_argument("--report", action="store_true", help="only make the tables")
    parser.add_argument("--quick", action="store_true", help="one dev speaker, two ways; saves nothing")
    parser.add_argument("--name", default=NAME)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    students = dict(each.split("=", 1) for each in arguments.students)
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows = common.Rows(Path(folder) / "rows.jsonl")
            run(
                rows,
                students,
                arguments.teacher,
                ["distillation", ALONE],
                [0.0, 3.0],
                5,
                scenes("dev", 1, SNR_DB),
            )
        return
    first, count = map(int, arguments.shard.split("/"))
    rows = common.Rows(arguments.rows)
    if not arguments.report:
        chosen = scenes(arguments.split, arguments.speakers, arguments.snr)[first::count]
        run(rows, students, arguments.teacher, arguments.ways, arguments.clean, arguments.steps, chosen)
    if count == 1:
        report(arguments, rows.read(), students)


def report(arguments: argparse.Namespace, rows: list[dict], students: dict[str, str]) -> None:
    """Write the tables of the rows that there are of these students and ways."""
    hashes = {name: sha256(weights) for name, weights in students.items()}
    teacher = sha256(arguments.teacher)
    wanted = {"": 0, **dict.fromkeys(arguments.ways, arguments.steps)}
    there = [
        row
        for row in rows
        if (row["split"], row["snr_db"]) == (arguments.split, arguments.snr)
        and (row["student"] in (NOISY, IDEAL) or row["sha256"] == hashes.get(row["student"]))
        and row.get("teacher", teacher) == teacher
        and row.get("steps", 0) == wanted.get(row.get("way", "").removeprefix(BEFORE), -1)
    ]
    people = {row["speaker"] for row in there if row["student"] in students}
    order = [NOISY, IDEAL, *students], ["", BEFORE, *arguments.ways]
    there = sorted(
        (row for row in there if row["speaker"] in people),
        key=lambda row: (order[0].index(row["student"]), order[1].index(row.get("way", ""))),
    )
    cards = {
        name: about(weights, found.network) | {"training": found.card.training}
        for name, weights in students.items()
        for found in [networks.load(weights, "enhancer")]
    }
    result = {
        "machine": common.machine(),
        "command": common.command().partition(" --note")[0],
        "seed": SEED,
        "snr_db": arguments.snr,
        "steps": arguments.steps,
        "note": arguments.note,
        "teacher": {"name": arguments.teacher, "sha256": teacher},
        "students": cards,
        "rows": there,
    }
    common.save(arguments.name, result)
    text = text_of(result)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


def text_of(result: dict) -> str:
    """The tables."""
    rows = result["rows"]
    durations = sorted({row["clean"] for row in rows if "clean" in row})
    of_each: dict[str, list[dict]] = {}
    for row in rows:
        parts = (
            row["student"] if len(result["students"]) > 1 or "way" not in row else "",
            row.get("way", ""),
        )
        of_each.setdefault(", ".join(filter(None, parts)), []).append(row)
    lines = []
    for metric, title in METRICS.items():
        lines += [f"{title} (95 % interval over speakers), by seconds of clean speech.", ""]
        lines += ["| | " + " | ".join(f"{each:g} s" for each in durations) + " |"]
        lines += ["|-" * (1 + len(durations)) + "|"]
        for name, of_it in of_each.items():
            cells = []
            for duration in durations:
                there = [row[metric] for row in of_it if row.get("clean", 0.0) == duration]
                mean, low, high = common.interval(there) if there else (0.0, 0.0, 0.0)
                cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})" if there else "")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["With the most clean speech: SI-SDR improvement, dB.", ""]
    lines += ["| | women | men | least lucky speaker |", "|-|-|-|-|"]
    for name, of_it in of_each.items():
        most = max(row.get("clean", 0.0) for row in of_it)
        there = [row for row in of_it if row.get("clean", 0.0) == most]
        by_sex = [[row["si_sdri_db"] for row in there if row["sex"] == sex] for sex in ("F", "M")]
        cells = [f"{np.mean(each):.2f}" if each else "" for each in by_sex]
        lines.append(f"| {name} | {' | '.join(cells)} | {min(row['si_sdri_db'] for row in there):.2f} |")
    lines.append("")
    for name, card in result["students"].items():
        training = card["training"]
        lines.append(
            f"- {name}: {card['parameters']:,} parameters, {card['gmacs_per_second']:.3g} GMAC/s; "
            f"{training.get('steps', '?'):g} steps of {training.get('batch', '?')} pieces of 2 s before."
        )
    lines += [
        "",
        f"{len({row['speaker'] for row in rows})} speakers, {result['snr_db']:g} dB, {result['steps']} steps of 16 "
        "pieces of 2 s, taken whatever `adapt` found itself. Half as much clean speech again is held back and judges. "
        f"Teacher: {result['teacher']['name']}, SHA-256 {result['teacher']['sha256']}.",
    ]
    if result["note"]:
        lines += ["", result["note"]]
    lines += [
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
