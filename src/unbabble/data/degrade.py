"""What can go wrong with a separated voice, made on purpose: so that scorers hear all of it, from hopeless to perfect.

Each function takes a mixture and its estimates with the true voice of each (all at the levels they have in the mixture)
and returns other estimates.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, istft, sosfilt, stft

Mixture = Float[np.ndarray, " time"]
Voices = Float[np.ndarray, "source time"]
WINDOW = 256
MOST_BETTER_DB, MOST_WORSE_DB = 25.0, 8.0


def error_scaled(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """The error of each estimate made smaller or larger: better and worse separators that err alike."""
    factors = 10 ** (rng.uniform(-MOST_BETTER_DB, MOST_WORSE_DB, (len(estimates), 1)) / 20)
    target = _projected(estimates, references)
    return target + factors * (estimates - target)


def leaking(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """More of the mixture, or of the others, in each estimate."""
    others = mixture if rng.random() < 0.5 else estimates.sum(0) - estimates
    return estimates + 10 ** (rng.uniform(-25, 10, (len(estimates), 1)) / 20) * others


def masked(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """The true voices through masks: soft or hard, blurred, with a floor; the rest goes by the mixture's phase."""
    spectrum = _stft(mixture)
    power = rng.uniform(0.5, 2.5)
    sizes = np.abs(_stft(references)) ** power
    rest = np.abs(spectrum - _stft(references)) ** power
    masks = sizes / (sizes + rest + 1e-20)
    if rng.random() < 0.4:
        masks = (masks > rng.uniform(0.2, 0.8)).astype(float)
    if rng.random() < 0.6:
        masks = _blurred(masks, *map(int, rng.integers(1, 12, 2)))
    floor = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0
    return _istft((floor + (1 - floor) * masks) * spectrum, len(mixture))


def with_holes(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """Bins fall silent at random: musical noise."""
    spectra = _stft(estimates)
    noise = rng.random(spectra.shape)
    size = int(rng.integers(1, 6))
    noise = _blurred(noise, size, size)
    holes = noise < np.quantile(noise, rng.uniform(0.02, 0.6))
    return _istft(np.where(holes, 10 ** (-rng.uniform(5, 40) / 20), 1) * spectra, len(mixture))


def distorted(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """Clipped, coarsely quantised, low-passed, or noisy."""
    peak = np.abs(estimates).max(-1, keepdims=True) + 1e-20
    kind = rng.integers(4)
    if kind == 0:
        return np.clip(estimates, -rng.uniform(0.05, 0.8) * peak, rng.uniform(0.05, 0.8) * peak)
    if kind == 1:
        step = peak / 2 ** rng.uniform(2, 6)
        return step * np.round(estimates / step)
    if kind == 2:
        sections = butter(4, rng.uniform(0.15, 0.9), output="sos")
        return np.asarray(sosfilt(sections, estimates, axis=-1))
    level = np.sqrt(np.mean(estimates**2, -1, keepdims=True))
    return estimates + level * 10 ** (-rng.uniform(-5, 25) / 20) * rng.standard_normal(estimates.shape)


def shifted(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """Some samples late: SI-SNR does not forgive it."""
    return np.roll(estimates, int(rng.integers(1, 16)), -1)


def alike(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """The same voice, or the mixture, in place of all."""
    same = mixture if rng.random() < 0.5 else estimates[rng.integers(len(estimates))]
    return np.repeat(same[None], len(estimates), 0) + 0.003 * rng.standard_normal(estimates.shape) * np.std(
        same
    )


def changing_places(
    rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices
) -> Voices:
    """From some moment on, each voice is in the next one's place; with a little of their mixture."""
    start = int(rng.uniform(0.15, 0.85) * estimates.shape[1])
    voices = references if rng.random() < 0.5 else estimates
    changed = np.concatenate([voices[:, :start], np.roll(voices, 1, 0)[:, start:]], 1)
    return changed + 10 ** (-rng.uniform(5, 40) / 20) * mixture


def true_ones(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """The true voices, with a little of their mixture."""
    return references + 10 ** (-rng.uniform(5, 40) / 20) * (mixture - references)


DEGRADATIONS: tuple[tuple[float, Callable[..., Voices]], ...] = (
    (0.28, error_scaled),
    (0.14, leaking),
    (0.16, masked),
    (0.06, with_holes),
    (0.1, distorted),
    (0.03, shifted),
    (0.09, alike),
    (0.08, changing_places),
    (0.06, true_ones),
)
"""With the share of each."""


def degraded(rng: np.random.Generator, mixture: Mixture, estimates: Voices, references: Voices) -> Voices:
    """Estimates after one kind of degradation, drawn."""
    shares = np.array([share for share, _ in DEGRADATIONS])
    _, degrade = DEGRADATIONS[rng.choice(len(shares), p=shares / shares.sum())]
    return degrade(rng, mixture, estimates, references).astype(np.float32)


def _blurred(maps: np.ndarray, bins: int, frames: int) -> np.ndarray:
    return uniform_filter1d(uniform_filter1d(maps, bins, 1), frames, 2)


def _projected(estimates: Voices, references: Voices) -> Voices:
    power = np.sum(references**2, -1, keepdims=True)
    return np.sum(estimates * references, -1, keepdims=True) / np.where(power > 0, power, np.inf) * references


def _stft(waveforms: np.ndarray) -> np.ndarray:
    return stft(waveforms, nperseg=WINDOW, noverlap=WINDOW // 2)[2]


def _istft(spectra: np.ndarray, samples: int) -> np.ndarray:
    waveforms = istft(spectra, nperseg=WINDOW, noverlap=WINDOW // 2)[1][..., :samples]
    return np.pad(waveforms, [(0, 0)] * (waveforms.ndim - 1) + [(0, samples - waveforms.shape[-1])])
