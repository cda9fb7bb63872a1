"""A recurrent decoder with attention: it writes a token, looks where to go on, and writes the next.

    s_i = LSTM(s_{i-1}, [E y_{i-1}, c_{i-1}])       what has been written, and what was seen last
    c_i = attention(s_i, h)                         what an encoder heard there
    p(y_i | y_1 ... y_{i-1}, h) = softmax(W_2 tanh(W_1 [s_i, c_i]))

How it looks is an argument: see ``Attention``.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unbabble.nn.state import State


class Attention(nn.Module, ABC):
    """What a speller looks with; it leaves the weights of its last look in its state, as ``LOOKED``."""

    @abstractmethod
    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """Its part of a decoder's state: what is computed once of a memory."""

    @abstractmethod
    def forward(
        self, asking: Float[Tensor, "batch hidden"], state: State
    ) -> tuple[Float[Tensor, "batch width"], State]:
        """The context c_i, and its part of the state, given a decoder's whole state."""


class Speller(nn.Module):
    """Tokens by their numbers, 0 for the beginning and the end.

    Args:
        tokens: of the inventory, without 0.
        attention: how it looks.
        memory_width: numbers of a place of the memory.
        embedding: numbers of a token.
        hidden: units of an LSTM.
        layers: of LSTMs.
        dropout: share of what is looked up that is left out while learning.
    """

    def __init__(
        self,
        tokens: int,
        attention: Attention,
        memory_width: int,
        embedding: int,
        hidden: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens + 1, embedding)
        widths = [embedding + memory_width, *[hidden] * (layers - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(width, hidden) for width in widths)
        self.attention = attention
        self.out = nn.Sequential(
            nn.Linear(hidden + memory_width, hidden), nn.Tanh(), nn.Linear(hidden, tokens + 1)
        )
        self.hidden, self.dropout = hidden, nn.Dropout(dropout)

    def forward(
        self,
        memory: Float[Tensor, "batch place width"],
        real: Bool[Tensor, "batch place"],
        text: Int[Tensor, "batch token"],
        sampled: float = 0.0,
    ) -> Float[Tensor, "batch token+1 number"]:
        """Logits of each token of a text given those before it, and of its end.

        Args:
            memory: what an encoder heard.
            real: which of its places are no padding.
            text: numbers, padded with 0.
            sampled: of so many of the tokens before, one is taken that the speller itself would have written, drawn
                by its probabilities (S. Bengio et al., "Scheduled sampling for sequence prediction with recurrent
                neural networks", NeurIPS 2015).
        """
        state, seen = self.start(memory, real), []
        for before in nn.functional.pad(text, (1, 0)).T:
            if sampled and seen:
                own = torch.distributions.Categorical(logits=self.out(seen[-1].detach()).float()).sample()
                before = torch.where(torch.rand(before.shape, device=before.device) < sampled, own, before)
            x, state = self._next(before, state)
            seen.append(x)
        return self.out(torch.stack(seen, 1))

    def start(self, memory: Float[Tensor, "batch place width"], real: Bool[Tensor, "batch place"]) -> State:
        """The state before the first token; its first axis is the batch, rows may be picked and repeated."""
        state = dict(self.attention.start(memory, real))
        for number in range(len(self.cells)):
            state[f"{number}.hidden"] = memory.new_zeros(len(memory), self.hidden)
            state[f"{number}.cell"] = memory.new_zeros(len(memory), self.hidden)
        return state | {"context": memory.new_zeros(len(memory), memory.shape[2])}

    def step(
        self, tokens: Int[Tensor, " batch"], state: State
    ) -> tuple[Float[Tensor, "batch number"], State]:
        """Log-probabilities of what follows ``tokens`` (0 at the beginning), and the next state."""
        x, state = self._next(tokens, state)
        return self.out(x).float().log_softmax(-1), state

    def _next(self, tokens: Tensor, state: State) -> tuple[Float[Tensor, "batch both"], State]:
        """[s_i, c_i], and the next state."""
        state = dict(state)
        x = torch.cat([self.dropout(self.embed(tokens)), state["context"]], 1)
        for number in range(len(self.cells)):
            x, kept = self.cells[number](x, (state[f"{number}.hidden"], state[f"{number}.cell"]))
            state[f"{number}.hidden"], state[f"{number}.cell"] = x, kept
        state["context"], attention = self.attention(x, state)
        return torch.cat([x, state["context"]], 1), state | attention
