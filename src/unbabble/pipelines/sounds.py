"""Recordings of whatever sound as vectors, one for each of the windows that they are cut into.

Networks that embed hear a few seconds at once. A recording of any length is read in blocks of windows, so that its
memory is that of one block; the last window of a recording ends with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.audio import Audio, Source, resample, with_last
from unbabble.base.errors import InputError, UsageError
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.nn.kinds.classifier import NeuralClassifier
from unbabble.pipelines.class_names import ClassNames
from unbabble.pipelines.recording import Recording

AUTO = "auto"
DEFAULTS = ("clap.sounds_16k",)
"""What ``auto`` is: the first of these that is installed."""
FINDING = ("joint embedder", "embedder", "classifier")
NAMING = ("classifier", "joint embedder")
"""Kinds of models that find what is like a query, and that name what is heard."""
WINDOW_SECONDS = 5.0
"""Of a window, where a network does not say how much it is best given at once."""
STEPS_PER_WINDOW = 2
STEPS_PER_BLOCK = 24


@dataclass(frozen=True)
class Windows:
    """The windows of a recording that carry sound.

    Attributes:
        starts: seconds from the recording's beginning.
        vectors: of unit norm.
    """

    starts: Float[np.ndarray, " window"]
    vectors: Float[np.ndarray, "window dimension"]

    def mean(self) -> Float[np.ndarray, " dimension"]:
        """One vector for all, of unit norm.

        Raises:
            InputError: the recording is silent.
        """
        if not len(self.vectors):
            raise InputError("The recording is silent.")
        total = self.vectors.sum(0)
        return total / max(float(np.linalg.norm(total)), 1e-12)


@dataclass(frozen=True)
class SoundEmbedder:
    """A network that embeds, for recordings of any length.

    Attributes:
        name: of the model.
        network: with its weights, on its device.
        window_seconds: how much it is given at once.
    """

    name: str
    network: Any
    window_seconds: float

    def __call__(
        self, source: Recording | Tensor | Audio | Source, sample_rate: int | None = None
    ) -> Float[Tensor, " dimension"]:
        """The vector of a recording, near to those of words that describe it (``words``).

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            sample_rate: Hz; needed for tensors.

        Raises:
            InputError: the recording cannot be read, or is silent.
            UsageError: a tensor without its rate.
        """
        return torch.from_numpy(self.windows(Recording.of(source, sample_rate)).mean())

    @property
    def step_seconds(self) -> float:
        """From the beginning of a window to that of the next."""
        return self.window_seconds / STEPS_PER_WINDOW

    @property
    def reads_words(self) -> bool:
        """Whether it embeds texts, too."""
        return hasattr(self.network, "embed_text")

    def windows(self, recording: Recording) -> Windows:
        """The vectors of a recording, of its channel that is loudest at the time.

        Raises:
            InputError: the recording cannot be read.
        """
        starts: list[float] = []
        vectors: list[np.ndarray] = []
        rate = self.network.sample_rate
        for at, samples, last in self._blocks(recording):
            lively = [
                start for start in self._cut(samples, last) if samples[start : start + self._length].any()
            ]
            if not lively:
                continue
            batch = torch.stack([samples[start : start + self._length] for start in lively])
            starts += [at + start / rate for start in lively]
            vectors.append(self._embedded(batch))
        if not vectors:
            return Windows(np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        return Windows(np.array(starts, np.float32), np.concatenate(vectors))

    def words(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        """The vector of each text, of unit norm.

        Raises:
            InputError: a text of which nothing can be read.
            UsageError: the network embeds no texts.
        """
        if not self.reads_words:
            raise UsageError(
                f"Model '{self.name}' knows no words, only what is like a recording: `unbabble find --like`."
            )
        return _unit(self.network.embed_text(list(texts)).cpu().numpy())

    @property
    def _length(self) -> int:
        return round(self.window_seconds * self.network.sample_rate)

    def _blocks(self, recording: Recording) -> Iterator[tuple[float, Float[Tensor, " time"], bool]]:
        """Stretches of a recording, each with when it begins and whether it is the last; two share one window."""
        between = STEPS_PER_BLOCK * self.step_seconds
        blocks = recording.blocks(self.window_seconds + between, self.window_seconds)
        for number, (samples, last) in enumerate(with_last(blocks)):
            loudest = samples[samples.square().sum(1).argmax()]
            yield (
                number * between,
                resample(loudest, recording.sample_rate, self.network.sample_rate),
                last,
            )

    def _cut(self, samples: Float[Tensor, " time"], last: bool) -> list[int]:
        """Where windows begin: every step, and where the recording ends, one that ends with it."""
        step = round(self.step_seconds * self.network.sample_rate)
        if not last:
            return [number * step for number in range(STEPS_PER_BLOCK)]
        end = max(0, len(samples) - self._length)
        starts = list(range(0, end + 1, step))
        return starts if starts[-1] == end else [*starts, end]

    @torch.no_grad()
    def _embedded(self, batch: Float[Tensor, "window time"]) -> Float[np.ndarray, "window dimension"]:
        device = next(self.network.parameters()).device
        return _unit(self.network(batch.to(device)).cpu().numpy())


def _unit(vectors: Float[np.ndarray, "row dimension"]) -> Float[np.ndarray, "row dimension"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def sound_model(name: str = AUTO) -> str:
    """``auto`` becomes the best model that finds sounds and is installed.

    Raises:
        UsageError: ``auto``, and none is packaged.
    """
    if name != AUTO:
        return name
    for each in DEFAULTS:
        if each in packaged():
            return each
    raise UsageError("No model that finds sounds is packaged: name a file or a folder by --model.")


def load_sounds(
    name: str = AUTO, device: str = "auto", kinds: Sequence[str] = FINDING, **options: Any
) -> SoundEmbedder:
    """The joint embedder, or else embedder or classifier, called ``name``.

    Args:
        name: a packaged model, a file, a folder, one of the Hub, or ``auto``.
        device: where it computes.
        kinds: what it may be.
        options: of the model.

    Raises:
        InputError: weights that are missing or damaged.
        UsageError: no such model, option or device, or one that does something else; nothing packaged for ``auto``.
    """
    name = sound_model(name)
    network: Any = networks.ready(name, choose_device(device), *kinds, **options)
    if isinstance(network, NeuralClassifier):
        network = ClassNames(network).eval()
    return SoundEmbedder(name, network, getattr(network, "window_seconds", WINDOW_SECONDS))
