"""What every neural separator shares: levels, microphones, the order of the voices, its own options.

A method's file holds its network and its loss; it implements ``estimate``, from a batch of mixtures to a batch of
sources, and may override ``loss``.
"""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.base.errors import InputError
from unbabble.nn.kinds.network import Network
from unbabble.nn.losses import SOFT_DB, separation_loss
from unbabble.signal.level import check_mixture, live_channel, loudest_first, restore_level, unit_level
from unbabble.signal.metrics import si_sdr
from unbabble.signal.permutation import align, best_permutation

RIDGE = 1e-3
"""Relative load of the fit of levels, so that voices that are nearly the same do not come out loud and opposite."""


class NeuralSeparator(Network):
    """A network that separates the recording of one microphone.

    Args:
        sources: how many voices it returns.
        sample_rate: Hz, that of its training data.
        levels: ``kept`` for a network that was trained to return voices at their own level; ``fitted`` scales each
            voice so that all together come nearest to the mixture (scale-invariant losses leave the level open).
        reference: the microphone that is listened to, where there are several.

    """

    FIGURE = ("si_snri_db", "SI-SNR improvement {:.2f} dB")
    TASK: ClassVar[str] = "separation"
    min_channels = 1

    def __init__(
        self,
        *,
        sources: int = 2,
        sample_rate: int = 8000,
        levels: Literal["fitted", "kept"] = "fitted",
        reference: int = 0,
    ) -> None:
        super().__init__(sources=sources, sample_rate=sample_rate)
        self.levels, self.reference, self.max_sources = levels, reference, sources
        self.warnings: list[str] = []

    @abstractmethod
    def estimate(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source time"]:
        """The network itself: differentiable, for mixtures of any length at about unit level."""

    def loss(
        self,
        mixture: Float[Tensor, "batch time"],
        sources: Float[Tensor, "batch source time"],
        *,
        soft_db: float = SOFT_DB,
        fixed_order: bool = False,
    ) -> Float[Tensor, " batch"]:
        """Training loss of each item: ``separation_loss``, where the paper has no other.

        Args:
            mixture: at about unit level.
            sources: all zeros for who does not speak.
            soft_db: ratio beyond which a voice gains little from being better still.
            fixed_order: output k stands for source k.
        """
        return separation_loss(
            self.estimate(mixture),
            sources,
            mixture,
            scale_invariance=1.0 if self.levels == "fitted" else 0.5,
            soft_db=soft_db,
            fixed_order=fixed_order,
        )

    def figure(
        self,
        mixture: Float[Tensor, "1 time"],
        sources: Float[Tensor, "1 source time"],
        *,
        outputs: int | None = None,
    ) -> float:
        """SI-SNR improvement in dB, where there is something to separate: two talk, or one in noise.

        Args:
            mixture: at about unit level.
            sources: all zeros for who does not speak.
            outputs: so many of the network's, from the first on, are voices; all of them by default.
        """
        present = sources[:, sources[0].abs().amax(-1) > 0]
        count = outputs or self.sources
        if present.shape[1] < min(2, count):
            return math.nan
        estimated = align(self.estimate(mixture)[:, :count], present).scores.mean()
        return float(estimated - si_sdr(mixture[:, None], present).mean())

    def forward(
        self,
        mixture: Float[Tensor, "batch channel time"],
        *,
        images: bool = False,
        sample_rate: int | None = None,
        **side: object,
    ) -> Float[Tensor, "batch source ..."]:
        """Separate each recording by its reference microphone; the ``Separator`` contract.

        Args:
            mixture: finite samples, any level.
            images: separate every microphone, and return (batch, source, channel, time).
            sample_rate: Hz of ``mixture``; the hub sees to it that it is the network's own.
            side: not used.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(mixture, self.min_channels)
        if not 0 <= self.reference < mixture.shape[1]:
            raise InputError(
                f"There is no microphone {self.reference}: the recording has {mixture.shape[1]}."
            )
        unit, exponents = unit_level(mixture)
        sources = torch.stack([self._images(item, images) for item in unit])
        return restore_level(sources, exponents)

    def _images(self, channels: Float[Tensor, "channel time"], images: bool) -> Tensor:
        reference = live_channel(channels, self.reference)
        sources = self._voices(channels[reference])
        sources = sources[loudest_first(sources)]
        if not images:
            return sources
        everywhere = sources.new_zeros(len(sources), *channels.shape)
        everywhere[:, reference] = sources
        for number, channel in enumerate(channels):
            if number == reference or not channel.any():
                continue
            voices = self._voices(channel)
            everywhere[:, number] = voices[best_permutation((voices @ sources.mT).abs())]
        return everywhere

    def _voices(self, channel: Float[Tensor, " time"]) -> Float[Tensor, "source time"]:
        centred = channel - channel.mean()
        level = centred.square().mean().sqrt()
        if not level > 0:
            return channel.new_zeros(self.sources, len(channel))
        centred = centred / level
        with torch.no_grad():
            voices = self.estimate(centred[None])[0].to(channel)
        return level * (voices if self.levels == "kept" else fit_levels(voices, centred))


def fit_levels(
    voices: Float[Tensor, "source time"], mixture: Float[Tensor, " time"]
) -> Float[Tensor, "source time"]:
    """Each voice times the number that brings their sum nearest to ``mixture`` (least squares)."""
    voices = voices / voices.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    gram = voices @ voices.mT
    load = RIDGE * torch.eye(len(voices)).to(voices)
    gains = torch.linalg.solve(gram + load, voices @ mixture)
    return gains[:, None] * voices
