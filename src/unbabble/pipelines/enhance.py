"""Noise off recordings of one person: any length, every channel, no stronger than does good.

How much noise is taken off can be limited: with a strength of ``s`` dB what a network removes stays, that much softer.
By itself the strength is the highest one with which a blind score does not fall below that of the recording as it is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base import notes
from unbabble.base.contracts import Meter
from unbabble.base.errors import InputError, UsageError
from unbabble.base.formats import Format
from unbabble.base.kinds import taken_by
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.nn.kinds.scorer import HIGHEST_DB, LEAST_SECONDS, LOWEST_DB
from unbabble.pipelines.pieces import write_pieces
from unbabble.pipelines.recording import Recording
from unbabble.pipelines.score import BlindScorer, VoiceScore, has_scorer
from unbabble.pipelines.separate import Model, load
from unbabble.signal.rumble import without_rumble

AUTO, BLIND = "auto", "blind"
DEFAULTS = ("bsrnn.1talker_16k", "gru.2x64")
"""What ``auto`` is: the first of these that is installed."""
TRIAL_SECONDS = 20.0
"""Of the loudest part, by which the strength is chosen."""
STRENGTHS_DB = (math.inf, 20.0, 12.0, 6.0, 0.0)
"""That are tried; with 0 nothing changes."""
ENHANCED_DB, ENHANCED_SHARE, NOISY_SHARE = 0.4, 0.80, 0.07
"""The blind score learnt from voices that were separated, and flatters those that were freed of noise. Their SI-SNR is
taken to be this constant, and these shares of their score and of that of the noisy recording: least squares on
recordings of dev speakers, all packaged enhancers and strengths (``enhanced_score.md``, seed 3)."""
ENHANCED_REACH_DB = (-8.0, 5.5)
"""From there, how far the truth may be: above as 97.5 % of dev cases, below farther than these (-6.5), because in
noises that nobody learnt from what is said is still too high."""

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
    networks.check_kind(name, *taken_by("enhance"))
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
        resampled = audio_files.resample(voice, rate, meter.sample_rate)
        return float(meter(resampled[None])[0]) if resampled.any() else -math.inf

    return worth


def limited(
    enhanced: Float[Tensor, "*channel time"], noisy: Float[Tensor, "*channel time"], strength_db: float
) -> Float[Tensor, "*channel time"]:
    """What was taken off comes back, ``strength_db`` softer."""
    return enhanced + 10 ** (-strength_db / 20) * (noisy - enhanced) if strength_db < math.inf else enhanced


def enhance_file(
    models: Sequence[Model],
    recording: Recording,
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
        recording: of any length.
        out: file that is written.
        format: of the file; by its suffix if not given.
        strength: in dB, or ``auto``: see the module.
        choose: decides among several models; by default a blind score.
        progress: called after each piece with the seconds that are done, and those of the recording if known.

    Raises:
        InputError: the recording cannot be read, or is silent.
        OutputError: the file cannot be written.
    """
    loudest = recording.loudest(TRIAL_SECONDS)
    if not loudest.live:
        raise InputError("The recording is silent: there is nothing to enhance.")
    channel = loudest.live[int(loudest.heard.square().sum(1).argmax())]
    loud = Recording.of(loudest.samples[channel], loudest.sample_rate)
    model, tried = _chosen(models, loud, choose) if len(models) > 1 else (models[0], {})
    result = Enhanced(model.name, math.inf if strength == AUTO else float(strength), tried)
    if has_scorer() and loud.seconds >= LEAST_SECONDS:
        decide(model, loud, strength, result)
    result.audio_seconds = write_pieces(
        recording,
        out,
        lambda block: _enhanced(model, block, recording.sample_rate, result),
        warnings=result.warnings,
        format=format,
        progress=progress,
    )
    return result


def _chosen(
    models: Sequence[Model], loud: Recording, choose: Chooser | None
) -> tuple[Model, dict[str, float]]:
    choose, rate = choose or load_chooser(), loud.sample_rate
    worth = {model.name: choose(loud.samples[0], model(loud).sources[0], rate) for model in models}
    return max(models, key=lambda model: worth[model.name]), worth


def score_of_enhanced(score: VoiceScore, noisy: VoiceScore) -> VoiceScore:
    """What is said of a voice that was freed of noise.

    Args:
        score: of the enhanced recording, by a scorer that learnt from separated voices.
        noisy: of the recording as it was, by the same.
    """
    db = ENHANCED_DB + ENHANCED_SHARE * score.si_snr_db + NOISY_SHARE * noisy.si_snr_db
    db, low, high = (
        min(max(each, LOWEST_DB), HIGHEST_DB) for each in (db, *(db + r for r in ENHANCED_REACH_DB))
    )
    return VoiceScore(db, low, high)


def decide(model: Model, loud: Recording, strength: Strength, result: Enhanced) -> None:
    """Score a channel as it is and enhanced, put it into ``result``; where ``strength`` is open, choose it."""
    scorer, noisy = BlindScorer(), loud.heard[0]
    clean = model(loud).sources[0]
    result.before = scorer.of(loud)[0]
    for strength_db in STRENGTHS_DB if strength == AUTO else (float(strength),):
        result.strength_db, result.after = strength_db, result.before
        if strength_db == 0:
            break
        enhanced = scorer.of(loud, limited(clean, noisy, strength_db)[None])[0]
        result.after = score_of_enhanced(enhanced, result.before)
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
    return limited(separation.images[0], without_rumble(block, rate)[0], result.strength_db)
