"""What everything that is trained shares: its own options, a loss for the trainer, a figure that says how good it is.

A method's file holds its network and derives from this class or, to separate, from ``NeuralSeparator``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.config import keyword_parameters
from unbabble.base.errors import UsageError
from unbabble.base.kinds import Kind
from unbabble.base.registry import Card
from unbabble.nn.losses import SOFT_DB


class Network(nn.Module, ABC):
    """Something trained, at one rate, on items: a mixture, and what goes with it.

    Args:
        sources: how many voices it knows of.
        sample_rate: Hz, that of its training data.

    Raises:
        UsageError: fewer than one source or one Hz.
    """

    TINY: ClassVar[dict[str, Any]] = {}
    """Options of a variant that is small enough for tests."""
    FIGURE: ClassVar[tuple[str, str]]
    """What ``figure`` is called in results, and how it is told: ``("si_snri_db", "SI-SNR improvement {:.2f} dB")``."""
    ITEM: tuple[str, ...] = ("mixture", "sources")
    """The fields of an item."""
    card: ClassVar[Card]
    options: dict[str, Any]

    def __new__(cls, **options: Any) -> Self:
        """Remember the options, so that saved weights can say how to build the network again."""
        self = super().__new__(cls)
        object.__setattr__(self, "options", options)
        return self

    def __init__(self, *, sources: int = 2, sample_rate: int = 8000) -> None:
        super().__init__()
        if sources < 1 or sample_rate < 1:
            raise UsageError("A network has at least one source and a sample rate of at least 1 Hz.")
        self.sources, self.sample_rate = sources, sample_rate
        self.fixed_order = False
        """Whether ``loss`` keeps the order of the voices: set by the trainer (``Recipe.fixed_order_steps``)."""
        self.soft_db = SOFT_DB
        """See ``separation_loss``: set by the trainer (``Recipe.soft_db``)."""
        self.mixit = False
        """Whether sources are mixtures themselves: set by the trainer (``Recipe.mixit``)."""

    @property
    def kind(self) -> Kind:
        """What it can do."""
        return self.card.kinds(self.resolved_options())[0]

    def acting_as(self, kind: str) -> Any:
        """What keeps the contract of ``kind``, one of those that the card names besides its own (``also``)."""
        raise NotImplementedError(f"A {self.card.name} is no {kind}.")

    def resolved_options(self) -> dict[str, Any]:
        """All options of the constructor, defaults included."""
        defaults = {name: each.default for name, each in keyword_parameters(type(self)).items()}
        return defaults | self.options

    @property
    def talkers(self) -> tuple[int, ...]:
        """How many talk in the mixtures that it learns from."""
        return (self.sources,)

    @abstractmethod
    def loss(self, *item: Any, **options: Any) -> Float[Tensor, " batch"]:
        """Training loss of each item of a batch, lower is better.

        Args:
            item: (batch, ...) of each field in ``ITEM``: the mixture, (batch, time), and for most networks its
                sources, (batch, source, time), of which one that is all zeros does not speak.
            options: none.
        """

    @abstractmethod
    def figure(self, *item: Any, **options: Any) -> float:
        """What tells a user how good it is at one item (a batch of one); NaN where that item cannot tell."""

    def calibrate(self, items: Iterable[tuple[Tensor, ...]]) -> None:
        """Fit what is fitted once all weights stand, to items that it has not learnt from; most have nothing such."""
