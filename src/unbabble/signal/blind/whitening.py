"""Decorrelate the channels of every frequency, and find out how many of them are independent."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Int
from torch import Tensor

SILENT_BIN = 1e-8
"""A frequency whose power is below this fraction (-80 dB) of the mean carries rounding noise: it is left out."""
RANK_TOLERANCE = 1e-9
"""A direction weaker than this (-90 dB) against the strongest one is a copy of others, not a microphone."""
BINS_AT_ONCE = 128


@dataclass
class Whitened:
    """A mixture with unit covariance at each of its audible frequencies.

    Attributes:
        spectrogram: (frequency, channel, frame), strongest principal component first.
        transform: (frequency, channel, microphone): spectrogram = transform @ mixture.
        bins: which frequencies of the mixture these are.
    """

    spectrogram: Complex[Tensor, "frequency channel frame"]
    transform: Complex[Tensor, "frequency channel microphone"]
    bins: Int[Tensor, " frequency"]


def whiten(mixture: Complex[Tensor, "microphone frequency frame"], channels: int | None = None) -> Whitened:
    """Principal components of each frequency, scaled to unit power.

    Args:
        mixture: spectrograms of the microphones.
        channels: how many components to keep; by default as many as there are independent microphones, that is
            directions above ``RANK_TOLERANCE`` at most audible frequencies.
    """
    frames = mixture.shape[-1]
    x = mixture.transpose(0, 1)
    power = x.abs().square().mean((1, 2))
    bins = (power > SILENT_BIN * power.mean()).nonzero()[:, 0]
    x = x[bins]
    # In double precision, whose rounding is below the rank tolerance; in parts, which stay in the cache.
    parts = (part.to(torch.complex128) for part in x.split(BINS_AT_ONCE))
    covariance = torch.cat([part @ part.mH for part in parts]) / frames
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(1), vectors.flip(2)
    floor = RANK_TOLERANCE * values[:, :1]
    if channels is None:
        channels = int((values > floor).sum(1).median())
    scale = torch.maximum(values[:, :channels], floor).rsqrt()
    transform = (vectors[:, :, :channels] * scale[:, None]).mH.to(x.dtype)
    return Whitened(transform @ x, transform, bins)
