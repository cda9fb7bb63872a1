"""Attention: every place of a row looks at places of a row, its own or another.

A. Vaswani et al., "Attention is all you need", NeurIPS 2017: with queries Q, keys K and values V of d numbers,
softmax(Q K' / sqrt(d)) V, by several heads side by side.

J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", arXiv 2104.09864: queries and keys
are turned by angles that grow with their place, so that Q K' depends on how far apart two places are.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

SLOWEST = 10_000.0
"""Places in which the slowest angle turns by one radian."""


def turned(x: Float[Tensor, "batch head place dimension"], first: int = 0) -> Tensor:
    """Queries or keys, turned by their places, of which the first is ``first``."""
    half = x.shape[-1] // 2
    slowness = SLOWEST ** (torch.arange(half, device=x.device) / half)
    angle = (torch.arange(x.shape[2], device=x.device) + first)[:, None] / slowness
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    one, other = x.chunk(2, -1)
    return torch.cat([one * cos - other * sin, other * cos + one * sin], -1)


class SelfAttention(nn.Module):
    """Each place looks at its own row; places are told by rotation.

    Args:
        width: numbers of a place.
        heads: divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch place width"],
        seen: Bool[Tensor, "batch 1 asking place"] | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What it finds, and the keys and values, which may be the ``past`` of a next call.

        Args:
            x: the row, or what comes next in it.
            seen: false where a place must not be looked at.
            past: keys and values of the places before ``x``.
        """
        query, key, value = (_heads(each, self.heads) for each in self.ask(x).chunk(3, -1))
        first = 0 if past is None else past[0].shape[2]
        query, key = turned(query, first), turned(key, first)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        return self.out(_joined(_attend(query, key, value, seen))), (key, value)


class CrossAttention(nn.Module):
    """Each place looks at the places of another row, the memory.

    Args:
        width: numbers of a place, and of one of the memory.
        heads: divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, width)
        self.answer = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def answers(self, memory: Float[Tensor, "batch place width"]) -> tuple[Tensor, Tensor]:
        """Keys and values of a memory: computed once, looked at often."""
        key, value = self.answer(memory).chunk(2, -1)
        return _heads(key, self.heads), _heads(value, self.heads)

    def forward(
        self,
        x: Float[Tensor, "batch place width"],
        answers: tuple[Tensor, Tensor],
        seen: Bool[Tensor, "batch 1 1 memory"] | None = None,
    ) -> Float[Tensor, "batch place width"]:
        """What it finds in a memory, given its ``answers``."""
        return self.out(_joined(_attend(_heads(self.ask(x), self.heads), *answers, seen)))


def _attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    return nn.functional.scaled_dot_product_attention(query, key, value.to(query.dtype), seen)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
