"""What every network that counts talkers shares: levels, classes of talkers, its loss.

A method's file holds its network; it implements ``logits``, from mixtures to classes.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_samples, unit_level


class NeuralCounter(Network):
    """A network that classifies recordings by the number of their talkers.

    Args:
        sources: the most talkers that it tells apart.
        sample_rate: Hz, that of its training data.
    """

    FIGURE = ("right", "{:.0%} counted right")

    @property
    def talkers(self) -> tuple[int, ...]:
        """Any number that it tells apart."""
        return tuple(range(1, self.sources + 1))

    @abstractmethod
    def logits(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source"]:
        """The network itself: unnormalised log-probabilities of 1, 2 ... talkers; differentiable, any length."""

    def forward(self, mixture: Float[Tensor, "batch time"]) -> Float[Tensor, "batch source"]:
        """Probabilities of 1, 2 ... talkers; the ``Counter`` contract.

        Args:
            mixture: finite samples, any level; of silence, too, somebody is taken to talk.

        Raises:
            InputError: not finite, or no samples.
        """
        check_samples(mixture[:, None])
        with torch.no_grad():
            centred = mixture - mixture.mean(-1, keepdim=True)
            level = unit_level(centred[:, None])[0][:, 0]
            level = level / level.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-30)
            return self.logits(level).float().softmax(-1)

    def loss(
        self, mixture: Float[Tensor, "batch time"], sources: Float[Tensor, "batch source time"]
    ) -> Float[Tensor, " batch"]:
        """Cross entropy."""
        return nn.functional.cross_entropy(self.logits(mixture).float(), _classes(sources), reduction="none")

    def figure(self, mixture: Float[Tensor, "1 time"], sources: Float[Tensor, "1 source time"]) -> float:
        """1 where the number is right, 0 where it is wrong."""
        return float(self.logits(mixture).argmax(-1) == _classes(sources))


def _classes(sources: Float[Tensor, "batch source time"]) -> Int[Tensor, " batch"]:
    """Number of talkers less one; a source that is all zeros does not speak."""
    return (sources.abs().amax(-1) > 0).sum(-1).clamp(min=1) - 1
