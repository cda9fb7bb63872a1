"""Where somebody speaks: a light detector, so that recognisers are not asked about silence and noise.

Speech is told from other sounds by what changes within half a second: vowels and consonants take turns, so that
harmonicity and the balance of low and high frequencies go up and down; by harmonicity itself, by the shape of the
spectrum, and by how far it is above the softest parts of the recording. Twelve such features, standardised, are
weighed by logistic regression (``scripts/fit_activity.py``, which wrote the constants below). A stretch of speech is
one that is not unlikely to be speech, and holds a part that surely is.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base.audio import resample
from unbabble.signal.mel import mel_filters

RATE = 8000
FRAME_SECONDS = 0.02
HOP, WINDOW, TRANSFORM = 160, 400, 512
PITCH_HERTZ = (70, 400)
LOW_HERTZ, HIGH_HERTZ, VOICED_HERTZ = (150, 1000), (2000, 3800), (80, 1800)
BANDS, LOBE_BINS = 20, 5
RANGE_DB = 60.0
"""What is softer than the loudest frame by more does not change features any more."""
NEAR, WIDE = 5, 25
"""Frames on either side over which features are averaged, and over which their changes are looked at."""
POSSIBLE, SURE, LEAST_SURE_SECONDS = 0.2, 0.7, 0.3
"""Probabilities of a stretch of speech, and of the part that it holds, which lasts at least so long."""
MOST_DEVIATIONS = 3.0


class Weighed(NamedTuple):
    """One feature: mean and standard deviation of the training frames, and its weight."""

    mean: float
    deviation: float
    weight: float


FEATURES = {
    "level above the softest": Weighed(11.72, 12.57, 0.7887),
    "level below the loudest": Weighed(-12.8, 11.93, 0.3311),
    "flatness": Weighed(-2.877, 1.94, 2.327),
    "change": Weighed(4.15, 2.654, 0.3276),
    "tilt": Weighed(11.18, 10.74, 2.892),
    "deviation of level": Weighed(6.343, 5.124, -0.5282),
    "deviation of harmonicity": Weighed(0.167, 0.07643, 1.151),
    "deviation of tilt": Weighed(6.33, 4.601, 1.04),
    "tonality": Weighed(0.3855, 0.1992, -0.2856),
    "wide harmonicity": Weighed(0.555, 0.1876, 1.799),
    "wide change": Weighed(4.095, 2.27, 0.8639),
    "wide flatness": Weighed(-2.866, 1.754, 1.43),
}
BIAS = -0.9059


def is_speech(
    samples: Float[Tensor, " time"], sample_rate: int, possible: float = POSSIBLE
) -> Bool[Tensor, " frame"]:
    """Of each 20 ms of a recording whether somebody speaks; none where it is too short, or constant.

    Args:
        samples: of one channel, at any level; up to about half a minute, as they are compared with one another.
        sample_rate: in Hz.
        possible: probability of every frame of a stretch of speech.
    """
    count = int(len(samples) / (FRAME_SECONDS * sample_rate) + 1e-6)  # 904 frames are not 903.99
    if not count or samples.min() == samples.max():
        return torch.zeros(count, dtype=torch.bool)
    at_rate = resample(samples, sample_rate, RATE)
    likely = _mean(speech_probability(at_rate), NEAR)[:count]
    result = torch.zeros(count, dtype=torch.bool)
    sure = likely > SURE
    for begin, end in runs(likely > possible):
        if any((stop - start) * FRAME_SECONDS >= LEAST_SURE_SECONDS for start, stop in runs(sure[begin:end])):
            result[begin:end] = True
    return result


def runs(flags: Bool[Tensor, " frame"]) -> list[tuple[int, int]]:
    """Begin and end of each stretch of true.

    >>> runs(torch.tensor([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = torch.nn.functional.pad(flags, (1, 1)).int().diff().nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def speech_probability(samples: Float[Tensor, " time"]) -> Float[Tensor, " frame"]:
    """Of each frame of a recording at 8 kHz, how likely it is that somebody speaks."""
    found, logit = features(samples), torch.tensor(BIAS)
    for name, (mean, deviation, weight) in FEATURES.items():
        standard = ((found[name] - mean) / deviation).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        logit = logit + weight * standard
    return torch.sigmoid(logit)


def features(samples: Float[Tensor, " time"]) -> dict[str, Float[Tensor, " frame"]]:
    """What is looked at, of each frame of a recording at 8 kHz."""
    padded = torch.nn.functional.pad(samples, [(WINDOW - HOP) // 2, (WINDOW - HOP) // 2 + HOP])
    frames = padded.unfold(0, WINDOW, HOP)
    window = torch.hann_window(WINDOW)
    powers = torch.fft.rfft((frames - frames.mean(1, keepdim=True)) * window, TRANSFORM).abs().square()
    powers = powers + 1e-12 * powers.max() + 1e-30
    hertz = torch.arange(TRANSFORM // 2 + 1) * RATE / TRANSFORM

    def between(low: float, high: float) -> Tensor:
        return powers[:, (hertz >= low) & (hertz <= high)]

    audible = between(LOW_HERTZ[0], HIGH_HERTZ[1])
    level = _db(audible.sum(1))
    level = level.clamp(min=float(level.max()) - RANGE_DB)
    flatness = audible.log().mean(1) - audible.mean(1).log()
    tilt = (_db(between(*LOW_HERTZ).sum(1)) - _db(between(*HIGH_HERTZ).sum(1))).clamp(-30, 40)
    bands = _db(powers @ mel_filters(BANDS, TRANSFORM, RATE).mT)
    bands = bands.clamp(min=float(bands.max()) - RANGE_DB)
    change = torch.nn.functional.pad((bands[2:] - bands[:-2]).abs().mean(1), (1, 1))[: len(level)]
    harmonicity = _harmonicity(powers, hertz, window)
    # a tone has nearly all its power in the main lobe of the window
    tonality = audible.unfold(1, LOBE_BINS, 1).sum(2).amax(1) / audible.sum(1)
    return {
        "level above the softest": _mean(level - level.quantile(0.1), NEAR),
        "level below the loudest": _mean(level - level.quantile(0.95), NEAR),
        "flatness": _mean(flatness, NEAR),
        "change": _mean(change, NEAR),
        "tilt": _mean(tilt, NEAR),
        "deviation of level": _deviation(level, WIDE),
        "deviation of harmonicity": _deviation(harmonicity, WIDE),
        "deviation of tilt": _deviation(tilt, WIDE),
        "tonality": _mean(tonality, NEAR),
        "wide harmonicity": _mean(harmonicity, WIDE),
        "wide change": _mean(change, WIDE),
        "wide flatness": _mean(flatness, WIDE),
    }


def _harmonicity(powers: Tensor, hertz: Tensor, window: Tensor) -> Float[Tensor, " frame"]:
    """How like itself each frame is one period of a voice later (P. Boersma, IFA Proceedings 17, 1993)."""
    voiced = powers * ((hertz >= VOICED_HERTZ[0]) & (hertz <= VOICED_HERTZ[1]))
    lags = slice(RATE // PITCH_HERTZ[1], RATE // PITCH_HERTZ[0])
    of_window = torch.fft.irfft(torch.fft.rfft(window, TRANSFORM).abs().square())
    of_frame = torch.fft.irfft(voiced)
    alike = of_frame[:, lags] / of_frame[:, :1].clamp(min=1e-30)
    return (alike * of_window[0] / of_window[lags]).amax(1).clamp(0, 1)


def _db(power: Tensor) -> Tensor:
    return 10 * power.log10()


def _mean(values: Float[Tensor, " frame"], reach: int) -> Float[Tensor, " frame"]:
    """Of each frame and those up to ``reach`` before and after it."""
    padded = torch.nn.functional.pad(values[None, None], (reach, reach), mode="replicate")
    return torch.nn.functional.avg_pool1d(padded, 2 * reach + 1, 1)[0, 0]


def _deviation(values: Float[Tensor, " frame"], reach: int) -> Float[Tensor, " frame"]:
    mean = _mean(values, reach)
    return (_mean(values.square(), reach) - mean.square()).clamp(min=0).sqrt()
