"""What every network that compares what texts mean shares: tokens of texts, and the contract."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unbabble.nn.kinds.network import Network
from unbabble.text.wordpiece import WordPieces


class NeuralTextEncoder(Network):
    """A network that turns texts into vectors; a method's file implements ``forward``, from rows of tokens.

    Its vocabulary is a tensor of its weights, so that one file holds all that reading a text takes.

    Args:
        letters: bytes of the vocabulary, as ``text.wordpiece.WordPieces`` writes it.
    """

    dimension: int
    """Numbers of a vector."""
    vocabulary: Tensor
    ITEM = ("text",)
    FIGURE = ("none", "{:.2f}")

    def __init__(self, letters: int) -> None:
        super().__init__(sources=1, sample_rate=1)
        self.register_buffer("vocabulary", torch.zeros(letters, dtype=torch.uint8))
        self._pieces: tuple[bytes, WordPieces] | None = None

    @property
    def pieces(self) -> WordPieces:
        """What texts are read by."""
        written = self.vocabulary.cpu().numpy().tobytes()
        if self._pieces is None or self._pieces[0] != written:
            self._pieces = written, WordPieces.read(written)
        return self._pieces[1]

    def tokens(self, texts: Sequence[str]) -> Int[Tensor, "text token"]:
        """Numbers of the pieces of each text, from 1; 0 behind those that are shorter than the longest.

        Raises:
            InputError: a text of which nothing can be read.
        """
        rows = [torch.tensor(self.pieces.encode(text)) + 1 for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.vocabulary.device)

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text dimension"]:
        """The vector of each row, of unit norm; differentiable."""

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "text dimension"]:
        """The ``TextEncoder`` contract.

        Raises:
            InputError: a text of which nothing can be read.
        """
        return self(self.tokens(texts))

    def loss(self, *item: Any, **options: Any) -> Float[Tensor, " batch"]:
        """None of its own: it learns within other networks, or from another text encoder."""
        raise NotImplementedError(f"A {self.card.name} learns within other networks alone.")

    def figure(self, *item: Any, **options: Any) -> float:
        """None of its own."""
        raise NotImplementedError(f"A {self.card.name} learns within other networks alone.")
