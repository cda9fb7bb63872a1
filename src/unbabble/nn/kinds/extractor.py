"""What every network that brings one enrolled person out of a recording shares: levels, microphones, its loss.

A method's file holds its network; it implements ``enroll``, from recordings of people to what it knows of them, and
``extract``, from mixtures and that to voices.
"""

import math
from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import InputError, UsageError
from unbabble.nn.kinds.network import Network
from unbabble.nn.losses import SOFT_DB, separation_loss
from unbabble.signal.level import check_mixture, live_channel, restore_level, unit_level
from unbabble.signal.metrics import si_sdr

Person = Float[Tensor, "batch place dimension"]
"""What a network knows of a person: one vector, or several."""


class NeuralExtractor(Network):
    """A network that extracts one person's voice from the recording of one microphone.

    Args:
        sample_rate: Hz, that of its training data.
        reference: the microphone that is listened to, where there are several.
    """

    FIGURE = ("si_snri_db", "SI-SNR improvement {:.2f} dB")
    ITEM = ("mixture", "enrollment", "sources")
    min_channels, max_sources = 1, 1

    def __init__(self, *, sample_rate: int = 8000, reference: int = 0) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)
        self.reference = reference
        self.warnings: list[str] = []

    @abstractmethod
    def enroll(self, enrollment: Float[Tensor, "batch time"]) -> Person:
        """What is known of each person by a recording at about unit level: differentiable, any length."""

    @abstractmethod
    def extract(self, mixture: Float[Tensor, "batch time"], person: Person) -> Float[Tensor, "batch time"]:
        """The network itself: differentiable, for mixtures of any length at about unit level."""

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        enrollment: Float[Tensor, "batch sample"],
        sources: Float[Tensor, "batch 1 time"],
        *,
        soft_db: float = SOFT_DB,
    ) -> Float[Tensor, " batch"]:
        """Half SI-SNR, half SNR; of someone who does not talk, how loud the voice is."""
        voice = self.extract(mixture, self.enroll(enrollment))[:, None]
        return separation_loss(voice, sources, mixture, scale_invariance=0.5, soft_db=soft_db)

    def figure(
        self,
        mixture: Float[Tensor, "1 time"],
        enrollment: Float[Tensor, "1 sample"],
        sources: Float[Tensor, "1 1 time"],
    ) -> float:
        """SI-SNR improvement in dB, where the person talks."""
        if not sources.any():
            return math.nan
        voice = self.extract(mixture, self.enroll(enrollment))[:, None]
        return float(si_sdr(voice, sources) - si_sdr(mixture[:, None], sources))

    @torch.no_grad()
    def enrolled(self, enrollment: Float[Tensor, " time"]) -> Person:
        """What is known of a person by a recording at any level.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(enrollment[None, None])
        centred = enrollment - enrollment.mean()
        return self.enroll((centred / centred.square().mean().sqrt().clamp(min=1e-20))[None])

    def forward(
        self,
        mixture: Float[Tensor, "batch channel time"],
        *,
        enrollment: Float[Tensor, " time"] | None = None,
        person: Person | None = None,
        sample_rate: int | None = None,
        **side: object,
    ) -> Float[Tensor, "batch 1 time"]:
        """Extract a person from each recording, by its reference microphone; the ``Separator`` contract.

        Args:
            mixture: finite samples, any level.
            enrollment: a recording of the person alone.
            person: in its place, what ``enrolled`` made of it.
            sample_rate: Hz of ``mixture``; the caller sees to it that it is the network's own.
            side: not used.

        Raises:
            InputError: not finite, silent, or no samples.
            UsageError: nobody is enrolled.
        """
        check_mixture(mixture, self.min_channels)
        if not 0 <= self.reference < mixture.shape[1]:
            raise InputError(
                f"There is no microphone {self.reference}: the recording has {mixture.shape[1]}."
            )
        if person is None:
            if enrollment is None:
                raise UsageError("An extractor needs an enrollment: a recording of the person alone.")
            person = self.enrolled(enrollment)
        unit, exponents = unit_level(mixture)
        voices = [self._voice(item[live_channel(item, self.reference)], person) for item in unit]
        return restore_level(torch.stack(voices)[:, None], exponents)

    def _voice(self, channel: Float[Tensor, " time"], person: Person) -> Float[Tensor, " time"]:
        centred = channel - channel.mean()
        level = centred.square().mean().sqrt()
        if not level > 0:
            return torch.zeros_like(channel)
        with torch.no_grad():
            return level * self.extract((centred / level)[None], person)[0].to(channel)
