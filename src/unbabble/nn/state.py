"""State as an argument: what a network remembers from step to step, outside of the network.

    state = network.start(batch)
    y, state = network.step(x, state)

A state is a flat dictionary of tensors, under the paths of the modules that look back (``blocks.3.past.frames``); its
order is that of the modules. The network keeps nothing, so that any number of streams go through it in turn. The first
axis of every tensor is the batch: streams are joined, picked out and put in another order row by row.

Inside a network, ``step`` runs the code that computes whole recordings. Modules that look back are ``Stateful``; with a
``Memory`` they go on where the last step ended, and without one they compute from the beginning to the end.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unbabble.base.errors import UsageError
from unbabble.base.words import counted

State: TypeAlias = dict[str, Tensor]


class Memory:
    """A module's part of a state, while a step is computed; what is assigned is the next state's.

    Args:
        state: of the whole network; a copy that ``step`` made, as it is changed.
        path: of the module, with a dot at its end; empty for the network itself.
    """

    def __init__(self, state: State, path: str = "") -> None:
        self._state, self._path = state, path

    def __getitem__(self, name: str) -> Tensor:
        return self._state[self._path + name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self._state[self._path + name] = value

    def part(self, path: str) -> "Memory":
        """That of a module further down."""
        return Memory(self._state, f"{self._path}{path}.")


def part(memory: Memory | None, path: str) -> Memory | None:
    """That of a module further down; None for whole recordings."""
    return None if memory is None else memory.part(path)


class Stateful(nn.Module, ABC):
    """A module that looks back. Its ``forward`` takes its part of the state, or None for whole recordings."""

    @abstractmethod
    def initial(self, batch: int) -> State:
        """What it remembers of ``batch`` streams before their first step: zeros, the batch first."""


def start(parts: Mapping[str, nn.Module], batch: int) -> State:
    """The state of ``batch`` streams before their first step, on the devices of the modules.

    Args:
        parts: modules by their paths; those inside them are included.
        batch: how many streams.
    """
    state = {}
    for path, module in parts.items():
        tensors = chain(module.parameters(), module.buffers())
        device = next((each.device for each in tensors), torch.device("cpu"))
        for below, each in module.named_modules(prefix=path):
            if isinstance(each, Stateful):
                state |= {f"{below}.{name}": value.to(device) for name, value in each.initial(batch).items()}
    return state


def flatten(state: State) -> list[Tensor]:
    """Its tensors, in its order: inputs and outputs of a program that has no dictionaries."""
    return list(state.values())


def unflatten(tensors: Iterable[Tensor], like: State) -> State:
    """The inverse of ``flatten``.

    Args:
        tensors: of a state.
        like: a state of the same network, of any number of streams.

    Raises:
        UsageError: not as many tensors, of other shapes or types, or not of the same number of streams.
    """
    tensors = list(tensors)
    if len(tensors) != len(like):
        raise UsageError(f"The state has {counted(len(like), 'tensor')}, not {len(tensors)}.")
    for (name, wanted), given in zip(like.items(), tensors, strict=True):
        shape = (*tensors[0].shape[:1], *wanted.shape[1:])
        if (given.shape, given.dtype) != (shape, wanted.dtype):
            raise UsageError(
                f"'{name}' of the state is {given.dtype} {tuple(given.shape)}, not {wanted.dtype} {shape}."
            )
    return dict(zip(like, tensors, strict=True))


class Past(Stateful):
    """Puts the ``count`` frames before in front of the frames: zeros, or in a stream what came before.

    Args:
        count: how many.
        channels: of a frame.
    """

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.count, self.channels = count, channels

    def initial(self, batch: int) -> State:
        """``frames``, (batch, count, channel)."""
        return {"frames": torch.zeros(batch, self.count, self.channels)} if self.count else {}

    def forward(
        self, x: Float[Tensor, "batch frame channel"], memory: Memory | None = None
    ) -> Float[Tensor, "batch frame channel"]:
        """``count`` frames more."""
        if not self.count:
            return x
        if memory is None:
            return nn.functional.pad(x, (0, 0, self.count, 0))
        joined = torch.cat([memory["frames"], x], 1)
        memory["frames"] = joined[:, -self.count :].clone()  # without what else is in its memory
        return joined
