"""Long sequences as overlapping chunks, and back: the two axes of dual-path networks.

Y. Luo, Z. Chen, T. Yoshioka, "Dual-path RNN: efficient long sequence modeling for time-domain single-channel speech
separation", ICASSP 2020, sections 2.1 and 2.3.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Padding = Literal["half", "full"]
"""Zeros on both sides of the frames: half a chunk, and after them what makes the number of chunks even (the
authors' code); or a whole chunk, and what does not fill a hop is left out (Asteroid)."""


def segment(
    x: Float[Tensor, "batch feature frame"], size: int, overlap: bool = True, padding: Padding = "half"
) -> Float[Tensor, "batch feature {size} chunk"]:
    """Cut into chunks of ``size`` frames, with zeros where the frames end.

    Args:
        x: any number of frames.
        size: even where chunks overlap.
        overlap: each chunk begins in the middle of the one before, so that every frame is in two; otherwise chunks
            follow one another.
        padding: of overlapping chunks.

    Raises:
        ValueError: an odd size where chunks overlap.
    """
    batch, features, frames = x.shape
    if not overlap:
        x = torch.nn.functional.pad(x, (0, -frames % size))
        return x.reshape(batch, features, -1, size).mT
    hop = _half(size)
    if padding == "half":
        after = hop + size - (hop + frames) % size
        x = torch.nn.functional.pad(x, (hop, after))
    else:
        x = torch.nn.functional.pad(x, (size, size - frames % hop))
    halves = x.reshape(batch, features, -1, hop)
    return torch.cat((halves[:, :, :-1], halves[:, :, 1:]), dim=-1).mT


def overlap_add(
    chunks: Float[Tensor, "batch feature size chunk"],
    length: int,
    overlap: bool = True,
    padding: Padding = "half",
) -> Float[Tensor, "batch feature {length}"]:
    """Chunks back at their places, added up: of overlapping ones twice what ``segment`` was given."""
    batch, features, size, _ = chunks.shape
    if not overlap:
        return chunks.mT.reshape(batch, features, -1)[..., :length]
    hop = _half(size)
    first, second = chunks[:, :, :hop], chunks[:, :, hop:]
    sums = torch.nn.functional.pad(first, (0, 1)) + torch.nn.functional.pad(second, (1, 0))
    begin = hop if padding == "half" else size
    return sums.mT.reshape(batch, features, -1)[..., begin : begin + length]


def _half(size: int) -> int:
    if size % 2:
        raise ValueError(f"overlapping chunks have an even size, not {size}")
    return size // 2
