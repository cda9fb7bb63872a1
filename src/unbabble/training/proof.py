"""Whether an enhancer that has learnt on is better than before, without the true voices of the recordings.

Known voices are put into the noise of recordings that were held back, by a large network's estimate of it; what either
enhancer makes of them is measured. A blind score of the recordings themselves is reported besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base import audio as audio_files
from unbabble.base.errors import InputError
from unbabble.base.files import DEMO_FOLDER
from unbabble.nn.kinds.scorer import unit
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.pipelines.score import BlindScorer
from unbabble.signal.metrics import si_sdr
from unbabble.signal.statistics import bootstrap

LEAST_POWER = 1e-3
"""Of a voice, over its mean, where it is judged by."""


@dataclass(frozen=True)
class Gain:
    """A mean over pieces of recordings in dB, and the interval that holds it 95 times in 100 (bootstrap)."""

    mean_db: float
    low_db: float
    high_db: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int = 0) -> "Gain":
        """Of ``values``, at least one."""
        return cls(*bootstrap(values, seed=seed))


def parted(voice: Float[Tensor, " time"]) -> tuple[Float[Tensor, " start"], Float[Tensor, " end"]]:
    """Clean speech to learn from, and to be judged by: its last third."""
    end = len(voice) - len(voice) // 3
    return voice[:end], voice[end:]


def packaged_voices(rate: int) -> list[Float[Tensor, " time"]]:
    """Those of the demo recording, at ``rate`` and unit level: for people of whom there is no clean speech."""
    demo = [audio_files.read(path) for path in sorted(DEMO_FOLDER.glob("reference*.flac"))]
    return [unit(audio_files.resample(each.samples[0], each.sample_rate, rate)) for each in demo]


@torch.no_grad()
def proof(
    before: NeuralSeparator,
    after: NeuralSeparator,
    held: list[Float[Tensor, " time"]],
    estimates: list[Float[Tensor, " time"]],
    known: list[Float[Tensor, " sample"]],
    seed: int,
) -> Gain:
    """By how much SI-SDR of known voices rises, in the noise of pieces that were held back, at their levels.

    Args:
        before: the enhancer as it was.
        after: as it is now.
        held: pieces of recordings that it did not learn from, at its rate.
        estimates: a large network's, of the voice in each; the rest is taken for noise.
        known: voices that it did not learn from, of unit level.
        seed: of what part of a voice goes into which noise.

    Raises:
        InputError: all pieces are silent.
    """
    rng = np.random.default_rng([seed, 1])
    gains = []
    for piece, voice_there in zip(held, estimates, strict=True):
        if not piece.any():
            continue
        noise = piece - voice_there
        snr_db = float(10 * torch.log10(voice_there.square().sum() / noise.square().sum().clamp(min=1e-12)))
        for voice in known:
            start = int(rng.integers(max(0, len(voice) - len(noise)) + 1))
            voice = voice[start : start + len(noise)]
            if not voice.square().mean() > LEAST_POWER:
                continue
            sound = noise[: len(voice)]
            level = voice.norm() / sound.norm().clamp(min=1e-8) * 10 ** (-min(max(snr_db, -5.0), 15.0) / 20)
            mixture = voice + level * sound
            scale = mixture.square().mean().sqrt()
            first, second = (
                float(si_sdr(each.eval().estimate((mixture / scale)[None])[0], voice[None]))
                for each in (before, after)
            )
            gains.append(second - first)
    if not gains:
        raise InputError("What was held back is silent: there is nothing to judge by.")
    return Gain.of(gains)


@torch.no_grad()
def blind_gain(before: NeuralSeparator, after: NeuralSeparator, held: list[Tensor], rate: int) -> Gain:
    """By how much the blind score rises on pieces that were held back."""
    scorer = BlindScorer()
    gains = []
    for piece in held:
        if piece.any():
            voices = [network.eval().estimate(piece[None])[0] for network in (before, after)]
            first, second = (scorer(piece, voice, rate)[0].si_snr_db for voice in voices)
            gains.append(second - first)
    return Gain.of(gains)
