"""One network by its own loss: what most of them need, whatever they are for."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unbabble.base.config import keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.base.words import counted
from unbabble.data.sets import Items
from unbabble.nn.kinds.network import Network
from unbabble.nn.task import Task


class Plain(Task):
    """A network that learns by ``Network.loss`` and is judged by ``Network.figure``.

    Args:
        network: to be trained.
        options: of its loss, as ``soft_db`` of separators.
    """

    def __init__(self, network: Network, **options: Any) -> None:
        super().__init__({"network": network})
        self.needs, self.name = tuple(network.ITEM), network.card.name
        self.options = options
        self.figure_name, self.figure_words = network.FIGURE
        self.measures = ("loss", self.figure_name)
        self.calibrates = type(network).calibrate is not Network.calibrate

    @classmethod
    def options_for(cls, network: Network) -> tuple[list[str], list[str]]:
        """Names of the task's own options, and of those of the network's loss."""
        return _keywords(cls.__init__), _keywords(network.loss)

    def _learner(self) -> str:
        return f"Method '{self.name}'"

    def check(self, item: Any, section: str) -> None:
        """Fields, and no more known voices than the network has outputs."""
        super().check(item, section)
        voices = len(item.sources) if "sources" in self.needs else self.network.sources
        if not 0 < voices <= self.network.sources:
            raise UsageError(
                f"The recipe's section '{section}' has mixtures of {counted(voices, 'known voice')}, but the "
                f"network returns {self.network.sources}: set options.sources."
            )

    def losses(self, player: str, batch: Any, step: int) -> dict[str, Tensor]:
        """The network's own, its mean over the batch."""
        return {"loss": self.each(batch, step).mean()}

    def each(self, batch: Any, step: int | None = None) -> Float[Tensor, " batch"]:
        """Loss of each item at this step; None for validation."""
        return self.network.loss(*batch, **self.options)

    def figure(self, batch: Any) -> float:
        """What tells a user how good the network is at one item; NaN where it cannot tell."""
        return self.network.figure(*batch)

    def after(self, step: int, batch: Any) -> None:
        """What changes in the network itself."""
        self.network.after(step)

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """Mean loss, and the mean of the network's figure over the items that can tell."""
        losses, figures = [], []
        for batch in self.singles(items, count):
            losses.append(float(self.each(batch)))
            figures.append(self.figure(batch))
        known = [each for each in figures if not math.isnan(each)]
        return {
            "loss": float(np.mean(losses)),
            self.figure_name: float(np.mean(known)) if known else math.nan,
        }

    def reported(self, measured: Any) -> str:
        """In the network's words."""
        return (
            f"validation loss {measured['loss']:.2f}, {self.figure_words.format(measured[self.figure_name])}"
        )

    def calibrate(self, network: Network, items: Items, count: int) -> None:
        """What the network fits once its weights stand."""
        network.calibrate(self.singles(items, count))


def _keywords(call: Any) -> list[str]:
    return [name for name, each in keyword_parameters(call).items() if each.kind is each.KEYWORD_ONLY]
