"""What is computed of a cry: statistics of its spectrum, with and without what microphones decide, and vectors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from unbabble.networks import load as networks
from unbabble.nn.decibel_mel import DecibelMel
from unbabble.nn.kinds.classifier import levelled

RATE, BANDS = 8000, 40
QUIET_SHARE = 0.1
STATISTICS, MEANS, BACKGROUND, CENTRED = (
    "mel statistics",
    "mel means alone",
    "background alone",
    "mel statistics without means",
)
MEL = DecibelMel(BANDS, RATE, points=256)


class Ear(NamedTuple):
    """What makes vectors of a recording.

    Attributes:
        sample_rate: Hz.
        vectors: of samples, by name.
        learnt: whether a network has learnt them, so that their cosines mean something as they are.
    """

    sample_rate: int
    vectors: Callable[[Float[np.ndarray, " time"]], dict[str, Float[np.ndarray, " number"]]]
    learnt: bool


def spectral(samples: Float[np.ndarray, " time"]) -> dict[str, Float[np.ndarray, " number"]]:
    """Statistics over time of log mel bands.

    Means are what a microphone, a room and the distance add to; the mean of the quietest tenth of the frames is of
    what surrounds a cry; deviation, upper decile less mean, and mean change are free of any constant filter.
    """
    level = np.sqrt(np.mean(samples**2)) or 1.0
    bands = MEL(torch.from_numpy(samples / level).float()[None])[0].numpy()
    mean, spread = bands.mean(0), bands.std(0)
    high, change = np.quantile(bands, 0.9, axis=0), np.abs(np.diff(bands, axis=0)).mean(0)
    loudness = bands.mean(1)
    quiet = bands[loudness <= np.quantile(loudness, QUIET_SHARE)].mean(0)
    return {
        STATISTICS: np.concatenate([mean, spread, high, change]),
        CENTRED: np.concatenate([spread, high - mean, change]),
        MEANS: mean,
        BACKGROUND: quiet,
    }


def network(path: str, name: str) -> Ear:
    """A model that tells speakers apart, or what the last layer of one decides by that names sounds.

    Args:
        path: a packaged model, or a file of weights.
        name: how its vectors are called.
    """
    loaded = networks.load(path, "embedder", "classifier")
    net = loaded.network.eval()

    def vectors(samples: Float[np.ndarray, " time"]) -> dict[str, Float[np.ndarray, " number"]]:
        waveform = torch.from_numpy(samples)[None].float()
        with torch.no_grad():
            heard = net(waveform) if loaded.kind.name == "embedder" else net.represent(levelled(waveform))
        return {name: heard[0].numpy()}

    return Ear(net.sample_rate, vectors, True)


SPECTRAL = Ear(RATE, spectral, False)
