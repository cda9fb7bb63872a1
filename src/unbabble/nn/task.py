"""What is learnt: all that the one loop (``training.run``) knows of a network, its losses, its teachers and judges.

Most networks bring a loss of their own, and are learnt by ``training.tasks.plain``. A task of another kind (a vocoder
whose judge learns too, a queue of negatives, a teacher that follows, one stage after another) derives from ``Task``. A
paper that *is* such an objective is a method with a file of its own, as those of ``methods.adaptation``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.data.sets import Data, Items


class Task:
    """Networks, and how they learn.

    Args:
        networks: by name. The one called ``network`` is what is validated, averaged and saved; those that are no
            players (teachers) learn nothing by gradients. The state of all is in every checkpoint.
    """

    players: tuple[str, ...] = ("network",)
    """The networks that learn by gradients: in each step they take turns, in this order."""
    needs: tuple[str, ...] = ()
    """The fields of items that ``collate`` takes: that they are there is checked before the first step."""
    measures: tuple[str, ...] = ("loss",)
    """What ``measure`` returns."""
    calibrates: bool = False
    """Whether something of the network is fitted once all weights stand."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = dict(networks)

    @property
    def network(self) -> Any:
        """What is validated, averaged and saved."""
        return self.networks["network"]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.network.parameters()).device

    def curriculum(self, described: Data) -> Data:
        """What is learnt from, given what a recipe names; a task may begin with something easier."""
        return described

    def check(self, item: Any, section: str) -> None:
        """See to it that the items of a section of the recipe are what this task needs.

        Args:
            item: any one of them.
            section: its name.

        Raises:
            UsageError: they are not.
        """
        fields = getattr(item, "_fields", ())
        if missing := [name for name in self.needs if name not in fields]:
            raise UsageError(
                f"{self._learner()} learns from {' and '.join(self.needs)}: the recipe's section '{section}' has no "
                f"{' and no '.join(missing)}, but {' and '.join(fields) or 'nothing that has a name'}."
            )

    def check_words(self, words: Iterable[Mapping[str, str]], section: str) -> None:
        """Refuse words that it could not learn; it learns none, unless a task says otherwise.

        Args:
            words: each by field.
            section: of the recipe.

        Raises:
            InputError: a word that cannot be written.
        """

    def _learner(self) -> str:
        return f"The task '{type(self).__name__}'"

    def collate(self, items: Sequence[Any]) -> Any:
        """A batch of several items, on the CPU: of each field in ``needs`` a tensor, (item, ...).

        Runs in the processes that make items, to which no network travels.
        """
        return tuple(
            torch.from_numpy(np.stack([np.asarray(getattr(item, name)) for item in items]))
            for name in self.needs
        )

    def losses(self, player: str, batch: Any, step: int) -> dict[str, Tensor]:
        """What a player descends, by name: their sum. Pure: nothing is remembered here.

        Args:
            player: one of ``players``.
            batch: as ``collate`` made it, on the networks' device.
            step: how many were made before this one.
        """
        raise NotImplementedError

    def after(self, step: int, batch: Any) -> None:
        """The only place for what changes and is no gradient: teachers, queues, stages, annealing.

        Args:
            step: how many were made.
            batch: that of the last one.
        """

    def measure(self, items: Items, count: int) -> dict[str, float]:
        """How good the network is on the first ``count`` items, taken together: an error rate is no mean of items.

        Returns:
            ``loss``, and what else is in ``measures``.
        """
        losses = [
            float(sum(self.losses("network", batch, 0).values())) for batch in self.singles(items, count)
        ]
        return {"loss": float(np.mean(losses))}

    def singles(self, items: Items, count: int) -> Iterator[Any]:
        """The first ``count`` items, each as a batch of one on the networks' device."""
        device = self.device
        for number in range(count):
            yield moved(self.collate([items[number]]), device)

    def regret(self, measured: Mapping[str, float]) -> float:
        """What the best weights have least of, from what ``measure`` returned."""
        return measured["loss"]

    def reported(self, measured: Mapping[str, float]) -> str:
        """What ``measure`` returned, in words."""
        return ", ".join(f"{name.replace('_', ' ')} {measured[name]:.2f}" for name in self.measures)

    def state(self) -> dict[str, Tensor]:
        """Tensors that a checkpoint has to hold besides the networks: queues, counts."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` returned."""

    def product(self, network: Any) -> Any:
        """What is saved of ``network``, which has the weights that are to be saved."""
        return network

    def calibrate(self, network: Any, items: Items, count: int) -> None:
        """Fit what is fitted once all weights stand, on items that were not learnt from: where ``calibrates``."""

    def __getstate__(self) -> dict[str, Any]:
        """What travels to processes that make items: no networks."""
        return {name: value for name, value in self.__dict__.items() if name != "networks"}


def moved(batch: Any, device: torch.device) -> Any:
    """A batch, and what is in it, on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: moved(each, device) for name, each in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(each, device) for each in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(each, device) for each in batch)
    return batch
