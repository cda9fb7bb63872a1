"""What every network that says something of a recording in a number shares: what it refuses.

A method's file holds its network, its loss and its figure; it implements ``measure``, from recordings to numbers.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_mixture


class NeuralMeter(Network):
    """A network that measures recordings of one voice.

    Args:
        sample_rate: Hz, that of its training data.
    """

    def __init__(self, *, sample_rate: int = 16000) -> None:
        super().__init__(sources=1, sample_rate=sample_rate)

    @abstractmethod
    def measure(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """The network itself: differentiable, for recordings of any length and level, on a scale of its own."""

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """Measure each recording; the ``Meter`` contract.

        Args:
            waveform: finite samples, any level.

        Raises:
            InputError: not finite, silent, or no samples.
        """
        check_mixture(waveform[:, None])
        with torch.no_grad():
            return self.measure(waveform).float()
