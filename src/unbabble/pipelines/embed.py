"""Who speaks in a recording of one person, as a vector: where somebody speaks and just around it.

Vectors are of unit norm, and near to each other where the same person speaks. A long recording is embedded by the half
minute, so that its memory is that of one; its vector is the mean of those, weighed by how much is said in each.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unbabble.base.audio import Audio, Source, resample
from unbabble.base.errors import InputError
from unbabble.base.weights import packaged
from unbabble.networks import load as networks
from unbabble.networks.device import choose_device
from unbabble.nn.kinds.embedder import NeuralEmbedder
from unbabble.pipelines.recording import Recording
from unbabble.signal.activity import FRAME_SECONDS, is_speech
from unbabble.signal.rumble import without_rumble

AUTO, KIND = "auto", "embedder"
DEFAULTS = ("ecapa_tdnn.16k", "xvector.8k")
"""What ``auto`` is: the first of these that is installed."""
PIECE_SECONDS = 30.0
DETECTABLE_SECONDS = 1.5
"""In shorter recordings speech is not looked for: in one of twelve seconds of dev speakers none would be detected, and
in 37 of 60 half seconds."""
LEAST_SECONDS = 0.2
"""Of a recording: less is no syllable. What is alike in clicks is that they are short: 10 ms of one person and a single
sample of the same had a likeness of 0.96 (packaged ECAPA-TDNN), which was called one person with 99.9 %."""
MARGIN_SECONDS = 0.3
"""Before and behind what is said, which is heard too. Equal error rates of dev speakers by a trained ECAPA-TDNN: 16.6 %
so, 17.7 by speech alone, 16.4 by whole utterances; with four seconds of near silence on either side of most of them
17.7 so, 20.6 by all of it."""
ENOUGH_SECONDS = 2.0
"""Of speech; with 1.5 s there are up to half as many errors again as with 3 (benchmark ``verification``)."""


@dataclass(frozen=True)
class Voice:
    """A person's voice, as an embedder hears it.

    Attributes:
        vector: of unit norm.
        speech_seconds: how much is said; 0 where no speech was detected, and all else was embedded.
    """

    vector: Float[np.ndarray, " dimension"]
    speech_seconds: float
    of_sounds: bool = False
    """The embedder hears sounds of any kind, and all of a recording."""

    @property
    def warnings(self) -> list[str]:
        """What the user should know of it."""
        if self.of_sounds:
            return []
        if not self.speech_seconds:
            return ["Nobody seems to speak in it: its vector says little."]
        if self.speech_seconds < ENOUGH_SECONDS:
            return [
                f"Only {self.speech_seconds:.1f} s of speech: who it is remains unsure; {ENOUGH_SECONDS:g} s and "
                "more are better."
            ]
        return []

    @classmethod
    def mean(cls, voices: "Iterable[Voice]") -> "Voice":
        """The voice of one person who speaks in several recordings, which count alike.

        Raises:
            ValueError: there is none.
        """
        each = list(voices)
        if not each:
            raise ValueError("A voice needs a recording.")
        total = np.sum([voice.vector for voice in each], axis=0)
        return cls(_unit(total), sum(voice.speech_seconds for voice in each))


@dataclass(frozen=True)
class Embedder:
    """A network that tells speakers apart, for recordings of any length.

    Attributes:
        name: of the model.
        network: with its weights, on its device.
    """

    name: str
    network: NeuralEmbedder

    def __call__(
        self, source: Recording | Tensor | Audio | Source, sample_rate: int | None = None
    ) -> Float[Tensor, " dimension"]:
        """The vector of a recording of one person.

        Args:
            source: (channel, time) or (time,) as a tensor or array, or a path, bytes, file object, Audio or Recording.
            sample_rate: Hz; needed for tensors.

        Raises:
            InputError: the recording cannot be read, is silent, or is shorter than ``LEAST_SECONDS``.
            UsageError: a tensor without its rate.
        """
        return torch.from_numpy(self.voice(Recording.of(source, sample_rate)).vector)

    def voice(self, recording: Recording) -> Voice:
        """The voice in a recording of one person, in its loudest channel; of a whole one where nobody speaks.

        Raises:
            InputError: the recording cannot be read, is silent, or is shorter than ``LEAST_SECONDS``.
        """
        if recording.seconds < LEAST_SECONDS:
            raise InputError(
                f"The recording is {recording.seconds:.3g} s long: nobody can be told by less than {LEAST_SECONDS:g} s."
            )
        rate = self.network.sample_rate
        spoken, other = [], []
        sounds = self.network.EVERYTHING
        short = sounds or recording.seconds < DETECTABLE_SECONDS
        for block in recording.blocks(PIECE_SECONDS):
            loudest = without_rumble(block, recording.sample_rate)[0]
            samples = loudest[loudest.square().sum(1).argmax()]
            if not samples.any():
                continue
            samples = resample(samples, recording.sample_rate, rate)
            speech = is_speech(samples, rate) if not sounds else torch.zeros(1, dtype=torch.bool)
            if short or not speech.any():
                (spoken if short else other).append((self._vector(samples), len(samples) / rate))
            else:
                kept = samples[with_margins(speech, len(samples), rate)]
                spoken.append((self._vector(kept), float(speech.sum()) * FRAME_SECONDS))
        if not spoken and not other:
            raise InputError("The recording is silent.")
        pieces = spoken or other
        total = np.sum([seconds * vector for vector, seconds in pieces], axis=0)
        return Voice(_unit(total), sum(seconds for _, seconds in spoken), sounds)

    @torch.no_grad()
    def _vector(self, samples: Float[Tensor, " time"]) -> Float[np.ndarray, " dimension"]:
        device = next(self.network.parameters()).device
        return self.network(samples[None].to(device))[0].cpu().numpy()


def _unit(vector: Float[np.ndarray, " dimension"]) -> Float[np.ndarray, " dimension"]:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)


def with_margins(speech: Bool[Tensor, " frame"], samples: int, rate: int) -> Bool[Tensor, " sample"]:
    """Of each sample, whether it is in a frame of speech, or near one; what is left at the end is as the last frame."""
    reach = round(MARGIN_SECONDS / FRAME_SECONDS)
    near = torch.nn.functional.max_pool1d(speech.float()[None], 2 * reach + 1, 1, reach)[0] > 0
    place = (torch.arange(samples) / (rate * FRAME_SECONDS)).long().clamp(max=len(speech) - 1)
    return near[place]


def embedder_name(name: str = AUTO) -> str:
    """``auto`` becomes the best embedder that is installed.

    Raises:
        InputError: ``auto``, and none is installed.
    """
    if name != AUTO:
        return name
    for each in DEFAULTS:
        if each in packaged():
            return each
    raise InputError("Nothing that tells speakers apart is installed: name a model (`unbabble models`).")


def load_embedder(name: str = AUTO, device: str = "auto", **options: Any) -> Embedder:
    """The embedder called ``name``.

    Args:
        name: a packaged model, a file, a folder, one of the Hub, or ``auto``.
        device: where it computes.
        options: of the model.

    Raises:
        InputError: weights that are missing or damaged; nothing installed for ``auto``.
        UsageError: no such model, option or device, or one that does something else.
    """
    name = embedder_name(name)
    return Embedder(name, networks.ready(name, choose_device(device), KIND, **options))
