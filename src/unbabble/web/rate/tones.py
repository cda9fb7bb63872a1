"""Sounds that listening studies make: the headphone check, known answers, trapping clips, anchors; and levels.

Waveforms are NumPy arrays, one channel, full scale 1.
"""

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

Wave = NDArray[np.float64]
LEVEL_DB = -26.0
"""Active level of every clip, relative to full scale: what ITU-T P.800 and P.808 tests use."""
MOST_GAIN_DB = 40.0
FRAME_SECONDS, ACTIVE_DB = 0.02, 30.0
MOST_PEAK = 0.98
ANCHOR_HZ, ANCHOR_STOP_HZ, ANCHOR_RATE = 3500.0, 4000.0, 16000
"""BS.1534's low anchor; at rates below 16 kHz proportionally lower, since 3.5 kHz would take nothing off."""
TONE_RATE, TONE_HZ, TONE_SECONDS, RAMP_SECONDS, GAP_SECONDS = 44100, 200.0, 1.0, 0.1, 0.5
QUIETER_DB = 6.0
TONE_PEAK = 0.25
HEADPHONE_TRIALS, HEADPHONE_CORRECT, HEADPHONE_ROUNDS = 6, 5, 2
BEEP_HZ, BEEP_SECONDS, BEEP_GAP_SECONDS, BEFORE_BEEPS_SECONDS = 1000.0, 0.18, 0.32, 2.0


def levelled(samples: Wave, rate: int) -> Wave:
    """At the common level: power over what is active, which are the frames within 30 dB of the loudest.

    Silence stays silence, what is very quiet is raised by 40 dB at most, and nothing clips.
    """
    size = max(1, round(FRAME_SECONDS * rate))
    count = -(-len(samples) // size)
    frames = np.pad(samples, (0, count * size - len(samples))).reshape(count, size)
    powers = (frames**2).mean(1)
    if powers.max(initial=0.0) <= 0:
        return samples.copy()
    active = powers[powers >= powers.max() * 10 ** (-ACTIVE_DB / 10)].mean()
    gain = min(10 ** (LEVEL_DB / 20) / np.sqrt(active), 10 ** (MOST_GAIN_DB / 20))
    return samples * min(gain, MOST_PEAK / np.abs(samples).max())


def low_anchor(samples: Wave, rate: int) -> Wave:
    """Low-pass at 3.5 kHz, flat below and nothing above 4 kHz (BS.1534-3, section 5.1, asks for -25 dB there)."""
    scale = min(1.0, rate / ANCHOR_RATE)
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    start, stop = scale * ANCHOR_HZ, scale * ANCHOR_STOP_HZ
    fall = np.clip((frequencies - start) / (stop - start), 0, 1)
    return np.fft.irfft(np.fft.rfft(samples) * np.cos(np.pi / 2 * fall) ** 2, len(samples))


def noisy(samples: Wave, seed: int, snr_db: float = 0.0) -> Wave:
    """With white noise, as loud as the signal by default: bad to every listener."""
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    power = (samples**2).mean() if len(samples) else 0.0
    return samples + noise * np.sqrt(power) * 10 ** (-snr_db / 20)


def trapping(samples: Wave, rate: int, beeps: int) -> Wave:
    """The first 2 seconds, then so many beeps: only who listens to the end knows the number."""
    length = round(BEEP_SECONDS * rate)
    beep = (
        0.1
        * np.sin(2 * np.pi * min(BEEP_HZ, rate / 4) * np.arange(length) / rate)
        * _ramps(length, length // 8)
    )
    gap = np.zeros(round(BEEP_GAP_SECONDS * rate))
    return np.concatenate([samples[: round(BEFORE_BEEPS_SECONDS * rate)], gap, *[beep, gap] * beeps])


def headphone_trials(seed: int) -> list[tuple[str, str, str]]:
    """The six trials of the headphone check: three tones each, one ``quiet``, one ``antiphase``, one ``plain``.

    Which tone is the quietest? Over loudspeakers the two channels of the one in antiphase cancel, and it seems to be;
    over headphones the quiet one is (Woods, Siegel, Traer and McDermott, "Headphone screening to facilitate web-based
    auditory experiments", Attention, Perception & Psychophysics 79, 2017). Five of six must be right.
    """
    random = np.random.default_rng(seed)
    kinds = ("plain", "quiet", "antiphase")
    return [tuple(kinds[index] for index in random.permutation(3)) for _ in range(HEADPHONE_TRIALS)]  # type: ignore[misc]


def headphone_answers(seed: int) -> list[int]:
    """The right ones: 1 to 3."""
    return [trial.index("quiet") + 1 for trial in headphone_trials(seed)]


def headphone_wav(trial: tuple[str, str, str]) -> bytes:
    """Three tones of 200 Hz in two channels, 1 s each with 0.1 s ramps and 0.5 s between them, as WAV."""
    length = round(TONE_SECONDS * TONE_RATE)
    tone = TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(length) / TONE_RATE)
    tone *= _ramps(length, round(RAMP_SECONDS * TONE_RATE))
    gap = np.zeros((round(GAP_SECONDS * TONE_RATE), 2))
    parts: list[Wave] = []
    for kind in trial:
        own = tone * (10 ** (-QUIETER_DB / 20) if kind == "quiet" else 1.0)
        parts += [np.stack([own, -own if kind == "antiphase" else own], 1), gap]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts[:-1]), TONE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def level_wav() -> bytes:
    """Noise at the level of the clips, to set the volume by; as WAV."""
    noise = np.random.default_rng(0).standard_normal(2 * TONE_RATE)
    noise = levelled(low_anchor(noise, TONE_RATE), TONE_RATE)
    file = io.BytesIO()
    soundfile.write(file, noise, TONE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def likeness(first: Wave, second: Wave) -> float:
    """Normalised correlation, 0 to 1; that of SI-SDR, whatever the sign and level."""
    count = min(len(first), len(second))
    a, b = first[:count], second[:count]
    scale = np.sqrt((a @ a) * (b @ b))
    return float(abs(a @ b) / scale) if scale > 0 else 0.0


def matched(references: list[Wave], estimates: list[Wave]) -> list[int]:
    """For each estimate, the number (from 0) of the reference that it is; each reference is one estimate's at most.

    Estimates that are too many get numbers from ``len(references)`` on.
    """
    import itertools

    count, others = len(references), len(estimates)
    table = [[likeness(reference, estimate) for reference in references] for estimate in estimates]
    if others <= count:
        best = max(
            itertools.permutations(range(count), others),
            key=lambda order: sum(table[k][each] for k, each in enumerate(order)),
        )
        return list(best)
    chosen = max(
        itertools.permutations(range(others), count),
        key=lambda order: sum(table[each][k] for k, each in enumerate(order)),
    )
    spare = iter(range(count, others))
    return [chosen.index(k) if k in chosen else next(spare) for k in range(others)]


def _ramps(length: int, ramp: int) -> Wave:
    ramps = np.ones(length)
    if ramp:
        rise = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2
        ramps[:ramp], ramps[-ramp:] = rise, rise[::-1]
    return ramps
