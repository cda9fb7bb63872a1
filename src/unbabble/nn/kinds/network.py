"""What everything that is trained shares: its own options, a loss to descend, a figure that says how good it is.

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
    """The name of ``figure`` in results, and its words: ``("si_snri_db", "SI-SNR improvement {:.2f} dB")``."""
    ITEM: tuple[str, ...] = ("mixture", "sources")
    """The fields of an item."""
    TASK: ClassVar[str] = "plain"
    """The task of ``training.tasks`` by which it learns where a recipe names no other."""
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

    @property
    def kind(self) -> Kind:
        """What it can do."""
        return self.card.kinds(self.resolved_options())[0]

    def acting_as(self, kind: str) -> nn.Module:
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
            options: of a recipe's ``task``, for networks whose loss has some.
        """

    def after(self, step: int) -> None:
        """What changes with the steps that were made and is no gradient, as annealing; most have nothing such."""

    @abstractmethod
    def figure(self, *item: Any, **options: Any) -> float:
        """What tells a user how good it is at one item (a batch of one); NaN where that item cannot tell."""

    def calibrate(self, items: Iterable[tuple[Tensor, ...]]) -> None:
        """Fit what is fitted once all weights stand, to items that it has not learnt from; most have nothing such."""
