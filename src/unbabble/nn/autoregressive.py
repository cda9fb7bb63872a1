"""Writing with a decoder, one token after another: each time the likeliest. Better searches are in ``text.search``.

Where an attention decoder looked while it wrote a token says when that was said: at the centre of its weights. That is
no alignment; words are off by a tenth of a second and more, and wherever attention has not learnt to go from left to
right they are nowhere. Where there is no attention, tokens are spread evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unbabble.nn.kinds.recognizer import Emission, Tokens
from unbabble.nn.state import State
from unbabble.text.search import TokenModel

LOOKED = "looked"
"""In a decoder's state, where there is attention: (batch, place), weights of the places in the last step."""
END = 0
"""The token that ends a text; in the first step it stands for the beginning."""
TOKENS_PER_SECOND = 25
"""Nobody says more: a decoder that never ends, ends there."""
REACH_SECONDS = 0.15
"""A token lasts no longer on either side of its centre."""


class Decoder(Protocol):
    """Writes what an encoder heard. Its state's tensors have the batch first; rows may be picked and repeated."""

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """The state before the first token."""
        ...

    def step(
        self, tokens: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows ``tokens``, and the next state."""
        ...


@dataclass(frozen=True)
class Writer:
    """A decoder that has its recording: a ``TokenModel`` of ``text.search``.

    Args:
        decoder: in its state for use.
        memory: what an encoder heard, without padding.
    """

    decoder: Decoder
    memory: Float[Tensor, "1 place width"]

    def start(self, batch: int) -> State:
        """The state of so many hypotheses before their first token."""
        real = torch.ones(batch, self.memory.shape[1], dtype=torch.bool, device=self.memory.device)
        return self.decoder.start(self.memory.expand(batch, -1, -1), real)

    def step(self, x: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows tokens ``x``, and the state then."""
        return self.decoder.step(x.to(self.memory.device), state)


def writers(
    decoder: Decoder, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]
) -> list[TokenModel]:
    """A ``Writer`` for each item of a batch."""
    counts = real.sum(1).tolist()
    return [Writer(decoder, row[None, :count]) for row, count in zip(memory, counts, strict=True)]


@torch.no_grad()
def emitted(writer: Writer, row: Sequence[int], tokens: Tokens, seconds: float) -> list[Emission]:
    """A text that a search has chosen, each token where the decoder looks while it writes it.

    Args:
        writer: with its recording.
        row: numbers of the tokens.
        tokens: the inventory.
        seconds: of the recording.
    """
    state, place_seconds = writer.start(1), seconds / writer.memory.shape[1]
    middles = (torch.arange(writer.memory.shape[1]) + 0.5) * place_seconds
    last, each = END, []
    for number in row:
        log_probs, state = writer.step(torch.tensor([last]), state)
        centre = float((state[LOOKED].cpu() * middles).sum()) if LOOKED in state else None
        each.append((number, float(log_probs[0, number].exp()), centre))
        last = number
    return _emissions(each, tokens, seconds, place_seconds)


def greedy(
    decoder: Decoder,
    memory: Float[Tensor, "batch place width"],
    real: Bool[Tensor, "batch place"],
    tokens: Tokens,
    place_seconds: float,
) -> list[list[Emission]]:
    """Of each item the text whose every token is the likeliest after those before it.

    Args:
        decoder: in its state for use.
        memory: what an encoder heard.
        real: which of its places are no padding.
        tokens: the inventory.
        place_seconds: from one place of the memory to the next.
    """
    seconds = real.sum(1) * place_seconds
    most = (seconds * TOKENS_PER_SECOND).ceil().long()
    middles = (torch.arange(real.shape[1], device=real.device) + 0.5) * place_seconds
    state = decoder.start(memory, real)
    last = torch.full((len(memory),), END, device=memory.device)
    going = torch.ones_like(last, dtype=torch.bool)
    rows: list[list[tuple[int, float, float | None]]] = [[] for _ in range(len(memory))]
    for step in range(int(most.max())):
        log_probs, state = decoder.step(last, state)
        score, last = log_probs.max(1)
        going = going & (last != END) & (step < most)
        if not going.any():
            break
        centre = (state[LOOKED] * middles).sum(1).tolist() if LOOKED in state else [None] * len(memory)
        for number in going.nonzero()[:, 0].tolist():
            rows[number].append((int(last[number]), float(score[number].exp()), centre[number]))
    return [
        _emissions(row, tokens, end, place_seconds) for row, end in zip(rows, seconds.tolist(), strict=True)
    ]


def _emissions(
    row: list[tuple[int, float, float | None]], tokens: Tokens, seconds: float, place_seconds: float
) -> list[Emission]:
    """Each token from halfway to the one before to halfway to the next, no further than it reaches."""
    known = [centre for _, _, centre in row if centre is not None]
    centres = list(accumulate(known, max)) or [(i + 0.5) * seconds / len(row) for i in range(len(row))]
    edges = [0.0, *((one + other) / 2 for one, other in pairwise(centres)), seconds]
    emissions = []
    for (number, score, _), centre, (before, after) in zip(row, centres, pairwise(edges), strict=False):
        start = min(max(before, centre - REACH_SECONDS), centre - place_seconds / 2)
        end = max(min(after, centre + REACH_SECONDS), centre + place_seconds / 2)
        emissions.append(Emission(tokens.inventory[number - 1], max(start, 0.0), min(end, seconds), score))
    return emissions
