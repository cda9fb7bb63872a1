"""What tasks that adapt an enhancer to one person share: what there is of the person, and how batches are drawn.

A method's file holds one such task: from ``Material`` a batch, and from that the loss of the network that is adapted.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.base.registry import Card
from unbabble.nn.kinds.separator import NeuralSeparator
from unbabble.nn.task import Task

MIXED_SNR_DB = (-5.0, 5.0)
"""Of a recording over the noise that is put to it."""
CLEAN_SNR_DB = (-5.0, 15.0)
"""Of clean speech over noise."""
DRAWS = 10
LEAST_SPEAKING = 0.3
"""Level of an excerpt in which somebody speaks, over that of all."""
EPS = 1e-8


@dataclass(frozen=True)
class Material:
    """What there is of a person, at one rate and about unit level.

    Args:
        recordings: noisy.
        estimates: a large network's, of the voice in each of them.
        voices: clean speech, if there is any.
        noises: to be put to recordings; by default what the large network takes off them.
        samples: of an excerpt.

    Raises:
        InputError: nothing as long as an excerpt.
    """

    recordings: Sequence[Float[Tensor, " time"]]
    estimates: Sequence[Float[Tensor, " time"]]
    samples: int
    voices: Sequence[Float[Tensor, " time"]] = ()
    noises: Sequence[Float[Tensor, " time"]] = field(default=())

    def __post_init__(self) -> None:
        if not self.recordings or min(map(len, self.recordings)) < self.samples:
            raise InputError("There is no recording as long as an excerpt to learn from.")
        if not self.noises:
            rest = [noisy - voice for noisy, voice in zip(self.recordings, self.estimates, strict=True)]
            object.__setattr__(self, "noises", rest)

    @cached_property
    def _shares(self) -> np.ndarray:
        lengths = np.array([len(each) for each in self.recordings], float)
        return lengths / lengths.sum()

    @cached_property
    def _level(self) -> Tensor:
        return torch.cat(list(self.estimates)).square().mean().sqrt()

    def excerpt(self, rng: np.random.Generator) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
        """Of a recording, and of the estimated voice in it: where somebody speaks, if a few draws come upon that."""
        drawn = self._draw(rng)
        for _ in range(DRAWS - 1):
            if drawn[1].square().mean().sqrt() > LEAST_SPEAKING * self._level:
                break
            drawn = self._draw(rng)
        return drawn

    def _draw(self, rng: np.random.Generator) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
        number = int(rng.choice(len(self.recordings), p=self._shares))
        start = int(rng.integers(len(self.recordings[number]) - self.samples + 1))
        here = slice(start, start + self.samples)
        return self.recordings[number][here], self.estimates[number][here]

    def noise(self, rng: np.random.Generator) -> Float[Tensor, " time"]:
        """An excerpt, which begins again where the noise ends."""
        noise = self.noises[int(rng.integers(len(self.noises)))]
        start = int(rng.integers(max(0, len(noise) - self.samples) + 1))
        noise = noise[start : start + self.samples]
        return noise.repeat(-(-self.samples // max(1, len(noise))))[: self.samples]

    def voice(self, rng: np.random.Generator) -> Float[Tensor, " time"]:
        """An excerpt of clean speech, which has silence behind it where it is short."""
        voice = self.voices[int(rng.integers(len(self.voices)))]
        voice = torch.nn.functional.pad(voice, (0, max(0, self.samples - len(voice))))
        start = int(rng.integers(len(voice) - self.samples + 1))
        return voice[start : start + self.samples]

    def clean(self, rng: np.random.Generator) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
        """Clean speech in noise, and alone."""
        voice = self.voice(rng)
        return mixed(voice, self.noise(rng), rng.uniform(*CLEAN_SNR_DB)), voice


class Drawn(NamedTuple):
    """One batch, drawn from what there is of a person.

    Attributes:
        recordings: what the task's loss takes, from noisy recordings.
        clean: clean speech in noise, and alone; None where there is none.
    """

    recordings: tuple[Tensor, ...]
    clean: tuple[Tensor, ...] | None


class AdaptationTask(Task):
    """To adapt an enhancer to one person.

    Where there is clean speech, half of each batch, and of the loss, is that speech in the noise of the recordings.

    Args:
        material: of the person.
        network: that is adapted.
        teachers: other networks, by name.
    """

    card: ClassVar[Card]

    def __init__(self, material: Material, network: NeuralSeparator, **teachers: NeuralSeparator) -> None:
        super().__init__({"network": network, **teachers})
        self.material = material

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, ...]:
        """From noisy recordings, what ``loss`` takes of so many excerpts."""

    @abstractmethod
    def loss(self, *drawn: Tensor) -> Float[Tensor, ""]:
        """Mean loss of what was drawn."""

    def drawn(self, rng: np.random.Generator, count: int) -> Drawn:
        """A batch of so many excerpts."""
        if not self.material.voices:
            return Drawn(self.draw(rng, count), None)
        clean = batched([self.material.clean(rng) for _ in range(count // 2)])
        return Drawn(self.draw(rng, count // 2), clean)

    def collate(self, items: Sequence[Drawn]) -> Drawn:
        """An item is a batch already: what is drawn for it belongs together, as pairs do."""
        (drawn,) = items
        return drawn

    def check(self, item: Any, section: str) -> None:
        """Its own items are what it needs."""

    def losses(self, player: str, batch: Drawn, step: int) -> dict[str, Tensor]:
        """Of noisy recordings, and of clean speech where there is some."""
        loss = self.loss(*batch.recordings)
        if batch.clean is None:
            return {"recordings": loss}
        mixture, voice = batch.clean
        return {"recordings": loss / 2, "clean": self.network.loss(mixture, voice[:, None]).mean() / 2}

    def after(self, step: int, batch: Any) -> None:
        """What changes in the network itself."""
        self.network.after(step)


class Batches:
    """``batches[i]``: an endless row of what a task draws; batch ``i`` depends on the seed and ``i`` alone."""

    def __init__(self, task: AdaptationTask, size: int, seed: int) -> None:
        self.task, self.size, self.seed = task, size, seed

    def __getitem__(self, number: int) -> Drawn:
        return self.task.drawn(np.random.default_rng([self.seed, number]), self.size)


def mixed(
    voice: Float[Tensor, " time"], noise: Float[Tensor, " time"], snr_db: float
) -> Float[Tensor, " time"]:
    """Both together, at this ratio."""
    gain = voice.norm() / noise.norm().clamp(min=EPS) * 10 ** (-snr_db / 20)
    return voice + gain * noise


def batched(pairs: Sequence[tuple[Tensor, ...]]) -> tuple[Float[Tensor, "batch time"], ...]:
    """What belongs to each excerpt, stacked, at the level at which its first one has unit power."""
    stacked = tuple(torch.stack(each) for each in zip(*pairs, strict=True))
    level = stacked[0].square().mean(-1, keepdim=True).sqrt().clamp(min=EPS)
    return tuple(each / level for each in stacked)


def negative_snr_db(
    estimate: Float[Tensor, "batch time"], target: Float[Tensor, "batch time"]
) -> Float[Tensor, " batch"]:
    """E of the literature: 10 log10(|s - y|^2 / |s|^2)."""
    error = (target - estimate).square().sum(-1)
    return 10 * torch.log10((error + EPS) / (target.square().sum(-1) + EPS))
