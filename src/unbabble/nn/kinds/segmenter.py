"""What every network that says who of a few talks when shares: levels, the contract, its loss.

A method's file holds its network; it implements ``log_probs``, from recordings to classes of ``signal.powerset``.
Talkers have no names: they are numbered anew in each recording.
"""

from abc import abstractmethod
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from unbabble.nn.kinds.network import Network
from unbabble.signal.level import check_samples
from unbabble.signal.powerset import AT_ONCE, powerset


class NeuralSegmenter(Network):
    """A network that says of each frame who talks.

    Args:
        talkers: that it tells apart in a recording.
        sample_rate: Hz, that of its training data.
        seconds: the duration of the recordings that it knows; longer ones are better given in windows of so much.
        frame_samples: from one frame to the next.
        first_sample: in the middle of the first frame.
    """

    FIGURE = ("frames_wrong", "{:.1%} of the frames wrong")
    ITEM = ("mixture", "activity")
    classes: Tensor

    def __init__(
        self, *, talkers: int, sample_rate: int, seconds: float, frame_samples: int, first_sample: float
    ) -> None:
        super().__init__(sources=talkers, sample_rate=sample_rate)
        self.seconds = seconds
        self.frame_seconds, self.first_seconds = frame_samples / sample_rate, first_sample / sample_rate
        self.register_buffer("classes", powerset(talkers), persistent=False)

    @abstractmethod
    def log_probs(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame class"]:
        """The network itself: log-probabilities of the sets of talkers; differentiable."""

    def forward(self, waveform: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frame talker"]:
        """How probable it is that each talks; the ``Segmenter`` contract.

        Args:
            waveform: finite samples, any level; in silence nobody talks.

        Raises:
            InputError: not finite, or no samples.
        """
        check_samples(waveform[:, None])
        with torch.no_grad():
            return self.log_probs(waveform).float().exp() @ self.classes

    def loss(
        self, mixture: Float[Tensor, "batch time"], activity: Float[Tensor, "batch frame talker"]
    ) -> Float[Tensor, " batch"]:
        """Cross-entropy of the sets who talk, by whichever order of the talkers has the least.

        Args:
            mixture: of a few talkers.
            activity: 1 where each talks, 0 elsewhere; of more than two at once the first two count.
        """
        log_probs = self.log_probs(mixture).float()
        orders = [self._classes(activity[..., list(order)]) for order in permutations(range(self.sources))]
        losses = [-log_probs.gather(2, each[..., None])[..., 0].mean(1) for each in orders]
        return torch.stack(losses).amin(0)

    def figure(self, mixture: Float[Tensor, "1 time"], activity: Float[Tensor, "1 frame talker"]) -> float:
        """Share of the frames in which it is not right who talks, by the order of the talkers with the fewest."""
        guessed = self.log_probs(mixture).argmax(2)
        orders = permutations(range(self.sources))
        return min(
            float((guessed != self._classes(activity[..., list(order)])).float().mean()) for order in orders
        )

    def _classes(self, activity: Float[Tensor, "batch frame talker"]) -> Tensor:
        """The number of the class of each frame, (batch, frame)."""
        most = activity * (activity.cumsum(2) <= AT_ONCE)
        return (most[..., None, :] == self.classes).all(3).float().argmax(2)
