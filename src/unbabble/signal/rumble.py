"""What a recording has below the lowest sound: the constant offset of its electronics, the rumble of wind and engines.

Nobody hears it, but a separator does: an offset is there in every frame of a recording, as no talker is, and what
rises and falls with it decides how frequencies are put together. So it is removed before anything is learnt from a
recording, where there is enough of it to matter; a recording without stays as it is, sample by sample.
"""

import math
from typing import NamedTuple, Self

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from unbabble.signal.stft import Stft

LOWEST_HERTZ = 20.0
"""What is lower is no sound."""
ORDER = 4
"""Of the Butterworth filter, which is run forwards and backwards: no phase is changed, and 8 Hz become 64 dB softer."""
MATERIAL_DB = (-25.0, -15.0)
"""An offset, and rumble, that are softer than this beside the sound of the same microphone do little harm: at these
levels, two talkers separated by ``ilrma`` lose .1 and .5 dB, at -10 dB 2 and 1.7. Measured rooms have up to -30."""
LEAST_SECONDS = 0.25
"""In less, five periods of the lowest sound, what is an offset and what is sound cannot be told apart."""
LEAST_RATE = 2000
"""Hz; below, a recording holds little besides."""
PADDING_SECONDS = 0.25
LIVE_SECONDS = 0.5
"""Of a stream, before it is decided."""
OFFSET_BINS = 2
"""Of a Hann window's transform, which a constant reaches."""


class Inaudible(NamedTuple):
    """What a recording has that is no sound, and whether it is enough to matter."""

    offset: bool
    rumble: bool

    @classmethod
    def of(
        cls,
        offset: Float[Tensor, " channel"],
        rumble: Float[Tensor, " channel"],
        sound: Float[Tensor, " channel"],
    ) -> Self:
        """What matters in any channel, by the powers of the three."""
        parts = zip((offset, rumble), MATERIAL_DB, strict=True)
        return cls(*(bool((power > 10 ** (least_db / 10) * sound).any()) for power, least_db in parts))

    @property
    def warning(self) -> str:
        """What was done about it, in one sentence; empty where nothing was."""
        kinds = ["a constant offset"] * self.offset + [f"rumble below {LOWEST_HERTZ:g} Hz"] * self.rumble
        if not kinds:
            return ""
        text = f"{' and '.join(kinds)} {'were' if len(kinds) > 1 else 'was'} removed first: that is no sound."
        return text[0].upper() + text[1:]


def without_rumble(
    samples: Float[Tensor, "channel time"], sample_rate: int
) -> tuple[Float[Tensor, "channel time"], Inaudible]:
    """The recording without its offset and rumble, if these matter in any channel; else ``samples`` themselves.

    Args:
        samples: at any level.
        sample_rate: Hz.

    Returns:
        The samples, and what was removed.
    """
    if samples.shape[-1] < LEAST_SECONDS * sample_rate or sample_rate < LEAST_RATE:
        return samples, Inaudible(False, False)
    means = samples.double().mean(-1, keepdim=True)
    centred = samples.double() - means
    sound = _high_pass(centred, sample_rate)
    powers = [each.square().mean(-1) for each in (means, centred - sound, sound)]
    inaudible = Inaudible.of(*powers)
    if not any(inaudible):
        return samples, inaudible
    return (sound if inaudible.rumble else centred).to(samples.dtype), inaudible


def _high_pass(samples: Float[Tensor, "channel time"], sample_rate: int) -> Float[Tensor, "channel time"]:
    """A Butterworth filter run forwards and backwards, by its gain, as its phase is none.

    Both ends go on as their reflections through the last sample, and fade within the silence that the transform needs.
    """
    length = samples.shape[-1]
    padding = min(length - 1, round(PADDING_SECONDS * sample_rate))
    before = 2 * samples[:, :1] - samples[:, 1 : padding + 1].flip(-1)
    after = 2 * samples[:, -1:] - samples[:, -padding - 1 : -1].flip(-1)
    padded = torch.cat([before, samples, after], -1)
    size = _fast_length(padded.shape[-1] + 2 * round(PADDING_SECONDS * sample_rate))
    hertz = torch.fft.rfftfreq(size, 1 / sample_rate, dtype=torch.float64)
    gain = 1 / (1 + (LOWEST_HERTZ / hertz.clamp_min(1e-9)) ** (2 * ORDER))
    filtered = torch.fft.irfft(torch.fft.rfft(padded, size) * gain, size)
    return filtered[:, padding : padding + length]


def _fast_length(least: int) -> int:
    """The shortest length from ``least`` on whose only factors are 2, 3 and 5."""
    best = 1 << (least - 1).bit_length()
    for threes in (1, 3, 9, 27):
        for fives in (1, 5, 25, 125):
            rest = -(-least // (threes * fives))
            best = min(best, threes * fives << (rest - 1).bit_length())
    return best


class LiveRumble:
    """The same for a stream of spectra: weighed frame by frame and, from when it matters on, removed.

    Windows so short that the lowest frequencies of a frame hold sound do not tell: with these nothing is removed.

    Args:
        stft: makes the frames.
        sample_rate: Hz.

    Attributes:
        removes: whether it matters.
        level: (channel,), mean of the last frame, where it is removed; else zero.
    """

    def __init__(self, stft: Stft, sample_rate: int) -> None:
        self._stft = stft
        self._inaudible = math.ceil(LOWEST_HERTZ * stft.window_length / sample_rate)
        tells = (
            self._inaudible >= 2 * OFFSET_BINS
        )  # a Hann window spreads what is heard over as many bins more
        self._least = LIVE_SECONDS * sample_rate / stft.hop_length if tells else math.inf
        self.restart()

    def restart(self) -> None:
        """Forget what was weighed."""
        self._offset, self._rumble, self._sound = torch.zeros(3, 1, dtype=torch.float64)
        self._frames, self.removes = 0, False
        self.level = torch.zeros(1)

    def weigh(self, frame: Complex[Tensor, "channel frequency"]) -> None:
        """Take account of a frame."""
        powers = frame.abs().square().double()
        self._offset = self._offset + powers[:, :OFFSET_BINS].sum(1)
        self._rumble = self._rumble + powers[:, OFFSET_BINS : self._inaudible].sum(1)
        self._sound = self._sound + powers[:, self._inaudible :].sum(1)
        self._frames += 1

    def decide(self) -> str:
        """Whether it is to be removed from now on; what is then to be said, once, in a sentence."""
        inaudible = Inaudible.of(self._offset, self._rumble, self._sound)
        if self.removes or self._frames < self._least or not any(inaudible):
            return ""
        self.removes = True
        return inaudible.warning

    def removed(self, frame: Complex[Tensor, "channel frequency"]) -> Complex[Tensor, "channel frequency"]:
        """A frame without what is no sound, where that is removed."""
        if not self.removes:
            return frame
        self.level = self._mean(frame)
        frame = frame.clone()
        frame[:, : self._inaudible] = 0
        return frame

    def without_onset(self, frames: list[Tensor]) -> list[Tensor]:
        """The first frames of a stream without the step from the zeros before it to an offset."""
        window, hop = self._stft.window.float(), self._stft.hop_length
        partial = len(window) // hop - 1
        if len(frames) > partial:
            mean = self._mean(frames[partial])[:, None]
            for number in range(partial):
                part = window.clone()
                part[: len(window) - (number + 1) * hop] = 0
                frames[number] = frames[number] - mean * torch.fft.rfft(part)
        return frames

    def _mean(self, frame: Tensor) -> Float[Tensor, " channel"]:
        return (frame[:, 0].real / self._stft.window.sum()).float()
