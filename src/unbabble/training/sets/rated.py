"""Speech of all qualities, and how good it is: what meters of quality learn from.

One voice in noise, as it is or enhanced by one of several networks, as strongly as drawn; its PESQ against the clean
voice.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from unbabble.base.errors import InputError, UsageError
from unbabble.data.dynamic import DynamicMixing, DynamicMixtures
from unbabble.data.sets import Data, data
from unbabble.networks import load as networks
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.signal.metrics import pesq

DRAWS = 20


class RatedItem(NamedTuple):
    """A recording, and its PESQ (wide band)."""

    waveform: Float[np.ndarray, " time"]
    rating: Float[np.ndarray, ""]


@data("rated")
@dataclass(frozen=True)
class RatedMixing(Data):
    """What meters of quality learn from.

    Args:
        enhancers: networks that return one voice, at the rate of the mixtures.
        mixing: of one talker in noise.
        untouched_share: of the items that are not enhanced.
        strength_db: by how much noise becomes softer at most, drawn between these two.

    Raises:
        UsageError: several talkers, or no enhancers.
    """

    mixing: DynamicMixing
    enhancers: tuple[str, ...]
    untouched_share: float = 0.3
    strength_db: tuple[float, float] = (3.0, 40.0)

    def __post_init__(self) -> None:
        if self.mixing.talkers != (1,) or self.mixing.microphones > 1 or not self.enhancers:
            raise UsageError("Rated mixtures: one talks, one microphone hears, and there is an enhancer.")

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz."""
        return self.mixing.sample_rate

    def open(self, seed: int) -> "RatedItems":
        """An endless row of items."""
        return RatedItems(self, seed)


class RatedItems:
    """``items[i]``: an endless row.

    Raises:
        InputError: weights that cannot be used.
        UsageError: networks that do not return one voice at this rate.
    """

    def __init__(self, data: RatedMixing, seed: int = 0) -> None:
        self.data, self.seed, self.mixtures = data, seed, DynamicMixtures(data.mixing, seed)
        self.enhancers: list[NeuralSeparator] = []
        for name in data.enhancers:
            network = networks.load(name, "enhancer").network
            if network.sample_rate != data.sample_rate:
                raise UsageError(f"'{name}' works at {network.sample_rate} Hz, not {data.sample_rate}.")
            self.enhancers.append(network)

    def __getitem__(self, index: int) -> RatedItem:
        rng = np.random.default_rng([self.seed, index])
        for _ in range(DRAWS):
            item = self.mixtures.drawn(rng).item
            waveform = self._enhanced(rng, torch.from_numpy(item.mixture))
            rating = pesq(waveform[None], torch.from_numpy(item.sources), self.data.sample_rate)[0]
            if rating.isfinite():
                return RatedItem(waveform.numpy(), rating.numpy())
        raise InputError("Rated mixtures: nothing is drawn that PESQ can rate.")

    @torch.no_grad()
    def _enhanced(
        self, rng: np.random.Generator, noisy: Float[torch.Tensor, " time"]
    ) -> Float[torch.Tensor, " time"]:
        if rng.random() < self.data.untouched_share:
            return noisy
        network = self.enhancers[int(rng.integers(len(self.enhancers)))]
        left = 10 ** (-rng.uniform(*self.data.strength_db) / 20)
        voice = network.estimate(noisy[None])[0, 0]
        return voice + left * (noisy - voice)
