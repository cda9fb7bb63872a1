"""An hour of people who talk: how long do `diarize` and `transcribe --speakers auto` take, in how much memory?

Made conversations of two minutes (``diarization``), one after another: other people and another room every two minutes,
fifteen people in all. The commands run as a user runs them. Clustering is taken alone, too: of the vectors of as many
hours as are asked for, of eight people who take turns of four seconds.

    python -m benchmarks meeting_hour
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.kit.conversations import COUNT, HOP_SECONDS, SECONDS, SEED, conversations
from benchmarks.kit.process import UNBABBLE, run
from benchmarks.kit.table import grid, made_by, page
from benchmarks.kit.timing import seconds
from unbabble.base.spans import Span
from unbabble.pipelines.diarize import EVIDENCE
from unbabble.pipelines.talkers_heard import THRESHOLD
from unbabble.signal.clustering import cluster
from unbabble.signal.diarization import compare
from unbabble.text import rttm

QUICK = {"count": 1, "hours": (0.1,)}
COMMANDS = {"diarize": [], "transcribe": ["--speakers", "auto"]}
PEOPLE, DIMENSION, SAME, TURN = 8, 192, 0.6, 10
"""Of what is clustered: the mean cosine of vectors of one person, and how many follow one another."""


def recorded(folder: Path, count: int, seed: int) -> tuple[Path, list[Span]]:
    """A recording, and who speaks when in it."""
    made, turns = conversations("test", seed=seed), []
    path = folder / "hour.wav"
    with soundfile.SoundFile(path, "w", made.sample_rate, 1, "PCM_16") as file:
        for number in range(count):
            each = made[number]
            file.write(0.1 * each.mixture[0] / np.sqrt(np.mean(each.mixture[0] ** 2)))
            turns += [turn.later(number * SECONDS) for turn in each.turns]
    return path, turns


def clustered(hours: float, seed: int) -> float:
    """Seconds that clustering takes."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((PEOPLE, DIMENSION))
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    count = round(3600 * hours / HOP_SECONDS)
    noise = rng.standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION)
    vectors = (
        np.sqrt(SAME) * people[rng.integers(PEOPLE, size=-(-count // TURN)).repeat(TURN)[:count]]
        + np.sqrt(1 - SAME) * noise
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return seconds(lambda: cluster(vectors.astype(np.float32), threshold=THRESHOLD, evidence=EVIDENCE))


def measure(
    before: dict, count: int = COUNT, hours: tuple[float, ...] = (1.0, 4.0), seed: int = SEED
) -> Iterator[dict]:
    """Command by command.

    Args:
        count: conversations of two minutes.
        hours: whose vectors are clustered.
    """
    result = before
    result["clustering"] = {f"{each:g}": clustered(each, seed) for each in hours}
    yield result
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, turns = recorded(folder, count, seed)
        duration = count * SECONDS
        for command, options in COMMANDS.items():
            out = folder / command
            used = run([*UNBABBLE, command, str(path), *options, "--out", str(out), "--quiet"], watched=True)
            row = {"wall": used["wall_s"] / duration, "processor": used["cpu_s"] / duration}
            row |= {"gigabytes": used["peak_bytes"] / 2**30}
            if command == "diarize":
                (said,) = rttm.read(next(out.rglob("*.rttm")).read_text(encoding="utf-8")).values()
                row |= {"error": 100 * compare(turns, said).errors.rate}
                row |= {"talkers": len({turn.speaker for turn in said})}
            result.setdefault("rows", {})[command] = row
            result |= {"minutes": duration / 60, "people": len({turn.speaker for turn in turns})}
            print(command, json.dumps(row), flush=True)
            yield result


def table(result: dict) -> str:
    rows = [{"command": command} | row for command, row in result.get("rows", {}).items()]
    taken = ", ".join(f"{value:.1f} s for {hours} h" for hours, value in result["clustering"].items())
    return page(
        f"{result.get('minutes', 0):.0f} minutes of {result.get('people', 0)} people, two to four at a time; times per "
        f"second of the recording. Clustering alone: {taken}.",
        grid(
            ["command", "wall s", "processor s", "memory, GiB", "DER, %", "talkers"],
            rows,
            "{command} | {wall:.3f} | {processor:.3f} | {gigabytes:.2f} | {error:.1f} | {talkers}",
        ),
        made_by(result),
    )
