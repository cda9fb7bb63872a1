"""``unbabble simulate``: mixtures whose true voices are known, in measured or simulated rooms.

OUT/0000/mixture.wav                 what the microphones recorded, M channels
OUT/0000/image1.wav, image2.wav ...  each talker alone at every microphone, M channels
OUT/0000/reference1.wav ...          each talker alone at the first microphone: what separators are scored by
OUT/0000/turns.rttm, words.stm       of a conversation: who speaks when, and what is said
OUT/0000/metadata.json               how it was made
OUT/metadata.jsonl                   the same of all mixtures, one line each, with paths relative to OUT
"""

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch

from unbabble.base import audio
from unbabble.base.errors import OutputError, UsageError
from unbabble.base.files import atomic, partial_name, remove_partial, writable_folder, write_json
from unbabble.base.inputs import SIMULATED
from unbabble.base.report import FileReport, Report, plain
from unbabble.data import corpora
from unbabble.data.conversations import TURN_SECONDS, Conversation, ConversationSet
from unbabble.data.mixing import Mixture, MixtureSet, Reference
from unbabble.data.rooms import Array, MeasuredRooms, Room, SimulatedRooms
from unbabble.text import rttm
from unbabble.text.transcripts import stm
from unbabble.verbs.frame import Frame, print_summary
from unbabble.verbs.options import (
    MORE,
    AnyPath,
    Jobs,
    Out,
    Overwrite,
    as_path,
    check_choice,
    refuse_idle,
)


@dataclass(frozen=True)
class Item:
    """One mixture to make."""

    index: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.index:04d}"


def simulate(
    *,
    speech: AnyPath,
    out: Out = Path("mixtures"),
    rir: AnyPath | None = None,
    room: str | None = None,
    rt60: float = 0.4,
    array: Annotated[Array, MORE] = "linear",
    spacing: Annotated[float, MORE] = 0.05,
    channels: Annotated[list[int] | None, MORE] = None,
    distance: Annotated[tuple[float, float] | None, MORE] = None,
    talkers: int = 2,
    microphones: int = 2,
    noise: AnyPath | None = None,
    snr: float = 30.0,
    overlap: float | None = None,
    conversation: bool = False,
    turn: Annotated[tuple[float, float] | None, MORE] = None,
    level_spread: Annotated[float, MORE] = 2.5,
    duration: float | None = None,
    reference: Annotated[Reference, MORE] = "image",
    split: Annotated[str | None, MORE] = None,
    sample_rate: int = 16000,
    count: int = 20,
    seed: int = 0,
    jobs: Jobs = 1,
    overwrite: Overwrite = False,
    report: AnyPath | None = None,
    quiet: bool = False,
) -> Report:
    """Make mixtures of several talkers whose true voices are known: OUT/0000/mixture.wav, reference1.wav ...

    The room is measured (--rir) or simulated (--room). A mixture depends on the seed and its number alone.
    What an earlier run has made is skipped.

    Args:
        speech: Clean speech: a table with the columns file and speaker, a folder in LibriSpeech's layout, or
            a folder with one sub-folder per speaker.
        out: Folder for the mixtures.
        rir: Measured impulse responses: a table with the columns file and gain.
        room: Simulated room in metres, as 6x5x3.
        rt60: Reverberation time of the simulated room in seconds.
        array: Microphones of the simulated room: linear or circular.
        spacing: Distance of neighbouring microphones in the simulated room, in metres.
        channels: Measured microphones to use, in this order, from 0; repeat for more.
        distance: Nearest and farthest talker, in metres.
        talkers: Talkers per mixture.
        microphones: Microphones per mixture.
        noise: Noise to play in the room: a table with the column file, or a folder. White noise if not given.
        snr: Level of all talkers over the noise, in dB; inf for no noise.
        overlap: 1 where all talk all the time, 0 where one talks after another; of a conversation, the share of the
            time with speech in which two talk, .2 if not given.
        conversation: Talkers take turns, pause and interrupt one another; also writes turns.rttm and words.stm.
        turn: Of a conversation, shortest and longest turn in seconds, 2 12 if not given.
        level_spread: Talkers are up to this many dB louder or softer than their common level.
        duration: Length of each mixture in seconds: 12 if not given, 120 of a conversation.
        reference: What references hold: the whole image, its first 50 ms (early), or the direct sound.
        split: Use rows of this split only: train, dev, test.
        sample_rate: Rate of the mixtures in Hz.
        count: How many mixtures.
        seed: Another seed gives other mixtures.
        jobs: Mixtures to make at the same time.
        overwrite: Make again what an earlier run has made.
        report: Write what happened to each mixture to this file, as JSON.
        quiet: Say nothing but what failed.

    Returns:
        What happened to each mixture.

    Raises:
        UsageError: a request that makes no sense, or OUT holds mixtures of another request.
        InputError: speech, room or noise that cannot be used.
        OutputError: the folder cannot be written to.
        MissingExtraError: a simulated room without pyroomacoustics.
    """
    speech = Path(speech)
    out = Path(out)
    rir = as_path(rir)
    noise = as_path(noise)
    report = as_path(report)
    check_choice("--array", array, *get_args(Array))
    check_choice("--reference", reference, *get_args(Reference))
    if (rir is None) == (room is None):
        raise UsageError("Say which room: either --rir with measured impulse responses, or --room 6x5x3.")
    overlap = (0.2 if conversation else 1.0) if overlap is None else overlap
    duration = (120.0 if conversation else 12.0) if duration is None else duration
    if not conversation:
        refuse_idle("is for a conversation: --conversation", turn=turn is not None)
    asked = {name: value for name, value in locals().items() if name not in SETTLED}
    for name in () if conversation else OF_CONVERSATIONS:
        del asked[name]
    request: dict[str, Any] = plain(asked)
    frame = Frame(jobs, report, quiet)
    if distance is not None and not 0 < distance[0] <= distance[1]:
        raise UsageError("The distance of talkers goes from near to far, in metres.")
    space: Room
    if rir is not None:
        refuse_idle(
            "is for a simulated room: --room 6x5x3",
            rt60=rt60 != SimulatedRooms.rt60_seconds,
            array=array != SimulatedRooms.array,
            spacing=spacing != SimulatedRooms.spacing_m,
        )
        order = tuple(channels) if channels else None
        space = MeasuredRooms(tuple(corpora.responses(rir, split)), order, distance)
    else:
        refuse_idle("chooses among measured microphones: --rir", channels=channels is not None)
        space = SimulatedRooms(_size(str(room)), rt60, array, spacing, distance or SimulatedRooms.distance_m)
    common: dict[str, Any] = {
        "speech": tuple(corpora.speech(speech, split)),
        "room": space,
        "microphones": microphones,
        "seconds": duration,
        "count": count,
        "seed": seed,
        "noise": () if noise is None else tuple(corpora.noises(noise, split)),
        "snr_db": snr,
        "level_spread_db": level_spread,
        "sample_rate": sample_rate,
        "reference": reference,
    }
    mixtures: MixtureSet | ConversationSet
    if conversation:
        turns = {"turn_seconds": turn or TURN_SECONDS, "overlaps": (overlap,)}
        mixtures = ConversationSet(talkers=(talkers,), **turns, **common)
    else:
        mixtures = MixtureSet(talkers=talkers, overlap=overlap, **common)
    space.draw(
        np.random.default_rng(0), talkers, microphones, sample_rate
    )  # says what is wrong before any work
    remove_partial(writable_folder(out))
    tasks = [Item(index) for index in range(count)]
    material = [
        *mixtures.speech,
        *mixtures.noise,
        *(space.places if isinstance(space, MeasuredRooms) else ()),
    ]
    digest = _request_digest(request, material)
    _refuse_others(out, tasks, None if overwrite else digest)

    result = Report("simulate", config=request | {"count": count, "out": str(out), "jobs": jobs})
    work = partial(make, out=out, mixtures=mixtures, digest=digest, overwrite=overwrite)
    frame.run(result, work, tasks, "Simulating")
    _index(out, tasks)
    frame.conclude(result, partial(print_summary, result, quiet))
    return result


SETTLED = ("count", "out", "jobs", "overwrite", "report", "quiet")
"""Options that do not decide what a mixture is."""
OF_CONVERSATIONS = ("conversation", "turn")
"""Options that do so of conversations alone."""


def make(
    task: Item, out: Path, mixtures: MixtureSet | ConversationSet, digest: str, overwrite: bool
) -> FileReport:
    """Make and write one mixture; its folder appears when it is complete.

    Raises:
        UnbabbleError: it cannot be done, in one sentence.
    """
    folder = out / task.name
    if not overwrite and _digest(folder) == digest:
        return FileReport(task.name, "skipped", audio_seconds=mixtures.seconds, outputs=_outputs(folder))
    started = time.perf_counter()
    mixture = mixtures[task.index]
    temporary = out / partial_name(task.name)
    try:
        _write(temporary, task, mixture, digest)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except OSError as error:
        raise OutputError(f"Cannot write '{folder}': {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    seconds = time.perf_counter() - started
    return FileReport(
        task.name, "done", seconds=seconds, audio_seconds=mixtures.seconds, outputs=_outputs(folder)
    )


def _write(folder: Path, task: Item, mixture: Mixture, digest: str) -> None:
    def write(name: str, samples: Any) -> str:
        audio.write(folder / name, torch.from_numpy(samples), mixture.sample_rate)
        return f"{task.name}/{name}"

    files = {
        "mixture": write("mixture.wav", mixture.mixture),
        "images": [write(f"image{k}.wav", image) for k, image in enumerate(mixture.images, 1)],
        "references": [write(f"reference{k}.wav", voice) for k, voice in enumerate(mixture.references, 1)],
    }
    if isinstance(mixture, Conversation):
        texts = {
            "turns.rttm": rttm.written({task.name: mixture.turns}),
            "words.stm": stm(task.name, mixture.said),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        files |= {"turns": f"{task.name}/turns.rttm", "words": f"{task.name}/words.stm"}
    write_json(folder / SIMULATED, {"id": task.name, **files, **plain(mixture.metadata), "request": digest})


def _outputs(folder: Path) -> list[str]:
    return [
        str(file)
        for file in sorted(folder.iterdir(), key=lambda file: (file.name != "mixture.wav", file.name))
    ]


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / SIMULATED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(folder: Path) -> str | None:
    return _metadata(folder).get("request")


def _request_digest(request: dict[str, Any], material: list[Any]) -> str:
    """Of all that decides: the options, and what was recorded, by its table and its files' sizes and times."""
    stamps = [(each.path.stat().st_size, each.path.stat().st_mtime_ns) for each in material]
    text = json.dumps(request, sort_keys=True) + repr(material) + repr(stamps)
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _refuse_others(out: Path, tasks: list[Item], digest: str | None) -> None:
    """What is no mixture is never replaced; nor are mixtures of another ``digest``, unless None is given.

    An old mixture among new ones would be mistaken for one of them.
    """
    for folder in (out / task.name for task in tasks):
        if folder.exists() and _digest(folder) is None:
            raise UsageError(f"'{folder}' was not made by `unbabble simulate`: choose another --out.")
        if folder.exists() and digest not in (None, _digest(folder)):
            raise UsageError(
                f"'{folder}' was made with other options, or from other recordings: choose another --out, "
                "or --overwrite."
            )


def _index(out: Path, tasks: list[Item]) -> None:
    lines = [json.dumps(content) for task in tasks if (content := _metadata(out / task.name))]
    with atomic(out / "metadata.jsonl") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _size(room: str) -> tuple[float, float, float]:
    try:
        length, width, height = (float(edge) for edge in room.lower().split("x"))
    except ValueError:
        raise UsageError(f"A room is length x width x height in metres, as 6x5x3, not '{room}'.") from None
    return length, width, height
