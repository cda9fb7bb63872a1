"""Noise off recordings of one person: any length, every channel, no stronger than does good.

How much noise is taken off can be limited: with a strength of ``s`` dB what a network removes stays, that much softer.
By itself the strength is the highest one with which a blind score does not fall below that of the recording as it is.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import notes
from unbabble.base.audio import Audio, AudioWriter
from unbabble.base.contracts import Meter
from unbabble.base.errors import InputError, UsageError
from unbabble.base.files import partial_name
from unbabble.base.formats import Format, by_suffix, fitting_gain, scaled
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import LEAST_SECONDS
from unbabble.pipelines.score import BlindScorer, VoiceScore, has_scorer
from unbabble.pipelines.separate import Model, load

AUTO, BLIND = "auto", "blind"
DEFAULTS = ("bsrnn.1talker_16k", "gru.2x64")
"""What ``auto`` is: the first of these that is installed."""
PIECE_SECONDS, FADED_SECONDS = 30.0, 0.5
TRIAL_SECONDS = 20.0
"""Of the loudest part, by which the strength is chosen."""
STRENGTHS_DB = (math.inf, 20.0, 12.0, 6.0, 0.0)
"""That are tried; with 0 nothing changes."""

Strength: TypeAlias = float | Literal["auto"]


@dataclass
class Enhanced:
    """What became of a recording.

    Attributes:
        model: what enhanced it.
        strength_db: by how much noise was made softer, at most; infinite where nothing limits it, 0 for not at all.
        tried: where one of several models was chosen, what each was worth to the chooser: the highest is taken.
        audio_seconds: duration.
        before: blind score of the recording as it was, where there is a scorer and enough to hear.
        after: of the enhanced one.
        warnings: what the user should know.
    """

    model: str
    strength_db: float
    tried: dict[str, float] = field(default_factory=dict)
    audio_seconds: float = 0.0
    before: VoiceScore | None = None
    after: VoiceScore | None = None
    warnings: list[str] = field(default_factory=list)


def default_enhancer() -> str:
    """The model behind ``auto``.

    Raises:
        InputError: none is installed.
    """
    for name in DEFAULTS:
        if name in packaged():
            return name
    raise InputError("No enhancer is installed: train one (configs/gru.yaml) and name it with --model.")


def load_enhancer(name: str = AUTO, device: str = "auto", **options: Any) -> Model:
    """A model that returns one voice.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture; none installed.
        UsageError: no such model, device or option; one that returns several voices.
    """
    name = default_enhancer() if name == AUTO else name
    networks.check_kind(name, "enhancer")
    return load(name, device, **options)


def load_enhancers(names: str = AUTO, device: str = "auto", **options: Any) -> list[Model]:
    """The models of a list with commas; see ``load_enhancer``.

    Raises:
        InputError: weights that are missing, damaged, or those of another architecture; none installed.
        UsageError: no such model, device or option; one that returns several voices.
    """
    each = [name.strip() for name in names.split(",")]
    if not all(each):
        raise UsageError(f"A model in the list '{names}' has no name.")
    return [load_enhancer(name, device, **options) for name in each]


Chooser: TypeAlias = Callable[[Tensor, Tensor, int], float]
"""From a recording and what a model made of it, (time,) each, and their rate: how good that is, higher is better."""


def _blind_chooser(scorer: BlindScorer) -> Chooser:
    return lambda noisy, voice, rate: scorer(noisy, voice[None], rate)[0].si_snr_db


def load_chooser(name: str = BLIND) -> Chooser:
    """What decides among enhancers.

    Args:
        name: ``blind`` for the packaged scorer; a meter of quality (``quality_net``); or an ``adaptive_dae``, whose
            autoencoder of clean speech decides (collaborative selection; M. Kim, ICASSP 2017).

    Raises:
        InputError: weights that are missing or damaged; no scorer.
        UsageError: no such model, or one that judges no speech.
    """
    if name == BLIND:
        return _blind_chooser(BlindScorer())
    if networks.check_kind(name, "meter", "scorer").name == "scorer":
        return _blind_chooser(BlindScorer(name))
    meter: Meter = networks.load(name, "meter").network

    def worth(noisy: Tensor, voice: Tensor, rate: int) -> float:
        heard = audio_files.resample(voice, rate, meter.sample_rate)
        return float(meter(heard[None])[0]) if heard.any() else -math.inf

    return worth


def limited(
    enhanced: Float[Tensor, "*channel time"], noisy: Float[Tensor, "*channel time"], strength_db: float
) -> Float[Tensor, "*channel time"]:
    """What was taken off comes back, ``strength_db`` softer."""
    return enhanced + 10 ** (-strength_db / 20) * (noisy - enhanced) if strength_db < math.inf else enhanced


def enhance_file(
    models: Sequence[Model],
    path: str | os.PathLike[str],
    out: Path,
    *,
    format: Format | None = None,
    strength: Strength = AUTO,
    choose: Chooser | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> Enhanced:
    """Enhance every channel of a recording of any length, in memory of one piece.

    Args:
        models: from ``load_enhancers``; of several, one is chosen by the loudest part of the recording.
        path: the recording.
        out: file that is written.
        format: of the file; by its suffix if not given.
        strength: in dB, or ``auto``: see the module.
        choose: decides among several models; by default a blind score.
        progress: called after each piece with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read, or is silent.
        OutputError: the file cannot be written.
    """
    info = audio_files.probe(path)
    loud = loudest_part(path)
    if not loud.samples.any():
        raise InputError("The recording is silent: there is nothing to enhance.")
    model, tried = _chosen(models, loud, choose) if len(models) > 1 else (models[0], {})
    result = Enhanced(model.name, math.inf if strength == AUTO else float(strength), tried)
    if has_scorer() and loud.seconds >= LEAST_SECONDS:
        decide(model, loud, strength, result)
    result.audio_seconds = write_pieces(
        path,
        out,
        lambda block: _enhanced(model, block, info.sample_rate, result),
        warnings=result.warnings,
        format=format,
        progress=progress,
    )
    return result


def write_pieces(
    path: str | os.PathLike[str],
    out: Path,
    change: Callable[[Float[Tensor, "channel time"]], Float[Tensor, "output time"]],
    *,
    warnings: list[str],
    channels: int | None = None,
    format: Format | None = None,
    progress: Callable[[float, float | None], None] | None = None,
) -> float:
    """Write what ``change`` makes of a recording, piece by piece, faded from one to the next; its duration in seconds.

    What would clip is scaled as a whole.

    Args:
        path: the recording.
        out: file that is written.
        change: of a piece, as long as that.
        warnings: what the user should know of the recording, and of its scaling, is added.
        channels: of what is written; None for those of the recording.
        format: of the file; by its suffix if not given.
        progress: called after each piece with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read.
        OutputError: the file cannot be written.
    """
    info = audio_files.probe(path)
    shared = round(FADED_SECONDS * info.sample_rate)
    held: Tensor | None = None
    written = 0
    format = format or by_suffix(out)
    floats = out if format == "wav" else out.with_name(partial_name(f"{out.name}.floats"))
    width = channels or info.channels
    with AudioWriter(floats, info.sample_rate, width, info.seconds or 0.0, "wav") as writer:
        for block, last in audio_files.with_last(audio_files.read_blocks(path, PIECE_SECONDS, FADED_SECONDS)):
            found = change(block)
            if held is not None:
                length = min(shared, found.shape[1])
                fade = torch.linspace(0, 1, length)
                found[:, :length] = fade * found[:, :length] + (1 - fade) * held[:, :length]
            end = found.shape[1] if last else found.shape[1] - shared
            writer.write(found[:, :end])
            held, written = found[:, end:].clone(), written + end
            if progress is not None:
                progress(written / info.sample_rate, info.seconds)
    notes.add(warnings, info.warnings)
    if floats != out:
        gain = fitting_gain(writer.peak, format)
        notes.add(warnings, [scaled(gain)] if gain < 1 else [])
        try:
            audio_files.convert(floats, out, format, gain)
        finally:
            floats.unlink(missing_ok=True)
    return written / info.sample_rate


def loudest_part(path: str | os.PathLike[str]) -> Audio:
    """The loudest ``TRIAL_SECONDS`` of a recording."""
    blocks = audio_files.read_blocks(path, TRIAL_SECONDS)
    return Audio(
        max(blocks, key=lambda block: float(block.square().sum())), audio_files.probe(path).sample_rate
    )


def _chosen(models: Sequence[Model], loud: Audio, choose: Chooser | None) -> tuple[Model, dict[str, float]]:
    choose = choose or load_chooser()
    heard = loud.samples[loud.samples.square().sum(1).argmax()]
    worth = {
        model.name: choose(heard, model(heard[None], loud.sample_rate).sources[0], loud.sample_rate)
        for model in models
    }
    return max(models, key=lambda model: worth[model.name]), worth


def decide(model: Model, loud: Audio, strength: Strength, result: Enhanced) -> None:
    """Score the recording as it is and enhanced; where ``strength`` is open, choose it."""
    scorer, rate = BlindScorer(), loud.sample_rate
    heard = loud.samples[loud.samples.square().sum(1).argmax()]
    clean = model(heard[None], rate).sources[0]
    result.before = scorer(heard, heard[None], rate)[0]
    for strength_db in STRENGTHS_DB if strength == AUTO else (float(strength),):
        result.after = scorer(heard, limited(clean, heard, strength_db)[None], rate)[0]
        result.strength_db = strength_db
        if result.after.si_snr_db >= result.before.si_snr_db:
            break
    if strength == AUTO and result.strength_db == 0:
        result.warnings.append("Left as it is: whatever is taken off makes it worse, by the blind score.")


def _enhanced(model: Model, block: Tensor, rate: int, result: Enhanced) -> Tensor:
    """All channels of a piece; one that is silent stays silent."""
    if result.strength_db == 0 or not block.any():
        return block.clone()
    separation = model(block, rate, images=True)
    assert separation.images is not None
    notes.add(result.warnings, separation.warnings)
    return limited(separation.images[0], block, result.strength_db)
