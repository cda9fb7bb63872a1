"""A tiny enhancer for one person and one place, from that person's own noisy recordings.

Without clean speech, a large frozen network enhances the recordings, and the tiny one learns to do as it does
(``methods.adaptation.distillation``), or learns in one of the other ways of that folder: each is a task for the
one loop (``training.run``). Where there are seconds of clean speech, half of what it learns from is that speech in the
noise of the recordings, as the large network estimates it.

What is held back decides: known voices (clean speech of the person that was not learnt from, or voices that come with
the package) are put into its noise, by the same estimate, and only where the adapted network surely brings them out
better is it kept. A blind score is reported besides; it takes no account of what lies above 4 kHz, and is no judge of
what differs there. Nothing leaves the machine.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import notes, registry
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import atomic, user_cache
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.cost import macs_per_second, parameter_count
from unbabble.nn.kinds.scorer import unit
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.live_masks import LiveMasks
from unbabble.nn.material import AdaptationTask, Batches, Material
from unbabble.pipelines.enhance import DEFAULTS
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import has_scorer
from unbabble.training.proof import Gain, blind_gain, packaged_voices, parted, proof
from unbabble.training.recipe import Updates
from unbabble.training.run import FORMAT, Diverged, Run

logger = logging.getLogger(__name__)

STUDENT, TEACHER = DEFAULTS[-1], DEFAULTS[0]
STUDENTS = "gru."
LEAST_SECONDS, LEAST_CLEAN_SECONDS = 20.0, 1.0
HELD_SHARE = 0.25
"""Of the recordings, by which the adapted network is judged."""
PIECE_SECONDS, CROP_SECONDS = 4.0, 2.0
CLIPPED_SHARE = 0.001
METHOD = "distillation"
"""On dev speakers no way does better, with clean speech or without (``few_shot_dev.md``)."""
PREDICTOR = "frame_snr.16k"
"""What ``data_purification`` trusts recordings by, where it is installed."""
BATCH, RATE, WARMUP = 16, 5e-4, 20
KEPT_AVERAGE = 0.98
SAVE_EVERY = 50


@dataclass
class Adaptation:
    """What came of it.

    Attributes:
        student: the network's name.
        teacher: whose enhancement it learnt from.
        method: the way, and whether there was clean speech.
        kept: whether the adapted network is better on what was held back; if not, ``network`` is the one before.
        gain: SI-SDR of known voices in the noise of what was held back, less that with the network before.
        blind: the same by the blind score of what was held back itself, where there is a scorer.
        steps: that were made.
        sources: what it was made from: SHA-256 and seconds of each recording.
        reason: why it was not kept, in one sentence.
        warnings: what the user should know.
    """

    student: str
    teacher: str
    method: str
    kept: bool
    gain: Gain
    blind: Gain | None
    steps: int
    sources: list[dict[str, Any]]
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return asdict(self)


@dataclass
class Prepared:
    """One recording of the person, at the student's rate and unit level."""

    name: str
    samples: Float[Tensor, " time"]
    sha256: str
    seconds: float


def adapt(
    recordings: Sequence[str | os.PathLike[str]],
    clean: Sequence[str | os.PathLike[str]] = (),
    *,
    student: str = STUDENT,
    teacher: str = TEACHER,
    method: str = METHOD,
    steps: int = 200,
    seed: int = 0,
    precision: Literal["float32", "bfloat16"] = "float32",
    keep: bool = False,
    report: Callable[[str], None] = logger.info,
) -> tuple[NeuralSeparator, Adaptation]:
    """Adapt ``student`` to the person who speaks in ``recordings``, and the place where they were made.

    Work is kept in the user's cache: a call with the same arguments goes on where an earlier one was killed, and
    ``forget`` removes it.

    Args:
        recordings: of one person, noisy, any number and length, all together at least 20 seconds.
        clean: of the same person, without noise.
        student: the network that is adapted.
        teacher: the network that it learns from, and whose word says what is noise.
        method: the way: one of ``ways()``.
        steps: updates of the weights.
        seed: of all draws.
        precision: of matrix products while it learns; large students learn twice as fast in bfloat16.
        keep: return the adapted network even where it is not better.
        report: gets a sentence on how it goes.

    Returns:
        The adapted network, or where that is no better the one before; and what came of it.

    Raises:
        InputError: too little to learn from, or recordings that cannot be used.
        UsageError: no such networks, or networks that do not take noise off one voice, or not at one rate.
    """
    if method not in ways():
        raise UsageError(f"There is no way to adapt called '{method}', but {', '.join(ways())}.")
    network, teaching = (networks.load(name, "enhancer").network for name in (student, teacher))
    warnings: list[str] = []
    rate = network.sample_rate
    noisy = [each for path in recordings if (each := _prepared(path, rate, warnings))]
    voices = [each for path in clean if (each := _prepared(path, rate, warnings))]
    _check(noisy, voices)
    learnt, held = _split(noisy, rate)
    folder = (
        user_cache()
        / "adapt"
        / _key((FORMAT, _digest(network), _digest(teaching), method, steps, seed, precision), noisy, voices)
    )
    folder.mkdir(parents=True, exist_ok=True)
    estimates = _estimates([*learnt, *held], teaching, teacher, rate, report)
    targets, rest = estimates[: len(learnt)], estimates[len(learnt) :]
    parts = [parted(voice.samples) for voice in voices]
    material = Material(learnt, targets, round(CROP_SECONDS * rate), [first for first, _ in parts])
    adapted = networks.load(student, "enhancer").network
    failure = _learn(_task(method, material, adapted), steps, seed, precision, folder, report)
    method = f"{method} and clean speech" if voices else method
    sources = [{"sha256": each.sha256, "seconds": round(each.seconds, 2)} for each in (*noisy, *voices)]
    known = [last for _, last in parts] or packaged_voices(rate)
    gain = proof(network, adapted, held, rest, known, seed)
    blind = blind_gain(network, adapted, held, rate) if has_scorer() else None
    kept = not failure and gain.low_db > 0
    if not kept and not failure:
        failure = (
            f"On what was held back it is not surely better: {gain.mean_db:+.2f} dB "
            f"({gain.low_db:+.2f} to {gain.high_db:+.2f})."
        )
    result = Adaptation(
        student, teacher, method, kept, gain, blind, steps, sources, "" if kept else failure, warnings
    )
    return (adapted if kept or keep else network), result


def ways() -> list[str]:
    """Names of the ways to adapt."""
    return registry.of_kind("adaptation")


def _task(name: str, material: Material, network: NeuralSeparator) -> AdaptationTask:
    """The task called ``name``."""
    options: dict[str, Any] = {"material": material, "network": network}
    if name == "data_purification" and PREDICTOR in packaged():
        predictor: Any = networks.load(PREDICTOR, "meter").network
        if predictor.sample_rate == network.sample_rate:
            options["predictor"] = predictor.snr_db
    return registry.create(name, **options)


def student_within(budget: float = math.inf, frame_ms: float = math.inf) -> str:
    """The largest packaged student that takes no more than it may; without any limit the default.

    Args:
        budget: million operations a second.
        frame_ms: milliseconds that each of its frames may take one core of this machine, as PyTorch streams.

    Raises:
        InputError: none is installed.
        UsageError: all take more.
    """
    names = [name for name in packaged() if name.startswith(STUDENTS)]
    if not names:
        raise InputError("No student is installed: name one with --student (configs/gru.yaml trains them).")
    if STUDENT in names and budget == frame_ms == math.inf:
        return STUDENT
    students: dict[str, Any] = {name: networks.load(name, "enhancer").network for name in names}
    costs = {name: macs_per_second(network) / 1e6 for name, network in students.items()}
    for name in sorted(students, key=lambda name: -costs[name]):
        if costs[name] <= budget and (frame_ms == math.inf or milliseconds(students[name]) <= frame_ms):
            return name
    least = min(students, key=lambda name: costs[name])
    raise UsageError(
        f"The smallest student, {least}, takes {costs[least]:.0f} million operations a second"
        + (f", and {milliseconds(students[least]):.2f} ms a frame here." if frame_ms < math.inf else ".")
    )


def milliseconds(network: LiveMasks) -> float:
    """That a frame takes one core of this machine: median of a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        streamer, taken = network.streamer(), []
        for block in torch.zeros(network.sample_rate).split(network.frames.hop_length):
            began = time.perf_counter()
            streamer.push(block)
            taken.append(1e3 * (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    return float(np.median(taken))


def forget() -> int:
    """Remove all that ``adapt`` keeps of anybody's recordings; returns how many bytes that was."""
    folder = user_cache() / "adapt"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return size


def about(network: NeuralSeparator) -> str:
    """Size and cost in a few words."""
    return f"{parameter_count(network):,} parameters, {macs_per_second(network) / 1e6:.0f} million operations a second"


def _prepared(path: str | os.PathLike[str], rate: int, warnings: list[str]) -> Prepared | None:
    """A recording's loudest channel; None, with a warning, where it is silent."""
    recording, name = Recording.of(path), os.fspath(path)
    warnings += [f"'{name}': {notes.without_options(text)}" for text in recording.info.warnings]
    if not recording.live:
        warnings.append(f"'{name}' is silent: left out.")
        return None
    number = recording.heard.square().sum(1).argmax()
    loudest = recording.heard[number]
    clipped = (loudest.abs() >= 0.999 * loudest.abs().max()).float().mean()
    if clipped > CLIPPED_SHARE:
        warnings.append(f"'{name}' is clipped in {100 * clipped:.1f} % of its samples.")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    samples = unit(recording.at(rate)[number])
    return Prepared(name, samples, digest, recording.seconds)


def _check(noisy: list[Prepared], voices: list[Prepared]) -> None:
    seconds = sum(each.seconds for each in noisy)
    if seconds < LEAST_SECONDS:
        raise InputError(
            f"There are {seconds:.1f} seconds to learn from: at least {LEAST_SECONDS:g} are needed, better 3 minutes."
        )
    if voices and (clean := sum(each.seconds for each in voices)) < LEAST_CLEAN_SECONDS:
        raise InputError(
            f"There are {clean:.1f} seconds of clean speech: at least {LEAST_CLEAN_SECONDS:g} are needed."
        )


def _split(noisy: list[Prepared], rate: int) -> tuple[list[Tensor], list[Tensor]]:
    """What is learnt from, and pieces that are held back: the end of every recording; short ones are joined."""
    piece = round(PIECE_SECONDS * rate)
    long = [each.samples for each in noisy if len(each.samples) >= 2 * piece]
    short = [each.samples for each in noisy if len(each.samples) < 2 * piece]
    learnt, held = [], []
    for samples in [*long, *([torch.cat(short)] if short else [])]:
        count = round(HELD_SHARE * len(samples) / piece)
        end = len(samples) - count * piece
        learnt.append(samples[:end])
        held += list(samples[end:].split(piece))
    least = round(CROP_SECONDS * rate)
    return [each for each in learnt if len(each) >= least], held


def _digest(network: NeuralSeparator) -> str:
    """Of options and weights: what is cached for others under the same name is not theirs."""
    digest = hashlib.sha256(json.dumps(network.resolved_options(), default=str).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _key(settings: tuple[str | int, ...], noisy: list[Prepared], voices: list[Prepared]) -> str:
    parts = [*settings, [each.sha256 for each in noisy], [each.sha256 for each in voices]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _estimates(
    recordings: list[Tensor], network: NeuralSeparator, name: str, rate: int, report: Callable[[str], None]
) -> list[Tensor]:
    """What the teacher makes of each piece, kept in the cache for every student and way to learn."""
    if network.sample_rate != rate:
        raise UsageError(f"The teacher works at {network.sample_rate} Hz and the student at {rate}.")
    report(f"{name} listens to {sum(map(len, recordings)) / rate:.0f} seconds.")
    folder = user_cache() / "adapt" / "estimates"
    folder.mkdir(parents=True, exist_ok=True)
    estimates, teacher = [], _digest(network)
    for samples in recordings:
        digest = hashlib.sha256(teacher.encode() + samples.numpy().tobytes()).hexdigest()
        path = folder / f"{digest[:20]}.npy"
        if not path.is_file():
            pieces = samples.split(round(30 * rate))
            with torch.no_grad():
                voice = torch.cat([network.estimate(piece[None])[0, 0] for piece in pieces])
            with atomic(path) as temporary, open(temporary, "wb") as file:
                np.save(file, voice.numpy())
        estimates.append(torch.from_numpy(np.load(path)))
    return estimates


def _learn(
    task: AdaptationTask,
    steps: int,
    seed: int,
    precision: Literal["float32", "bfloat16"],
    folder: Path,
    report: Callable[[str], None],
) -> str:
    """Adapt the task's network, from the last checkpoint on; says what went wrong, if anything did."""
    updates = Updates(
        steps=steps,
        batch=1,
        learning_rate=RATE,
        clip_norm=1.0,
        schedule="falling",
        warmup_steps=WARMUP,
        average=KEPT_AVERAGE,
        average_rises=False,
        precision=precision,
        most_lost_updates=1,
        save_every=SAVE_EVERY,
        workers=0,
        seed=seed,
    )
    with torch.random.fork_rng(devices=[]):
        run = Run(task, Batches(task, BATCH, seed), updates, folder)
        run.resume()
        if run.progress.step:
            report(f"Goes on from step {run.progress.step}.")
        try:
            run.train(report)
        except Diverged as error:
            return f"Adaptation diverged at step {error.step}."
    task.network.load_state_dict(run.average)
    task.network.eval()
    return ""
